/* SPDX-License-Identifier: MIT
 *
 * Two descriptions of one device: which fields and subsections keep one from loading the other.
 */
#include "reasons.h"

static void test_fields(void **state)
{
    const char *x4 = STATE("2", FIELD("x", "uint32", "4")), *x8 = STATE("2", FIELD("x", "uint64", "8")),
               *newer = STATE("3", FIELD("x", "uint32", "4") "," FIELD("y", "uint8", "1")),
               *renamed = STATE("2", FIELD("z", "uint32", "4")),
               *more = STATE("2", FIELD("x", "uint32", "4") "," FIELD("y", "uint8", "1")),
               *array4 = STATE("2", "{\"name\": \"x\", \"type\": \"uint32\", \"array_len\": 4, \"size\": 4}"),
               *array5 = STATE("2", "{\"name\": \"x\", \"type\": \"uint32\", \"array_len\": 5, \"size\": 4}");
    struct gw_explain_counts n;

    n = explain_described(x4, x4);
    assert_int_equal(n.refused + n.unknown + n.notes, 0);
    n = explain_described(x4, x8);
    assert_int_equal(n.refused, 1);
    assert_string_equal(reasons.first, "device d/0: field x has 4 bytes (uint32), 8 (uint64) in the destination");
    n = explain_described(newer, x4);
    assert_int_equal(n.refused, 1);
    assert_string_equal(reasons.first, "device d/0: version 3 is written, the destination knows 2");
    n = explain_described(x4, newer); /* an old one: y is new */
    assert_int_equal(n.refused, 0);
    assert_int_equal(n.unknown, 1);
    assert_non_null(strstr(reasons.unknown, "version 2 is written, the destination has 3: whether it reads"));
    hints_from = GW_HINT_STATE_OLD;
    hints_into = GW_HINT_STATE_NEW;
    n = explain_described(x4, newer);
    assert_int_equal(n.refused + n.unknown, 0);
    assert_int_equal(n.notes, 1);
    hints_from = hints_into = 0;
    n = explain_described(x4, renamed);
    assert_int_equal(n.refused + n.unknown, 0);
    n = explain_described(more, x4);
    assert_int_equal(n.unknown, 1);
    assert_non_null(strstr(reasons.unknown, "field y is written"));
    n = explain_described(x4, more);
    assert_int_equal(n.unknown, 1);
    assert_non_null(strstr(reasons.unknown, "field y is not written"));
    n = explain_described(array4, array5);
    assert_int_equal(n.unknown, 1);
    assert_non_null(strstr(reasons.unknown, "4 elements, 5"));
}

/* Requests under way are as many as there are at the time; of another type the length may matter. */
static void test_own_length(void **state)
{
    const char *busy = STATE("2", FIELD("r", "scsi-requests", "26")), *idle = STATE("2", FIELD("r", "scsi-requests", "1")),
               *longer = STATE("2", FIELD("r", "buffer", "26")), *shorter = STATE("2", FIELD("r", "buffer", "1"));
    struct gw_explain_counts n = explain_described(busy, idle);

    assert_int_equal(n.refused + n.unknown, 0);
    assert_int_equal(n.notes, 1);
    n = explain_described(longer, shorter);
    assert_int_equal(n.unknown, 1);
    n = explain_described(busy, shorter);
    assert_int_equal(n.unknown, 1);
}

/* Whether a program knows a subsection is not in a stream in which it did not write it. */
static void test_subsections(void **state)
{
    const char *with = STATE(
                   "2", FIELD("x", "uint32", "4")) ", \"subsections\": [{\"vmsd_name\": \"d/more\", \"version\": 1, "
                                                   "\"fields\": [" FIELD("y", "uint8", "1") "]}]",
               *newer = STATE(
                   "2", FIELD("x", "uint32", "4")) ", \"subsections\": [{\"vmsd_name\": \"d/more\", \"version\": 2, "
                                                   "\"fields\": [" FIELD("y", "uint8", "1") "]}]",
               *without = STATE("2", FIELD("x", "uint32", "4"));
    struct gw_explain_counts n = explain_described(with, without);

    assert_int_equal(n.refused, 0);
    assert_int_equal(n.unknown, 1);
    assert_non_null(strstr(reasons.unknown, "device d/0: subsection d/more is written, the destination writes none"));
    hints_from = GW_HINT_STATE_OLD;
    n = explain_described(with, without);
    assert_int_equal(n.unknown, 1);
    hints_into = GW_HINT_STATE_NEW;
    n = explain_described(with, without);
    assert_int_equal(n.unknown, 0);
    hints_from = GW_HINT_STATE_NEW; /* as new, for all that is known */
    n = explain_described(with, without);
    assert_int_equal(n.unknown, 1);
    hints_into = GW_HINT_STATE_OLD;
    n = explain_described(with, without);
    assert_int_equal(n.unknown, 1);
    hints_from = hints_into = 0;
    n = explain_described(without, with);
    assert_int_equal(n.refused + n.unknown, 0);
    n = explain_described(newer, with);
    assert_string_equal(reasons.first, "device d/0: d/more has version 2, the destination knows 1");
    n = explain("pc-7.2-by-10.0-max", "pc-7.2", &reasons);
    assert_non_null(strstr(reasons.all,
                           "0 device cpu/0: subsection cpu/msr_ia32_misc_enable is written, the destination "
                           "writes none; each QEMU since 5.2 knows it"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_own_length),
        cmocka_unit_test(test_subsections),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
