/* SPDX-License-Identifier: MIT
 *
 * A step: how it is shared out, and what of it counts.
 */
#include "engine/rounds.h"
#include "source.h"

/* A hundredth of a second's worth, not less than a page. */
static void test_share(void **state)
{
    rig_param("max-bandwidth", "1000000");
    assert_int_equal(gw_send_share(s), 10000);
    rig_param("max-bandwidth", "1000");
    assert_int_equal(gw_send_share(s), 4096);
    rig_param("max-bandwidth", "0");
    assert_true(gw_send_share(s) == UINT64_MAX);
}

/* Each gets an even share of what those before it have left, so that none starves. */
static void test_parts(void **state)
{
    uint64_t bytes;
    bool dry;

    source_ready();
    a.puts = b.puts = 1 << 20;
    a.dry = b.dry = false;
    assert_int_equal(gw_send_parts(s, 4096, &bytes, &dry, NULL), 0);
    rig_said("spent step(a) spent step(b) ");
    assert_false(dry);
    /* 2048 bytes each, with heads and footers. */
    assert_int_equal(bytes, 4096 + 2 * (5 + 5));
    a.puts = 256;
    a.dry = true;
    assert_int_equal(gw_send_parts(s, 4096, &bytes, &dry, NULL), 0);
    rig_said("step(a) spent step(b) ");
    assert_false(dry);
    assert_int_equal(bytes, 4096 + 2 * (5 + 5));
    b.puts = 0;
    b.dry = true;
    assert_int_equal(gw_send_parts(s, 4096, &bytes, &dry, NULL), 0);
    assert_true(dry);
}

static void test_step_fails(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    uint64_t bytes;
    bool dry;

    source_ready();
    a.fails = -EIO;
    rig_fails(gw_send_parts(s, 4096, &bytes, &dry, &err), -EIO, &err, "step of a");
    rig_said("step(a) ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        source_test(test_share), source_test(test_parts), source_test(test_step_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
