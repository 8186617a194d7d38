/* SPDX-License-Identifier: MIT
 *
 * The reader is known by its -dump-vmstate.
 */
#include "reasons.h"

/* ---- what the destination's dump tells --------------------------------------------------------------------------- */

#define DUMP(version, oldest, rest)                                                                                    \
    "{\"vmschkmachine\": {\"Name\": \"m-1\"}, \"card\": {\"Name\": \"card\", \"version_id\": " version                 \
    ", \"minimum_version_id\": " oldest ", \"Description\": {\"name\": \"d\", \"version_id\": " version                \
    ", \"minimum_version_id\": " oldest rest "}}}"
#define FIELDS(fields) ", \"Fields\": [" fields "]"
#define KNOWS(name, since, conditional, size)                                                                          \
    "{\"field\": \"" name "\", \"version_id\": " since ", \"field_exists\": " conditional ", \"size\": " size "}"
#define COUNTS                                                                                                         \
    "{\"field\": \"n\", \"version_id\": 9, \"field_exists\": false, \"num\": 2, \"size\": 1}" /* as new ones do */
#define SUBS(version, fields)                                                                                          \
    ", \"Subsections\": [{\"name\": \"d/more\", \"version_id\": " version                                              \
    ", \"minimum_version_id\": 1, \"Fields\": [" fields "]}]"

/* Also into a stream, unless it is NULL. */
static struct gw_explain_counts explain_dumped(const char *from, const char *into, const char *json)
{
    struct gw_inspect *a = described(from), *b = into ? described(into) : NULL;
    struct gw_error err = GW_ERROR_INIT;
    struct gw_explain_counts counts = {0};
    struct gw_dump *dump = NULL;

    if (gw_dump_parse(json, strlen(json), &dump, &err) < 0)
        fail_msg("%s", err.text);
    memset(&reasons, 0, sizeof reasons);
    assert_int_equal(gw_inspect_explain(a, b, dump, found, &reasons, &counts, &err), 0);
    gw_dump_free(dump);
    gw_inspect_free(a);
    gw_inspect_free(b);
    return counts;
}

static void test_dump(void **state)
{
    const char *x4 = STATE("2", FIELD("x", "uint32", "4")),
               *sub1 = STATE(
                   "2", FIELD("x", "uint32", "4")) ", \"subsections\": [{\"vmsd_name\": \"d/more\", \"version\": 1, "
                                                   "\"fields\": [" FIELD("y", "uint8", "1") "]}]";
    static const struct {
        const char *dump;
        bool sub;
        unsigned refused, unknown; /* besides that the stream does not tell its machine */
        const char *says;
    } cases[] = {
        {DUMP("2", "1", FIELDS(KNOWS("x", "0", "false", "4"))), false, 0, 0, ""},
        {DUMP("4", "2", FIELDS(KNOWS("x", "0", "false", "4") "," KNOWS("z", "3", "false", "8"))), false, 0, 0, ""},
        {DUMP("2", "2", FIELDS(KNOWS("x", "0", "false", "4") "," KNOWS("z", "0", "true", "8"))), false, 0, 0, ""},
        {DUMP("2", "2", FIELDS(KNOWS("renamed", "0", "false", "4"))), false, 0, 0, ""},
        {DUMP("2", "2", FIELDS(KNOWS("x", "0", "false", "4") "," KNOWS("z", "2", "false", "8"))), false, 0, 1,
         "field z of d is not written"},
        {DUMP("2", "2", FIELDS(KNOWS("x", "0", "false", "8"))), false, 0, 1, "field x of d has another size"},
        {DUMP("2", "2", FIELDS(KNOWS("w", "0", "false", "4") "," KNOWS("x", "0", "false", "4"))), false, 0, 1,
         "field w of d is not written"},
        {DUMP("2", "2", ""), false, 0, 1, "field x of d is not in the dump"},
        {DUMP("1", "1", FIELDS(KNOWS("x", "0", "false", "4"))), false, 1, 0, "version 2 is written, the destination's"},
        {DUMP("4", "3", FIELDS(KNOWS("x", "0", "false", "4"))), false, 1, 0, "reads 3 and later"},
        {DUMP("1", "1", FIELDS(KNOWS("x", "0", "false", "8"))), false, 0, 1, "field x of d has another size"},
        {DUMP("2", "1", FIELDS(KNOWS("x", "0", "false", "4"))), true, 1, 0,
         "subsection d/more is not known to the destination's program"},
        {DUMP("2", "1", FIELDS(KNOWS("x", "0", "false", "4")) SUBS("1", KNOWS("y", "0", "false", "1"))), true, 0, 0,
         ""},
        {DUMP("2", "1", FIELDS(KNOWS("x", "0", "false", "4")) SUBS("0", KNOWS("y", "0", "false", "1"))), true, 1, 0,
         "subsection d/more has version 1, the destination's program knows 0"},
        {DUMP("2", "1", FIELDS(KNOWS("x", "0", "false", "4")) SUBS("1", KNOWS("y", "0", "false", "2"))), true, 0, 1,
         "field y of d/more has another size"},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        struct gw_explain_counts n = explain_dumped(cases[i].sub ? sub1 : x4, NULL, cases[i].dump);

        if (n.refused != cases[i].refused || n.unknown != cases[i].unknown + 1 || !strstr(reasons.all, cases[i].says))
            fail_msg("%zu: %u, %u: %s", i, n.refused, n.unknown, reasons.all);
        n = explain_dumped(cases[i].sub ? sub1 : x4, x4, cases[i].dump);
        /* A stream of it loads x4; whether it knows the subsection only the dump can tell. */
        if (n.refused != cases[i].refused || n.unknown != (cases[i].sub ? cases[i].unknown : 0))
            fail_msg("%zu, with a stream: %u, %u: %s", i, n.refused, n.unknown, reasons.all);
    }
}

/* Elements of an array, padding that was used for something, and what was given up for padding. */
static void test_dump_layout(void **state)
{
    const char *five = STATE("1", "{\"name\": \"flags\", \"type\": \"bool\", \"array_len\": 5, \"size\": 1}," FIELD(
                                      "end", "uint8", "1")),
               *padding = STATE("1", FIELD("unused", "unused_buffer", "5") "," FIELD("end", "uint8", "1")),
               *two = STATE("1",
                            FIELD("irq", "uint32", "4") "," FIELD("flag", "uint8", "1") "," FIELD("end", "uint8", "1"));
    const char *one_padding = DUMP(
                   "1", "1", FIELDS(KNOWS("unused", "0", "false", "5") "," KNOWS("end", "0", "false", "1") "," COUNTS)),
               *parts = DUMP("1", "1",
                             FIELDS(KNOWS("irq", "0", "false", "4") "," KNOWS("flag", "0", "false", "1") "," KNOWS(
                                 "end", "0", "false", "1") "," COUNTS)),
               *array = DUMP("1", "1", FIELDS(KNOWS("flags", "0", "false", "1") "," KNOWS("end", "0", "false", "1"))),
               *less = DUMP("1", "1",
                            FIELDS(KNOWS("irq", "0", "false", "4") "," KNOWS("end", "0", "false", "1") "," COUNTS));

    assert_int_equal(explain_dumped(five, NULL, one_padding).unknown, 1);
    assert_int_equal(explain_dumped(two, NULL, one_padding).unknown, 1);
    assert_int_equal(explain_dumped(padding, NULL, parts).unknown, 1);
    assert_int_equal(explain_dumped(padding, NULL, one_padding).unknown, 1);
    assert_int_equal(explain_dumped(padding, NULL, array).unknown, 1); /* an old dump does not tell of how many */
    assert_int_equal(explain_dumped(padding, NULL, less).unknown, 2);
    assert_int_equal(explain_dumped(two, NULL, less).unknown, 2);
    assert_int_equal(explain_dumped(five, NULL, less).unknown, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dump),
        cmocka_unit_test(test_dump_layout),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
