/* SPDX-License-Identifier: MIT
 *
 * Two dumps: what is said of each kind of difference, and that nothing is said of equal ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "capture.h"
#include "state/json.h"
#include "state/registry.h"
#include "zoo.h"

struct box {
    uint8_t u8, list8[4], n;
    uint16_t u16;
    uint32_t u32, other32;
    int32_t i32;
    uint64_t u64;
    int64_t when;
    uint16_t many[8];
    struct cage cage;
};

static char *dump(const struct gw_state *st, const char *id, const char *alias)
{
    struct gw_registry *reg = NULL;
    struct gw_error err = GW_ERROR_INIT;
    struct box box;
    char *json = NULL;

    assert_int_equal(gw_registry_new(&reg, &err), 0);
    if (st && gw_registry_add(reg, st, id, 0, &box, &err) < 0)
        fail_msg("%s", err.text);
    if (alias)
        assert_int_equal(gw_registry_add_alias(reg, &box, alias, 0, &err), 0);
    assert_int_equal(gw_schema_dump(reg, "m", &json, &err), 0);
    gw_registry_free(reg);
    return json;
}

struct said {
    char text[4000];
};

static void note(void *opaque, bool breaking, const char *where, const char *what)
{
    struct said *s = opaque;
    size_t n = strlen(s->text);

    snprintf(s->text + n, sizeof s->text - n, "%s %s: %s\n", breaking ? "BREAKS" : "note", where, what);
}

static void compare(char *from, char *to, const char *want)
{
    struct said said = {""};
    struct gw_error err = GW_ERROR_INIT;
    int breaking = 0, r = gw_schema_check(from, to, note, &said, &err);

    if (r < 0)
        fail_msg("%s", err.text);
    assert_string_equal(said.text, want);
    for (const char *p = want; (p = strstr(p, "BREAKS ")); p++)
        breaking++;
    assert_int_equal(r, breaking);
    free(from);
    free(to);
}

#define STATE(v, ...)                                                                                                  \
    (&(struct gw_state){.name = "d", .version = (v), .fields = (const struct gw_field[]){__VA_ARGS__, GW_END}})
#define BOX(m, ...) GW_FIELD(struct box, m, __VA_ARGS__)

static void states(const struct gw_state *from, const struct gw_state *to, const char *want)
{
    compare(dump(from, "d", NULL), dump(to, "d", NULL), want);
}

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

static void test_dump(void **state)
{
    char *json = dump(&zoo_state, "zoo", "menagerie");
    struct gw_arena arena = {0};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_json *root, *device;

    assert_int_equal(gw_json_parse(json, strlen(json), &arena, &root, &err), 0);
    device = gw_json_get(root, "devices")->first;
    assert_string_equal(gw_json_get(gw_json_get(device, "state"), "name")->string, "zoo");
    assert_int_equal(gw_json_get(gw_json_get(device, "state"), "fields")->count, GW_ARRAY_LEN(zoo_fields) - 2);
    assert_int_equal(gw_json_get(gw_json_get(device, "state"), "subsections")->count, 2);
    assert_non_null(strstr(json,
                           "{\"name\": \"words\", \"type\": \"uint64\", \"max\": 9, \"counted_by\": \"words_len\", "
                           "\"size\": 8}"));
    assert_non_null(
        strstr(json, "{\"name\": \"animals\", \"type\": \"qtailq\", \"max\": 6, \"state\": {\"name\": \"animal\""));
    gw_arena_free(&arena);
    free(json);
}

/* Types are not in it; what is compared otherwise is. */
static void test_as_qemu(void **state)
{
    static const char *const wrong[][2] = {
        {"{}", "there is no vmschkmachine"},
        {"[]", "there is no vmschkmachine"},
        {"{\"vmschkmachine\": {}}", "there is no Name"},
        {"{\"vmschkmachine\": {\"Name\": \"m\"}, \"t\": 5}", "type t: there is no name"},
        {"{\"vmschkmachine\": {\"Name\": \"m\"}, \"t\": {\"version_id\": 1, \"minimum_version_id\": 1, "
         "\"Description\": "
         "{\"name\": \"s\", \"version_id\": 2, \"minimum_version_id\": 1}}}",
         "type t, state s: two different versions are told"},
        {"{\"vmschkmachine\": {\"Name\": \"m\"}, \"t\": {\"version_id\": 1, \"minimum_version_id\": 1, "
         "\"Description\": "
         "{\"name\": \"s\", \"version_id\": 1, \"minimum_version_id\": 1, \"Fields\": [{\"field\": \"f\", "
         "\"version_id\": 1, "
         "\"size\": -1}]}}}",
         "type t, state s: size is not a number"},
        {"{\"vmschkmachine\": {\"Name\": \"m\"}, \"t\": {\"version_id\": 1, \"minimum_version_id\": 1, "
         "\"Description\": "
         "{\"name\": \"s\", \"version_id\": 1, \"minimum_version_id\": 1, \"Fields\": {}}}}",
         "type t, state s: Fields is no list"},
        {"{\"vmschkmachine\": {\"Name\": \"m\\u00e9\"}}", "Name has a byte 0xc3"},
    };
    char *json = dump(&zoo_state, "zoo", NULL), *qemu, *back;
    struct gw_error err = GW_ERROR_INIT;

    assert_int_equal(gw_schema_to_dump(json, &qemu, &err), 0);
    assert_int_equal(gw_schema_from_dump(qemu, strlen(qemu), &back, &err), 0);
    assert_non_null(
        strstr(qemu, "{\"vmschkmachine\": {\"Name\": \"m\"}, \"zoo\": {\"Name\": \"zoo\", \"version_id\": "));
    compare(strdup(qemu), strdup(back), "");
    /* Nothing that has one size is seen as another; what varies is fixed, for all that a dump tells. */
    assert_int_equal(gw_schema_check(qemu, qemu, NULL, NULL, &err), 0);
    assert_true(gw_schema_to_dump("{}", &back, &err) == -EPROTO);
    free(json);
    free(qemu);
    free(back);
    for (size_t i = 0; i < GW_ARRAY_LEN(wrong); i++) {
        assert_int_equal(gw_schema_from_dump(wrong[i][0], strlen(wrong[i][0]), &back, &err), -EPROTO);
        if (!strstr(err.text, wrong[i][1]))
            fail_msg("%s: %s", wrong[i][0], err.text);
    }
}

static const struct gw_field older_fields[] = {GW_FIELD(struct box, u8), GW_FIELD_SINCE(2, struct box, u16),
                                               GW_ARRAY(struct box, list8), GW_FIELD(struct box, u32), GW_END};
static const struct gw_field first_fields[] = {GW_FIELD(struct box, u8), GW_ARRAY(struct box, list8), GW_FIELD(struct box, u32),
                                               GW_END};
static const struct gw_field other_fields[] = {GW_FIELD(struct box, u8), GW_FIELD_SINCE(2, struct box, u32),
                                               GW_ARRAY(struct box, list8), GW_FIELD(struct box, u32), GW_END};

static void test_as_qemu_differs(void **state)
{
    static const struct gw_state a = {.name = "s", .version = 2, .oldest = 1, .fields = older_fields},
                                 b = {.name = "s", .version = 1, .oldest = 1, .fields = first_fields},
                                 c = {.name = "s", .version = 2, .oldest = 1, .fields = other_fields};
    const struct gw_state *with[] = {&a, &b, &c};
    char *json[3], *qemu[3];
    struct gw_error err = GW_ERROR_INIT;

    for (size_t i = 0; i < 3; i++) {
        json[i] = dump(with[i], "d", NULL);
        assert_int_equal(gw_schema_to_dump(json[i], &qemu[i], &err), 0);
    }
    assert_int_equal(gw_schema_check(qemu[0], json[0], NULL, NULL, &err), 0);
    assert_int_equal(gw_schema_check(json[0], qemu[0], NULL, NULL, &err), 0);
    compare(strdup(qemu[0]), strdup(qemu[1]),
            "BREAKS device d/0: version 2 is written, at most 1 is read\n"
            "BREAKS device d/0.u16: is written, but there is no such field where it is read (removed)\n");
    assert_true(gw_schema_check(qemu[0], qemu[2], NULL, NULL, &err) > 0);
    for (size_t i = 0; i < 3; i++) {
        free(json[i]);
        free(qemu[i]);
    }
}

static void captures(const char *from, const char *to, const char *want)
{
    struct capture a = {0}, b = {0};
    struct gw_error err = GW_ERROR_INIT;
    char *x, *y;

    assert_true(capture_open(&a, from) && capture_open(&b, to));
    assert_int_equal(gw_schema_from_description(a.text, a.text_bytes, "m", &x, &err), 0);
    assert_int_equal(gw_schema_from_description(b.text, b.text_bytes, "m", &y, &err), 0);
    compare(x, y, want);
    capture_close(&a);
    capture_close(&b);
}

/* Real machines of two versions, which load each other's streams: what differs is told, nothing breaks. */
static void test_peers(void **state)
{
    captures("precopy-pc-7.2.bin.gz", "precopy-pc-7.2.bin.gz", "");
    captures("precopy-pc-7.2.bin.gz", "precopy-pc-10.0.bin.gz",
             "note device hpet/0.num_timers: renamed to num_timers_save (names are not in the stream)\n"
             "note device globalstate/0.runstate: its 100 bytes are read as 4 fields, from runstate on\n");
    captures("precopy-pc-10.0.bin.gz", "precopy-pc-7.2.bin.gz",
             "note device hpet/0.num_timers_save: renamed to num_timers (names are not in the stream)\n"
             "note device globalstate/0.runstate: 4 fields from here on are read as the 100 bytes of runstate\n");
    captures("precopy-microvm-10.0.bin.gz", "precopy-microvm-7.2.bin.gz",
             "note device globalstate/0.runstate: 4 fields from here on are read as the 100 bytes of runstate\n");
}

static void test_refused(void **state)
{
    static const char *const bad[] = {"", "{}", "[]", "{\"godwit_schema\": 2, \"devices\": []}",
                                      "{\"godwit_schema\": 1}"};
    struct gw_error err = GW_ERROR_INIT;

    for (size_t i = 0; i < GW_ARRAY_LEN(bad); i++) {
        assert_int_equal(gw_schema_check(bad[i], "{\"godwit_schema\": 1, \"devices\": []}", NULL, NULL, &err), -EPROTO);
        assert_int_equal(strncmp(err.text, "the schema of the writer: not ", 30), 0);
        assert_int_equal(gw_schema_check("{\"godwit_schema\": 1, \"devices\": []}", bad[i], NULL, NULL, &err), -EPROTO);
    }
    /* Members of the wrong kind are as if they were missing. */
    assert_int_equal(
        gw_schema_check("{\"godwit_schema\": 1, \"devices\": [{\"name\": 1, \"state\": {\"fields\": [1, {\"count\": "
                        "9223372036854775807, \"size\": 9223372036854775807}]}}, 7]}",
                        "{\"godwit_schema\": 1, \"devices\": [{\"state\": {\"fields\": [{\"type\": 4}, 9]}}]}", NULL,
                        NULL, &err),
        2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal),   cmocka_unit_test(test_added_removed_renamed),
        cmocka_unit_test(test_changed), cmocka_unit_test(test_nested),
        cmocka_unit_test(test_devices), cmocka_unit_test(test_dump),
        cmocka_unit_test(test_as_qemu), cmocka_unit_test(test_as_qemu_differs),
        cmocka_unit_test(test_peers),   cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
