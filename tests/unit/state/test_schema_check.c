/* SPDX-License-Identifier: MIT
 *
 * Two schemas: what is said of each kind of difference, and that nothing is said of equal ones.
 */
#include "schemas.h"

static void test_equal(void **state)
{
    compare(dump(&zoo_state, "zoo", NULL), dump(&zoo_state, "zoo", NULL), "");
}

static void test_added_removed_renamed(void **state)
{
    states(STATE(1, BOX(u8), BOX(u32)), STATE(1, BOX(u8), BOX(u16), BOX(u32)),
           "BREAKS device d/0.u16: is expected, but not written (added; it needs a version, a condition or a "
           "subsection)\n");
    states(STATE(1, BOX(u8), BOX(u16), BOX(u32)), STATE(1, BOX(u8), BOX(u32)),
           "BREAKS device d/0.u16: is written, but there is no such field where it is read (removed)\n");
    states(STATE(1, BOX(u8), BOX(u32), BOX(u16)), STATE(1, BOX(u8), BOX(other32), BOX(u16)),
           "note device d/0.u32: renamed to other32 (names are not in the stream)\n");
    /* At the end, and two of them. */
    states(STATE(1, BOX(u8), BOX(u32), BOX(u16)), STATE(1, BOX(u8)),
           "BREAKS device d/0.u32: is written, but there is no such field where it is read (removed)\n"
           "BREAKS device d/0.u16: is written, but there is no such field where it is read (removed)\n");
    /* Old code does not know a field that a newer version has. */
    states(STATE(1, BOX(u8)), STATE(2, BOX(u8), BOX(u16, .since = 2)),
           "note device d/0: version 1 is written, 2 is the newest that is known\n");
    states(STATE(2, BOX(u8), BOX(u16, .since = 2)), STATE(1, BOX(u8)),
           "BREAKS device d/0: version 2 is written, at most 1 is read\n"
           "BREAKS device d/0.u16: is written, but there is no such field where it is read (removed)\n");
    states(STATE(1, BOX(u32), BOX(u8)), STATE(1, BOX(u8), BOX(u32)),
           "BREAKS device d/0.u32: is expected in another place\n");
}

static bool always(const void *p, uint32_t version)
{
    return true;
}

static void test_changed(void **state)
{
    states(STATE(1, BOX(u16, .name = "x")), STATE(1, BOX(u32, .name = "x")),
           "BREAKS device d/0.x: uint16 of 2 bytes is written, uint32 of 4 is expected\n");
    states(STATE(1, BOX(u32, .name = "x")), STATE(1, BOX(i32, .name = "x")),
           "note device d/0.x: uint32 where it is written, int32 where it is read\n");
    states(STATE(1, BOX(u64, .name = "x")), STATE(1, GW_TIMER(struct box, when, .name = "x")),
           "note device d/0.x: uint64 where it is written, timer where it is read\n");
    states(STATE(1, BOX(u32)), STATE(1, GW_FIELD_EQUAL(struct box, u32)),
           "note device d/0.u32: uint32 where it is written, uint32 equal where it is read\n");
    states(STATE(1, GW_ARRAY(struct box, list8)), STATE(1, GW_ARRAY_FIRST(struct box, list8, 3)),
           "BREAKS device d/0.list8: 4 elements are written, 3 are expected\n");
    states(STATE(1, GW_ARRAY(struct box, list8)), STATE(1, GW_BYTES(struct box, list8)), "");
    states(STATE(1, GW_BYTES(struct box, list8)), STATE(1, GW_UNUSED_BYTES(4)),
           "note device d/0.list8: is padding where it is read: its value is ignored\n");
    states(STATE(1, GW_UNUSED_BYTES(4)), STATE(1, BOX(u32)),
           "note device d/0.unused: was padding where it is written: arrives as zero\n");
    states(STATE(1, BOX(n), GW_ARRAY_N(struct box, many, n)),
           STATE(1, BOX(n), GW_ARRAY_N(struct box, list8, n, .name = "many")),
           "BREAKS device d/0.many: up to 8 elements are written, more than 4 are refused\n"
           "BREAKS device d/0.many: uint16 of 2 bytes is written, uint8 of 1 is expected\n");
    states(STATE(1, BOX(n), GW_ARRAY(struct box, many)), STATE(1, BOX(n), GW_ARRAY_N(struct box, many, n)),
           "BREAKS device d/0.many: has a fixed number of elements, but one that varies is expected\n"
           "BREAKS device d/0.many: 8 elements are written, 1 are expected\n");
    states(STATE(1, BOX(u8, .when = always)), STATE(1, BOX(u8)),
           "BREAKS device d/0.u8: is written only under a condition, but always expected\n");
    states(STATE(1, BOX(u8)), STATE(1, BOX(u8, .when = always)),
           "BREAKS device d/0.u8: is always written, but expected only under a condition\n");
    states(&(struct gw_state){.name = "d", .version = 1, .fields = (const struct gw_field[]){BOX(u8), GW_END}},
           &(struct gw_state){
               .name = "d", .version = 3, .oldest = 2, .fields = (const struct gw_field[]){BOX(u8), GW_END}},
           "BREAKS device d/0: version 1 is written, only 2 and later are read\n");
}

static bool sometimes(const void *p)
{
    return false;
}

static void test_nested(void **state)
{
    const struct gw_field sub_fields[] = {BOX(u8), GW_END}, sub2_fields[] = {BOX(u8), BOX(u16, .since = 2), GW_END};
    const struct gw_state sub = {.name = "d/x", .version = 1, .fields = sub_fields, .needed = sometimes};
    const struct gw_state sub2 = {.name = "d/x", .version = 2, .fields = sub2_fields, .needed = sometimes};
    const struct gw_state *const with[] = {&sub, NULL}, *const with2[] = {&sub2, NULL};
    const struct gw_field fields[] = {BOX(u8), GW_END};
    const struct gw_state none = {.name = "d", .version = 1, .fields = fields};
    const struct gw_state has = {.name = "d", .version = 1, .fields = fields, .subsections = with};
    const struct gw_state has2 = {.name = "d", .version = 1, .fields = fields, .subsections = with2};

    states(&has, &none,
           "BREAKS device d/0: subsection d/x is not known where it is read: refused whenever it is written\n");
    states(&none, &has, "note device d/0: subsection d/x is never written: its fields keep their defaults\n");
    states(&has, &has2, "note device d/0 subsection d/x: version 1 is written, 2 is the newest that is known\n");
    states(
        STATE(1, GW_STRUCT(struct box, cage, &cage_state)), STATE(1, GW_STRUCT(struct box, cage, &plain_state)),
        "note device d/0.cage: version 2 is written, 0 is the newest that is known\n"
        "BREAKS device d/0.cage.wet: is written, but there is no such field where it is read (removed)\n"
        "BREAKS device d/0.cage.depth: is written, but there is no such field where it is read (removed)\n"
        "BREAKS device d/0.cage.n: is written, but there is no such field where it is read (removed)\n"
        "BREAKS device d/0.cage.some: has a number of elements that varies, but a fixed one is expected\n"
        "BREAKS device d/0.cage.some: 1 elements are written, 4 are expected\n"
        "BREAKS device d/0.cage: subsection cage/bits is not known where it is read: refused whenever it is written\n");
}

static void test_devices(void **state)
{
    const struct gw_state *st = STATE(1, BOX(u8)), *bad = STATE(1, BOX(u8));
    struct gw_state unmigratable = *bad;

    unmigratable.unmigratable = true;
    compare(dump(st, "d", NULL), dump(NULL, NULL, NULL),
            "BREAKS device d/0: is written, but not known where it is read\n");
    compare(dump(NULL, NULL, NULL), dump(st, "d", NULL),
            "note device d/0: is not written: it keeps the state that it has\n");
    compare(dump(st, "d", NULL), dump(st, "new", "d"),
            "note device d/0: is read under its old name; it is new there\n");
    states(&unmigratable, st, "BREAKS device d/0: cannot be migrated where it is written\n");
}

static void test_refused(void **state)
{
    static const char good[] = "{\"godwit_schema\": 1, \"machine\": \"m\", \"devices\": []}";
    static const char *const bad[] = {"", "{}", "[]", "{\"godwit_schema\": 2, \"machine\": \"m\", \"devices\": []}",
                                      "{\"godwit_schema\": 1, \"machine\": \"m\"}",
                                      "{\"godwit_schema\": 1, \"machine\": \"m\", \"devices\": [7]}"};
    struct gw_error err = GW_ERROR_INIT;

    for (size_t i = 0; i < GW_ARRAY_LEN(bad); i++) {
        assert_int_equal(gw_schema_check(bad[i], good, NULL, NULL, &err), -EPROTO);
        assert_int_equal(strncmp(err.text, "the schema of the writer: ", 26), 0);
        assert_int_equal(gw_schema_check(good, bad[i], NULL, NULL, &err), -EPROTO);
        assert_int_equal(strncmp(err.text, "the schema of the reader: ", 26), 0);
    }
    /* Numbers whose product is beyond 64 bits. */
    assert_int_equal(gw_schema_check("{\"godwit_schema\": 1, \"machine\": \"m\", \"devices\": [{\"name\": \"d\", \"instance_id\": 0, "
                                     "\"state\": {\"name\": \"s\", \"version\": 1, \"oldest\": 1, \"fields\": [{\"name\": \"f\", "
                                     "\"type\": \"buffer\", \"count\": 9223372036854775807, \"size\": 9223372036854775807}]}}]}",
                                     good, NULL, NULL, &err),
                     1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal),
        cmocka_unit_test(test_added_removed_renamed),
        cmocka_unit_test(test_changed),
        cmocka_unit_test(test_nested),
        cmocka_unit_test(test_devices),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
