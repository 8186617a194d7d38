/* SPDX-License-Identifier: MIT
 *
 * Schemas as -dump-vmstate has them, and back.
 */
#include "schemas.h"

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
         "type t, state s: it gives two different versions"},
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

static void becomes(const char *fields, const char *want)
{
    struct gw_error err = GW_ERROR_INIT;
    char text[700], *schema;

    snprintf(text, sizeof text, "{\"vmschkmachine\": {\"Name\": \"m\"}, \"t\": {\"Name\": \"t\", \"version_id\": 2, \"minimum_version_id\": 1, "
             "\"Description\": {\"name\": \"s\", \"version_id\": 2, \"minimum_version_id\": 1, \"Fields\": [%s]}}}", fields);
    if (gw_schema_from_dump(text, strlen(text), &schema, &err) < 0)
        fail_msg("%s", err.text);
    if (!strstr(schema, want))
        fail_msg("%s\nis not in\n%s", want, schema);
    free(schema);
}

/* What a dump tells of a field, and nothing that is as usual. */
static void test_fields(void **state)
{
    becomes("{\"field\": \"f\", \"version_id\": 0, \"field_exists\": false, \"size\": 4}", "{\"name\": \"f\", \"type\": \"\", \"size\": 4}");
    becomes("{\"field\": \"f\", \"version_id\": 2, \"field_exists\": true, \"num\": 3, \"size\": 4}",
            "{\"name\": \"f\", \"type\": \"\", \"since\": 2, \"conditional\": true, \"count\": 3, \"size\": 4}");
}

/* A type is told once, however many devices are of it; what has no description is not told. */
static void test_types(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    char *dump;

#define STATE_OF(n) "\"state\": {\"name\": \"s\", \"version\": " #n ", \"oldest\": 1, \"fields\": []}"
    assert_int_equal(gw_schema_to_dump("{\"godwit_schema\": 1, \"machine\": \"m\", \"devices\": [{\"name\": \"a\", \"instance_id\": 0, " STATE_OF(1)
                                       "}, {\"name\": \"a\", \"instance_id\": 1, " STATE_OF(2)
                                       "}, {\"name\": \"old\", \"instance_id\": 0, \"version\": 3}]}", &dump, &err), 0);
    assert_string_equal(dump, "{\"vmschkmachine\": {\"Name\": \"m\"}, \"a\": {\"Name\": \"a\", \"version_id\": 1, \"minimum_version_id\": 1, "
                              "\"Description\": {\"name\": \"s\", \"version_id\": 1, \"minimum_version_id\": 1}}}");
    free(dump);
    assert_int_equal(gw_schema_to_dump("{\"godwit_schema\": 2}", &dump, &err), -EPROTO);
    assert_string_equal(err.text, "not a schema of format 1 (\"godwit_schema\": 1)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_qemu),
        cmocka_unit_test(test_as_qemu_differs), cmocka_unit_test(test_fields), cmocka_unit_test(test_types),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
