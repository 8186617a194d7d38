/* SPDX-License-Identifier: MIT
 *
 * The state of a device in memory, as text and as JSON.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "state/print.h"
#include "state/text.h"
#include "zoo.h"

static void prints(bool json, const char *want)
{
    struct cage cage = {.lo = 5, .n = 2, .some = {7, 8}, .hi = 0x10, .bits = 3};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_text t = {0};

    gw_text_add(&t, "", 0);
    assert_int_equal(gw_state_print(&cage_state, &cage, json, &t, &err), 0);
    assert_string_equal(t.data, want);
    gw_text_free(&t);
}

/* What is not on the wire (`depth`, for this one is dry) is not shown; a subsection is. */
static void test_text(void **state)
{
    prints(false, "lo = 5\nwet = false\nn = 2\nsome = [7, 8]\nhi = 16 (0x10)\ncage/bits.bits = 3\n");
}

static void test_json(void **state)
{
    prints(true, "{\"lo\": 5, \"wet\": false, \"n\": 2, \"some\": [7, 8], \"hi\": 16, \"cage/bits.bits\": 3}");
}

static void test_appends(void **state)
{
    struct cage cage = {.lo = 1};
    struct gw_text t = {0};

    gw_text_printf(&t, "before\n");
    assert_int_equal(gw_state_print(&cage_state, &cage, false, &t, NULL), 0);
    assert_int_equal(strncmp(t.data, "before\nlo = 1\n", 14), 0);
    gw_text_free(&t);
}

/* What cannot be sent cannot be shown: nothing of it is. */
static void test_refused(void **state)
{
    static const struct gw_field fields[] = {GW_FIELD(struct zoo, u8), GW_FIELD_POINTER(struct zoo, alone), GW_END};
    static const struct gw_state st = {.name = "d", .version = 1, .fields = fields};
    struct gw_error err = GW_ERROR_INIT;
    struct zoo z = {.alone = NULL};
    struct gw_text t = {0};

    assert_int_equal(gw_state_print(&st, &z, false, &t, &err), -EINVAL);
    assert_string_equal(err.text, "field alone at byte 1: the pointer is NULL");
    assert_null(t.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_text), cmocka_unit_test(test_json), cmocka_unit_test(test_appends),
                                       cmocka_unit_test(test_refused)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
