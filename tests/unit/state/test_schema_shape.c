/* SPDX-License-Identifier: MIT
 *
 * A schema with one member that is missing or of another type is refused, and the error says which one it is. The whole one, and one
 * with members that nobody knows, are accepted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "state/schema_shape.h"

#define WHOLE                                                                                                          \
    "{\"godwit_schema\":1,\"machine\":\"m\",\"devices\":[{\"name\":\"old\",\"instance_id\":1,\"version\":3},"                          \
    "{\"name\":\"d\",\"instance_id\":0,\"aliases\":[{\"name\":\"e\",\"instance_id\":2}],\"unmigratable\":true,\"early\":false,"      \
    "\"state\":{\"name\":\"d\",\"version\":2,\"oldest\":1,\"optional\":true,\"fields\":[{\"name\":\"a\",\"type\":\"uint32\","         \
    "\"since\":2,\"conditional\":true,\"nullable\":false,\"count\":4,\"size\":4},{\"name\":\"b\",\"type\":\"struct\",\"max\":9,"     \
    "\"counted_by\":\"a\",\"bits\":7,\"state\":{\"name\":\"in\",\"version\":1,\"oldest\":1,\"fields\":[]}}],"                       \
    "\"subsections\":[{\"name\":\"d/s\",\"version\":1,\"oldest\":1,\"fields\":[{\"name\":\"c\",\"type\":\"bool\",\"size\":1}]}]}}]}"

static int read_text(const char *text, struct gw_error *err)
{
    struct gw_arena arena = {0};
    struct gw_json *root = NULL;
    int r = gw_schema_read(text, &arena, &root, err);

    gw_arena_free(&arena);
    return r;
}

/* The whole schema with the nth of what is replaced. */
static void refused(const char *what, unsigned nth, const char *with, const char *says)
{
    struct gw_error err = GW_ERROR_INIT;
    const char *at = WHOLE - 1;
    char text[2048];

    do {
        at = strstr(at + 1, what);
        assert_non_null(at);
    } while (nth--);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - WHOLE), WHOLE, with, at + strlen(what));
    if (read_text(text, &err) != -EPROTO || strcmp(err.text, says) != 0)
        fail_msg("%s\nsaid: %s\nnot:  %s", text, err.text, says);
}

static void test_whole(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    if (read_text(WHOLE, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(read_text("{\"godwit_schema\":1,\"machine\":\"\",\"devices\":[],\"new\":[1]}", NULL), 0);
}

static void test_members(void **state)
{
    refused("\"godwit_schema\":1", 0, "\"godwit_schema\":2", "not a schema of format 1 (\"godwit_schema\": 1)");
    refused("\"machine\":\"m\"", 0, "\"machine\":7", "machine is an integer, but has to be a string");
    refused("\"machine\":\"m\",", 0, "", "it has no \"machine\"");
    refused("\"name\":\"old\",", 0, "", "devices[0] has no \"name\"");
    refused(",\"version\":3", 0, "", "devices[0] has neither a \"state\" nor a \"version\"");
    refused("\"instance_id\":0", 0, "\"instance_id\":-1", "devices[1].instance_id is -1, but cannot be negative");
    refused("\"instance_id\":2", 0, "\"instance_id\":\"2\"",
            "devices[1].aliases[0].instance_id is a string, but has to be an integer");
    refused("\"unmigratable\":true", 0, "\"unmigratable\":1",
            "devices[1].unmigratable is an integer, but has to be true or false");
    refused("\"oldest\":1", 0, "\"oldest\":null", "devices[1].state.oldest is null, but has to be an integer");
    refused("\"count\":4", 0, "\"count\":4.5",
            "devices[1].state.fields[0].count is a number with a fraction or beyond 64 bits, but has to be an integer");
    refused("\"fields\":[]", 0, "\"fields\":[\"a\"]",
            "devices[1].state.fields[1].state.fields[0] is a string, but has to be an object");
    refused("\"fields\":[]", 0, "\"fields\":{}",
            "devices[1].state.fields[1].state.fields is an object, but has to be a list");
    refused(",\"type\":\"bool\"", 0, "", "devices[1].state.subsections[0].fields[0] has no \"type\"");
}

/* A place that is longer than is told is cut off, and nothing else happens. */
static void test_deep(void **state)
{
    static const char head[] = "{\"godwit_schema\":1,\"machine\":\"m\",\"devices\":[{\"name\":\"d\",\"instance_id\":0,\"state\":";
    static const char in[] = "{\"name\":\"s\",\"version\":1,\"oldest\":1,\"fields\":[{\"name\":\"f\",\"type\":\"struct\",\"state\":";
    struct gw_error err = GW_ERROR_INIT;
    char text[4096];
    size_t n = (size_t)snprintf(text, sizeof text, "%s", head);

    for (unsigned i = 0; i < 18; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s", in);
    n += (size_t)snprintf(text + n, sizeof text - n, "1");
    for (unsigned i = 0; i < 18; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "}]}");
    snprintf(text + n, sizeof text - n, "}]}");
    assert_int_equal(read_text(text, &err), -EPROTO);
    assert_non_null(strstr(err.text, "devices[0].state.fields[0].state.fields[0]"));
    assert_non_null(strstr(err.text, " is an integer, but has to be an object"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_deep),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
