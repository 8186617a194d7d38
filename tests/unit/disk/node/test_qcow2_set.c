/* SPDX-License-Identifier: MIT
 *
 * The set of clusters against a plain array.
 */
#include "disk/node/qcow2_inner.h"
#include "qcow2_rig.h"

static void test_against_an_array(void **state)
{
    struct gw_qcow2_set s = {0};
    bool there[600] = {false};
    uint64_t seed = 7;

    assert_false(gw_qcow2_set_has(&s, 1));
    gw_qcow2_set_remove(&s, 1);
    for (unsigned i = 0; i < 20000; i++) {
        unsigned c = (unsigned)(rig_random(&seed) % 600);
        uint64_t key = c * 4096ull;

        if (rig_random(&seed) % 2) {
            assert_int_equal(gw_qcow2_set_add(&s, key, NULL), there[c]);
            there[c] = true;
        } else {
            gw_qcow2_set_remove(&s, key);
            there[c] = false;
        }
        c = (unsigned)(rig_random(&seed) % 600);
        assert_int_equal(gw_qcow2_set_has(&s, c * 4096ull), there[c]);
    }
    free(s.keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_an_array),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
