/* SPDX-License-Identifier: MIT
 *
 * JSON values that come back as they were. What is wanted is what QEMU answers (tests/interop/test_qmp_values.py), or
 * closer to what was asked.
 */
#include "rig.h"

/* The text of an id, and of what comes back; NULL: the same. "": an error about the JSON. */
static const char *const ids[][2] = {
    {"0"},
    {"-1"},
    {"9223372036854775807"},
    {"9223372036854775808"},
    {"18446744073709551615"},
    {"18446744073709551616"}, /* QEMU: 1.8446744073709552e+19 */
    {"-9223372036854775808"},
    {"-9223372036854775809"},
    {"123456789012345678901234567890"},
    {"0.1"}, /* QEMU: 0.10000000000000001 */
    {"1.50"},
    {"-2E+3"},
    {"1e999"}, /* QEMU: inf, which is no JSON */
    {"[18446744073709551615,{\"a\":[9223372036854775808,1e-7]}]"},
    {"{\"a\":{\"b\":[true,false,null,\"x\"]},\"c\":\"\"}"},
    {"'single'", "\"single\""},
    {"'a\"b'", "\"a\\\"b\""},
    {"\"a'b\""},
    {"'a\\'b'", "\"a'b\""},
    {"\"a\\'b\"", "\"a'b\""},
    {"{'k':'v'}", "{\"k\":\"v\"}"},
    {"''", "\"\""},
    {"\"\\u0000\""},
    {"\"a\\u0000b\""},
    {"\"\\n\\t\\u0001\\u001B\""},
    /* No text becomes a number, whatever marks numbers inside. */
    {"\"\\u00015\""},
    {"\"\\u0001\\u00015\""},
    {"\"\\u0001\""},
    {"{\"\\u00015\":\"\\u000118446744073709551615\"}"},
    {"\"\\u007f\\u0085\"", "\"\x7f\xc2\x85\""},
    {"\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\""},
    {"\"\xc3\xa4\""},
    {"\"\\ud83d\"", ""},
    {"\"\xe9\"", ""},
    {"\"\xc0\x80\"", ""},
    {"\"\x01\"", ""},
    {"'a\tb'", ""},
    {"01", ""},
    {"+1", ""},
    {".5", ""},
    {"5.", ""},
    {"nan", ""},
    {"%d", ""},
    {"'a\"", ""},
    {"{\"a\":1,\"a\":2}", ""},
    {"{\"\\u0000\":1}", ""},
};

static void test_ids(void **state)
{
    struct client *cl = ready(*state);
    char text[512], want[512], *line;

    for (size_t i = 0; i < GW_ARRAY_LEN(ids); i++) {
        const char *back = ids[i][1] ? ids[i][1] : ids[i][0];

        /* A quote that is left open takes in what follows, up to a line's end or 0xff. */
        snprintf(text, sizeof text, "{'execute':'query-yank','id':%s}\xff", ids[i][0]);
        snprintf(want, sizeof want, "{\"return\":[],\"id\":%s}\r", back);
        say(cl, text);
        line = next_line(cl);
        if (*back ? strcmp(line, want) : !strstr(line, "\"error\":") || !strstr(line, "the message is not JSON"))
            fail_msg("%s\n  gives %s\n  not   %s", text, line, *back ? want : "an error");
        free(line);
        /* Some are an error more than once, as with QEMU, for what is left of them. */
        say(cl, "\n{\"execute\":\"query-yank\",\"id\":\"next\"}");
        do {
            line = next_line(cl);
            back = strstr(line, "\"next\"");
            free(line);
        } while (!back);
    }
    bye(cl);
}

/* A request whose id is nested so that it has `levels`, itself being one. */
static void ask_deep(struct client *cl, size_t levels, bool good)
{
    char *text = calloc(1, 2 * levels + 100), *line, *at = text + sprintf(text, "{\"execute\":\"query-yank\",\"id\":");

    memset(at, '[', levels - 1);
    memset(at + levels - 1, ']', levels - 1);
    strcpy(at + 2 * (levels - 1), "}");
    say(cl, text);
    line = next_line(cl);
    if (good && (strncmp(line, "{\"return\":[],\"id\":", 18) || strncmp(line + 18, at, strlen(at))))
        fail_msg("%zu levels: %.100s", levels, line);
    if (!good)
        assert_string_equal(line, E("a message is nested deeper than the monitor accepts") "\r");
    free(line);
    free(text);
    ask(cl, "{\"execute\":\"query-yank\",\"id\":7}", "{\"id\":7,\"return\":[]}");
}

static void test_depth(void **state)
{
    struct client *cl = ready(*state);

    for (size_t levels = 2; levels <= 1024; levels += levels < 1000 ? 97 : 1)
        ask_deep(cl, levels, true);
    for (size_t levels = 1025; levels < 1030; levels++)
        ask_deep(cl, levels, false);
    ask_deep(cl, 300000, false);
    bye(cl);
}

static int echo(void *opaque, const char *arguments_json, char **ret_json, struct gw_error *err)
{
    *ret_json = strdup(arguments_json);
    return 0;
}

/* Numbers go through the embedder's commands and events, and the parameters, as they are. */
static void test_numbers(void **state)
{
    static const char numbers[] = "{\"a\":[18446744073709551615,-9223372036854775808,0.1,1e5]}";
    struct rig *rig = *state;
    struct client *cl = ready(rig);
    char text[256], *line;

    assert_int_equal(gw_control_add_command(rig->c, "x-echo", echo, NULL, NULL), 0);
    snprintf(text, sizeof text, "{\"execute\":\"x-echo\",\"arguments\":%s}", numbers);
    say(cl, text);
    line = next_line(cl);
    snprintf(text, sizeof text, "{\"return\":%s}\r", numbers);
    assert_string_equal(line, text);
    free(line);
    gw_control_emit(rig->c, "NUMBERS", numbers);
    line = next_line(cl);
    snprintf(text, sizeof text, "\"data\":%s}\r", numbers);
    assert_non_null(strstr(line, text));
    free(line);
    for (int i = 0; i < 2; i++) {
        snprintf(text, sizeof text, "%s", i ? "18446744073709551615" : "9223372036854775808");
        line = NULL;
        assert_true(asprintf(&line, "{'execute':'migrate-set-parameters','arguments':{'max-bandwidth':%s}}", text) > 0);
        ask(cl, line, OK);
        free(line);
        say(cl, "{'execute':'query-migrate-parameters'}");
        line = next_line(cl);
        assert_non_null(strstr(line, text));
        free(line);
    }
    ask(cl, "{'execute':'migrate-set-parameters','arguments':{'max-bandwidth':18446744073709551616}}",
        "{\"error\":{\"class\":\"GenericError\",\"desc\":\"parameter max-bandwidth is a whole number of at most 64 bits, not '...");
    ask(cl, "{'execute':'migrate-set-parameters','arguments':{'max-bandwidth':1.5}}",
        E("argument 'max-bandwidth' must have type integer"));
    /* A number that is kept as a text is none for a command. */
    ask(cl, "{'execute':'migrate','arguments':{'uri':18446744073709551615}}",
        E("argument 'uri' must have type string"));
    ask(cl, "{'execute':1.5}", E("member 'execute' of a command must be a string"));
    ask(cl, "{'execute':'migrate','arguments':{'uri':'tcp:\\n'}}", E("the message is not JSON: a control character in a string"));
    ask(cl, "{'execute':'migrate','arguments':{'uri':'tcp:\\u0000'}}", E("the message is not JSON: a control character in a string"));
    bye(cl);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ids, rig_up, rig_down),
        cmocka_unit_test_setup_teardown(test_depth, rig_up, rig_down),
        cmocka_unit_test_setup_teardown(test_numbers, rig_up, rig_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
