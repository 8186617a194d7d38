/* SPDX-License-Identifier: MIT
 *
 * Schemas out of the description at the end of a stream.
 */
#include "schemas.h"

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

static void becomes(const char *description, const char *want)
{
    struct gw_error err = GW_ERROR_INIT;
    char *json;

    if (gw_schema_from_description(description, strlen(description), "m", &json, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(json, want);
    free(json);
}

#define TREE(devices) "{\"page_size\": 4096, \"devices\": [" devices "]}"
#define DEVICE(rest)  "{\"name\": \"a\", \"instance_id\": 7, " rest "}"
#define SCHEMA(rest)                                                                                                   \
    "{\"godwit_schema\": 1, \"machine\": \"m\", \"devices\": [{\"name\": \"a\", \"instance_id\": 7, " rest "}]}"
#define U8 "\"type\": \"uint8\", \"size\": 1}"

/* Entries of one array are one field, a list may have any number, and old-style devices say nothing. */
static void test_fields(void **state)
{
    becomes(TREE(DEVICE("\"vmsd_name\": \"s\", \"version\": 3, \"fields\": [{\"name\": \"x\", \"index\": 0, " U8
                        ", {\"name\": \"x\", \"index\": 1, \"array_len\": 2, " U8 ", {\"name\": \"y\", " U8 "]")),
            SCHEMA("\"state\": {\"name\": \"s\", \"version\": 3, \"oldest\": 0, \"fields\": [{\"name\": \"x\", \"type\": \"uint8\", "
                   "\"count\": 3, \"size\": 1}, {\"name\": \"y\", \"type\": \"uint8\", \"size\": 1}]}"));
    becomes(TREE(DEVICE("\"vmsd_name\": \"s\", \"version\": 1, \"fields\": [{\"name\": \"q\", \"type\": \"qtailq\", \"vmsd_name\": "
                        "\"e\", \"version\": 1, \"fields\": [{\"name\": \"x\", " U8 "], \"size\": 3}]")),
            SCHEMA("\"state\": {\"name\": \"s\", \"version\": 1, \"oldest\": 0, \"fields\": [{\"name\": \"q\", \"type\": \"qtailq\", "
                   "\"max\": 4294967295, \"state\": {\"name\": \"e\", \"version\": 1, \"oldest\": 0, \"fields\": [{\"name\": \"x\", "
                   "\"type\": \"uint8\", \"size\": 1}]}}]}"));
    becomes(TREE(DEVICE("\"fields\": [{\"name\": \"data\", \"type\": \"buffer\", \"size\": 9}]")), SCHEMA("\"version\": 0"));
}

/* A subsection that came once need not come again. */
static void test_subsections(void **state)
{
    becomes(TREE(DEVICE("\"vmsd_name\": \"s\", \"version\": 1, \"fields\": [], \"subsections\": [{\"vmsd_name\": \"s/x\", "
                        "\"version\": 2, \"fields\": []}]")),
            SCHEMA("\"state\": {\"name\": \"s\", \"version\": 1, \"oldest\": 0, \"fields\": [], \"subsections\": [{\"name\": \"s/x\", "
                   "\"version\": 2, \"oldest\": 0, \"optional\": true, \"fields\": []}]}"));
}

static void test_refused(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    char *json = NULL;

    assert_int_equal(gw_schema_from_description("{}", 2, "m", &json, &err), -EPROTO);
    assert_string_equal(err.text, "state description: there are no devices");
    assert_null(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_peers), cmocka_unit_test(test_fields), cmocka_unit_test(test_subsections), cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
