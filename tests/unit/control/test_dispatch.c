/* SPDX-License-Identifier: MIT
 *
 * What a message must be, and what is answered.
 */
#include "rig.h"

static void test_negotiation(void **state)
{
    struct client *cl = hello(*state);

    ask(cl, "{\"execute\": \"query-status\", \"id\": 1}",
        "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"the first command must be "
        "qmp_capabilities\"},\"id\":1}");
    ask(cl, "{\"execute\": \"qmp_capabilities\", \"arguments\": {\"enable\": [\"x\"]}}",
        E("argument 'enable' cannot be 'x'"));
    ask(cl, "{\"execute\": \"qmp_capabilities\", \"arguments\": {\"enable\": 3}}",
        E("argument 'enable' must have type array"));
    ask(cl, "{\"execute\": \"qmp_capabilities\", \"id\": {\"a\": [1, null]}}",
        "{\"id\":{\"a\":[1,null]},\"return\":{}}");
    ask(cl, "{\"execute\": \"qmp_capabilities\"}",
        "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"qmp_capabilities was executed already and can be executed only once\"}}");
    /* Out of band was not asked for. */
    ask(cl, "{\"exec-oob\": \"query-yank\"}", E("a command has no member 'exec-oob'"));
    bye(cl);
}

static void test_envelope(void **state)
{
    static const char *const cases[][2] = {
        {"{\"execute\": 3, \"id\": 4}",
         "{\"error\":{\"class\":\"GenericError\",\"desc\":\"member 'execute' of a command must "
         "be a string\"},\"id\":4}"},
        {"{\"foo\": 3}", E("a command has no member 'foo'")},
        {"{}", E("a command needs a member 'execute'")},
        {"[]", E("a command must be a JSON object")},
        {"3", E("a command must be a JSON object")},
        {"\"execute\"", E("a command must be a JSON object")},
        {"null", E("a command must be a JSON object")},
        {"{\"execute\": \"stop\", \"arguments\": []}", E("member 'arguments' of a command must be an object")},
        {"{\"execute\": \"stop\", \"arguments\": {\"x\": 1}}", E("there is no argument 'x'")},
        {"{\"execute\": \"stop\", \"exec-oob\": \"stop\"}", E("a command has 'execute' or 'exec-oob', not both")},
        {"{\"exec-oob\": \"stop\"}", E("command stop cannot be executed out of band")},
        {"{\"exec-oob\": \"query-yank\", \"id\": \"o\"}", "{\"id\":\"o\",\"return\":[]}"},
        {"{\"exec-oob\": \"migrate-pause\"}",
         E("there is no postcopy under way here that could be paused")},
        {"{\"execute\": \"nonsense\", \"id\": [\"x\"]}", "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"there "
                                                         "is no command nonsense\"},\"id\":[\"x\"]}"},
        {"{\"execute\": \"query-name\"}", "{\"return\":{\"name\":\"anna\"}}"},
        {"{\"execute\":\n \"query-name\"\n}", "{\"return\":{\"name\":\"anna\"}}"},
        {"}", "{\"error\":{\"class\":\"GenericError\",\"desc\":\"the message is not JSON: ..."},
        {"{\"a\":}", "{\"error\":{\"class\":\"GenericError\",\"desc\":\"the message is not JSON: ..."},
        {"{\"a\": 1, \"a\": 2}", "{\"error\":{\"class\":\"GenericError\",\"desc\":\"the message is not JSON: ..."},
        {"{\"a\": \"\\ud800\"}", "{\"error\":{\"class\":\"GenericError\",\"desc\":\"the message is not JSON: ..."},
        {"{\"a\": \"\xc3\x28\"}", "{\"error\":{\"class\":\"GenericError\",\"desc\":\"the message is not JSON: ..."},
        {"{\"execute\": \"query-yank\", \"id\": [1.5, -2e3, -0, \"\\ud83d\\ude00\\u00e4\"]}",
         "{\"id\":[1.5,-2000.0,0,\"\xf0\x9f\x98\x80\xc3\xa4\"],\"return\":[]}"},
        {"{\"a\": \"cut", "{\"error\":{\"class\":\"GenericError\",\"desc\":\"the message is not JSON: ..."},
        {"{\"execute\": \"\xff", "{\"error\":{\"class\":\"GenericError\",\"desc\":\"the message is not JSON: ..."},
        {"hello", "{\"error\":{\"class\":\"GenericError\",\"desc\":\"the message is not JSON: ..."},
    };
    struct client *cl = ready(*state);

    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        ask(cl, cases[i][0], cases[i][1]);
        ask(cl, "{\"execute\": \"query-yank\", \"id\": 7}", "{\"id\":7,\"return\":[]}");
    }
    bye(cl);
}

/* However the bytes come, the answers are the same: at once, one by one, and without white space between. */
#define QUERY "{\"execute\":\"query-migrate-parameters\"}"

static void test_pipelining_and_splitting(void **state)
{
    static const char text[] = "{\"execute\":\"query-yank\",\"id\":1}{\"execute\":\"query-name\",\"id\":\"}\\\"{\"} 5 "
                               "{\"execute\":\"query-yank\",\"id\":3}\n";
    struct client *cl = ready(*state);
    char *flood;

    for (int step = 1; step <= 64; step += 21) {
        for (size_t i = 0; i < sizeof text - 1; i += (size_t)step)
            assert_true(send(cl->fd, text + i, GW_MIN((size_t)step, sizeof text - 1 - i), MSG_NOSIGNAL) > 0);
        check_next(cl, "1st", "{\"id\":1,\"return\":[]}");
        check_next(cl, "2nd", "{\"id\":\"}\\\"{\",\"return\":{\"name\":\"anna\"}}");
        check_next(cl, "3rd", E("a command must be a JSON object"));
        check_next(cl, "4th", "{\"id\":3,\"return\":[]}");
    }
    /* More answers than a socket holds, asked for before any is read. */
    flood = malloc(1000 * sizeof QUERY);
    for (int i = 0; i < 1000; i++)
        memcpy(flood + (size_t)i * (sizeof QUERY - 1), QUERY, sizeof QUERY);
    say(cl, flood);
    for (int i = 0; i < 1000; i++)
        check_next(cl, "flood", "{\"return\":{...");
    free(flood);
    bye(cl);
}

static void test_hostile_sizes(void **state)
{
    struct client *cl = ready(*state);
    char *big = malloc(2 << 20);
    size_t sent = 0;

    /* A message without end: told so, long before memory is at stake, and what follows it is answered. */
    if (!big)
        abort();
    memset(big, 'a', 2 << 20);
    memcpy(big, "{\"execute\": \"", 13);
    while (sent < 2 << 20) {
        ssize_t n = send(cl->fd, big + sent, (2 << 20) - sent, MSG_NOSIGNAL);

        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    check_next(cl, "endless", E("a message is longer than the monitor accepts"));
    ask(cl, "\"}{\"execute\": \"query-yank\"}", "{\"return\":[]}");

    /* Too deep: told once, and the next one is answered, after a closing bracket for each or after the byte 0xff. */
    for (int i = 0; i < 2; i++) {
        memset(big, '[', 100000);
        memset(big + 100000, ']', 100000);
        strcpy(big + (i ? 100000 : 200000), i ? "\xff" : "");
        ask(cl, big, E("a message is nested deeper than the monitor accepts"));
        ask(cl, "{\"execute\": \"query-yank\"}", "{\"return\":[]}");
    }

    memset(big, '[', GW_SPLITTER_DEPTH);
    memset(big + GW_SPLITTER_DEPTH, ']', GW_SPLITTER_DEPTH);
    big[2 * GW_SPLITTER_DEPTH] = 0;
    ask(cl, big, E("a command must be a JSON object"));
    bye(cl);

    /* White space for ever is nothing. */
    cl = ready(*state);
    memset(big, ' ', 2 << 20);
    for (sent = 0; sent < 2 << 20;)
        sent += (size_t)GW_MAX(send(cl->fd, big + sent, (2 << 20) - sent, MSG_NOSIGNAL), 0);
    ask(cl, "{\"execute\": \"query-yank\"}", "{\"return\":[]}");
    bye(cl);
    free(big);
}

static int twice(void *opaque, const char *arguments_json, char **ret_json, struct gw_error *err)
{
    json_t *args = json_loads(arguments_json, 0, NULL);
    json_int_t n = json_integer_value(json_object_get(args, "n"));

    json_decref(args);
    if (n < 0)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "less than nothing");
    if (n == 0)
        return 0;
    *ret_json = malloc(64);
    snprintf(*ret_json, 64, n == 7 ? "{broken" : "[%d]", (int)(2 * n));
    return 0;
}

static void test_added_commands(void **state)
{
    struct rig *rig = *state;
    static const char *const absent[] = {"client_migrate_info", "x-colo-lost-heartbeat"};
    struct client *cl = ready(rig);
    json_t *list, *item;
    char text[128], want[256];
    bool found = false;
    size_t i;

    assert_int_equal(gw_control_add_command(rig->c, "x-twice", twice, NULL, NULL), 0);
    assert_int_equal(gw_control_add_command(rig->c, "x-twice", twice, NULL, NULL), -EEXIST);
    assert_int_equal(gw_control_add_command(rig->c, "migrate", twice, NULL, NULL), -EEXIST);
    /* What QEMU has and we have not: said so, not listed, and free for the embedder to have. */
    for (i = 0; i < GW_ARRAY_LEN(absent); i++) {
        snprintf(text, sizeof text, "{\"execute\":\"%s\",\"arguments\":{\"any\":1}}", absent[i]);
        snprintf(want, sizeof want, E("command %s is not supported by this build of godwit"), absent[i]);
        ask(cl, text, want);
    }
    assert_int_equal(gw_control_add_command(rig->c, "client_migrate_info", twice, NULL, NULL), 0);
    ask(cl, "{\"execute\":\"client_migrate_info\",\"arguments\":{\"n\":4}}", "{\"return\":[8]}");
    ask(cl, "{\"execute\":\"x-twice\",\"arguments\":{\"n\":4}}", "{\"return\":[8]}");
    ask(cl, "{\"execute\":\"x-twice\"}", OK);
    ask(cl, "{\"execute\":\"x-twice\",\"arguments\":{\"n\":-4}}", E("less than nothing"));
    ask(cl, "{\"execute\":\"x-twice\",\"arguments\":{\"n\":7}}",
        "{\"error\":{\"class\":\"GenericError\",\"desc\":\"x-twice: the answer: not JSON at byte 1...");
    ask(cl, "{\"exec-oob\":\"x-twice\"}", E("command x-twice cannot be executed out of band"));
    list = result_of(cl, "{\"execute\":\"query-commands\"}");
    json_array_foreach(list, i, item)
    {
        found |= !strcmp(json_string_value(json_object_get(item, "name")), "x-twice");
        for (size_t k = 1; k < GW_ARRAY_LEN(absent); k++)
            assert_string_not_equal(json_string_value(json_object_get(item, "name")), absent[k]);
    }
    assert_true(found);
    json_decref(list);
    bye(cl);
}

#define T(f) cmocka_unit_test_setup_teardown(f, rig_up, rig_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_negotiation),
        T(test_envelope),
        T(test_pipelining_and_splitting),
        T(test_hostile_sizes),
        T(test_added_commands),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
