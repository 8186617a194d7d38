/* SPDX-License-Identifier: MIT
 *
 * What -dump-vmstate wrote, read: fields, repeated names, and every value that cannot be, with its type and state.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "state/dump.h"

#define FAILING_COUNTDOWN
#include "../../failing.h"

#define STATE(name, more) "{\"name\": \"" name "\", \"version_id\": 3, \"minimum_version_id\": 1" more "}"
#define TYPE(name, state) "\"" name "\": {\"Name\": \"" name "\", \"version_id\": 3, \"minimum_version_id\": 1, \"Description\": " state "}"
#define DUMP(more) "{\"vmschkmachine\": {\"Name\": \"pc-q35-10.0\"}" more "}"
#define FIELD(name, more) "{\"field\": \"" name "\", \"version_id\": 2, \"field_exists\": false, \"size\": 4" more "}"

static const char whole[] = DUMP(", " TYPE("uart", STATE("serial", ", \"Fields\": [" FIELD("a", "") ", " FIELD("b", ", \"num\": 7") ", "
                                 FIELD("a", "") ", {\"field\": \"c\", \"version_id\": 0, \"field_exists\": true, \"size\": 0, "
                                 "\"Description\": " STATE("inner", ", \"Fields\": [" FIELD("x", "") "]") "}], \"Subsections\": ["
                                 STATE("serial/more", "") "]")) ", " TYPE("nic", STATE("nic", "")));

static void test_read(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_dump *d = NULL;
    const struct gw_dump_state *s;

    if (gw_dump_parse(whole, sizeof whole - 1, &d, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(d->machine, "pc-q35-10.0");
    assert_int_equal(d->type_count, 2);
    assert_true(d->tells_counts);
    assert_string_equal(d->types[0].name, "uart");
    s = &d->types[0].state;
    assert_string_equal(s->name, "serial");
    assert_int_equal(s->version, 3);
    assert_int_equal(s->oldest, 1);
    assert_int_equal(s->field_count, 4);
    assert_string_equal(s->fields[1].name, "b");
    assert_int_equal(s->fields[1].since, 2);
    assert_int_equal(s->fields[1].bytes, 4);
    assert_int_equal(s->fields[1].count, 7);
    assert_false(s->fields[1].repeated);
    /* Two of one name are numbered. */
    assert_true(s->fields[0].repeated && s->fields[2].repeated);
    assert_int_equal(s->fields[0].nth, 0);
    assert_int_equal(s->fields[2].nth, 1);
    assert_int_equal(s->fields[0].count, 1);
    assert_true(s->fields[3].conditional && !s->fields[0].conditional);
    assert_string_equal(s->fields[3].inside->name, "inner");
    assert_string_equal(s->fields[3].inside->fields[0].name, "x");
    assert_int_equal(s->subsection_count, 1);
    assert_string_equal(s->subsections[0].name, "serial/more");
    assert_int_equal(d->types[1].state.field_count, 0);
    assert_null(gw_dump_free(d));
    assert_null(gw_dump_free(NULL));
}

static void test_refused(void **state)
{
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"{}", "dump of states: there is no vmschkmachine: this is not what -dump-vmstate writes"},
        {"[]", "there is no vmschkmachine"},
        {"{\"vmschkmachine\": {}}", "there is no Name"},
        {"{\"vmschkmachine\": {\"Name\": \"\"}}", "Name is not a string of 1 to 255 bytes"},
        {"{\"vmschkmachine\": {\"Name\": 5}}", "there is no Name"},
        {"{\"vmschkmachine\": {\"Name\": \"\xff\"}}", "Name has a byte 0xff"},
        {DUMP(", \"vmschkmachine\": {\"Name\": \"again\"}"), "vmschkmachine stands there twice"},
        {DUMP(", \"t\": 5"), "dump of states: type t: there is no name"},
        {DUMP(", \"\": {}"), "the name of a type is not a string of 1 to 255 bytes"},
        {DUMP(", " TYPE("t", "{\"name\": \"s\"}")), "type t, state s: version_id is not a number from 0 to 2147483647"},
        {DUMP(", " TYPE("t", "{\"name\": \"s\", \"version_id\": -1, \"minimum_version_id\": 1}")), "version_id is not a number"},
        {DUMP(", " TYPE("t", "{\"name\": \"s\", \"version_id\": 2147483648, \"minimum_version_id\": 1}")), "version_id is not"},
        {DUMP(", " TYPE("t", "{\"name\": \"s\", \"version_id\": 3, \"minimum_version_id\": 1.5}")), "minimum_version_id is not"},
        {DUMP(", " TYPE("t", "{\"name\": \"s\", \"version_id\": 4, \"minimum_version_id\": 1}")),
         "type t, state s: it gives two different versions"},
        {DUMP(", " TYPE("t", STATE("s", ", \"Fields\": 5"))), "Fields is no list"},
        {DUMP(", " TYPE("t", STATE("s", ", \"Subsections\": {}"))), "Subsections is no list"},
        {DUMP(", " TYPE("t", STATE("s", ", \"Fields\": [5]"))), "there is no field"},
        {DUMP(", " TYPE("t", STATE("s", ", \"Fields\": [{\"field\": \"a\", \"version_id\": 0}]"))),
         "type t, state s: size is not a number from 0 to 1099511627776"},
        {DUMP(", " TYPE("t", STATE("s", ", \"Fields\": [" FIELD("a", ", \"num\": 4294967296") "]"))), "num is not a number"},
        {DUMP(", " TYPE("t", STATE("s", ", \"Fields\": [" FIELD("a", ", \"Description\": 1") "]"))), "there is no name"},
        {DUMP(", " TYPE("t", STATE("s", ", \"Subsections\": [1]"))), "there is no name"},
        {"{", "not JSON at byte 1"},
        {"", "not JSON at byte 0"},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_dump *d = NULL;

        assert_int_equal(gw_dump_parse(rows[i].text, strlen(rows[i].text), &d, &err), -EPROTO);
        assert_null(d);
        if (!strstr(err.text, rows[i].why))
            fail_msg("%s: '%s' is not in '%s'", rows[i].text, rows[i].why, err.text);
    }
}

/* More fields in one state than are compared with each other, and more types than a program has. */
static void test_too_many(void **state)
{
    for (int types = 0; types < 2; types++)
        for (unsigned n = types ? 8191 : 2048; n <= (types ? 8192u : 2049u); n++) {
            size_t room = (size_t)n * 200 + 1000, at;
            char *text = malloc(room);
            struct gw_error err = GW_ERROR_INIT;
            struct gw_dump *d = NULL;
            bool good = n < (types ? 8192u : 2049u);
            int r;

            at = (size_t)snprintf(text, room, "{\"vmschkmachine\": {\"Name\": \"m\"}, ");
            if (!types)
                at += (size_t)snprintf(text + at, room - at,
                                       "\"t\": {\"version_id\": 1, \"minimum_version_id\": 1, \"Description\": {\"name\": \"s\", "
                                       "\"version_id\": 1, \"minimum_version_id\": 1, \"Fields\": [");
            for (unsigned i = 0; i < n; i++)
                at += (size_t)snprintf(text + at, room - at,
                                       types ? "%s\"t%u\": {\"version_id\": 1, \"minimum_version_id\": 1, \"Description\": "
                                               "{\"name\": \"s\", \"version_id\": 1, \"minimum_version_id\": 1}}"
                                             : "%s{\"field\": \"f%u\", \"version_id\": 1, \"size\": 1}",
                                       i ? ", " : "", i);
            at += (size_t)snprintf(text + at, room - at, types ? "}" : "]}}}");
            assert_true(at < room);
            r = gw_dump_parse(text, at, &d, &err);
            if (r != (good ? 0 : -EPROTO))
                fail_msg("%u: %s", n, err.text);
            if (!good)
                assert_non_null(strstr(err.text, types ? "8193 types are more than any program has"
                                                       : "2049 fields are more than any state has"));
            gw_dump_free(d);
            free(text);
        }
}

static void test_nomem(void **state)
{
    unsigned n = 1;

    for (;; n++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_dump *d = NULL;
        bool hit;
        int r;

        countdown = n;
        r = gw_dump_parse(whole, sizeof whole - 1, &d, &err);
        hit = countdown == 0;
        countdown = 0;
        if (!hit) {
            assert_int_equal(r, 0);
            gw_dump_free(d);
            break;
        }
        assert_int_equal(r, -ENOMEM);
        assert_int_equal(err.blame, GW_BLAME_LOCAL);
        assert_null(d);
    }
    assert_true(n > 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_nomem),
    };

    return cmocka_run_group_tests_name("dump", tests, NULL, NULL);
}
