/* SPDX-License-Identifier: MIT */
#include "rig.h"

static void test_negotiation(void **state)
{
    struct client *cl = hello(*state);

    ask(cl, "{\"execute\": \"query-status\", \"id\": 1}",
        "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"Expecting capabilities negotiation with "
        "'qmp_capabilities'\"},\"id\":1}");
    ask(cl, "{\"execute\": \"qmp_capabilities\", \"arguments\": {\"enable\": [\"x\"]}}",
        E("Parameter 'enable' does not accept value 'x'"));
    ask(cl, "{\"execute\": \"qmp_capabilities\", \"arguments\": {\"enable\": 3}}",
        E("Invalid parameter type for 'enable', expected: array"));
    ask(cl, "{\"execute\": \"qmp_capabilities\", \"id\": {\"a\": [1, null]}}",
        "{\"id\":{\"a\":[1,null]},\"return\":{}}");
    ask(cl, "{\"execute\": \"qmp_capabilities\"}",
        "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"Capabilities negotiation is already complete, command "
        "ignored\"}}");
    /* Out of band was not asked for. */
    ask(cl, "{\"exec-oob\": \"query-yank\"}", E("QMP input member 'exec-oob' is unexpected"));
    bye(cl);
}

static void test_envelope(void **state)
{
    static const char *const cases[][2] = {
        {"{\"execute\": 3, \"id\": 4}",
         "{\"error\":{\"class\":\"GenericError\",\"desc\":\"QMP input member 'execute' must "
         "be a string\"},\"id\":4}"},
        {"{\"foo\": 3}", E("QMP input member 'foo' is unexpected")},
        {"{}", E("QMP input lacks member 'execute'")},
        {"[]", E("QMP input must be a JSON object")},
        {"3", E("QMP input must be a JSON object")},
        {"\"execute\"", E("QMP input must be a JSON object")},
        {"null", E("QMP input must be a JSON object")},
        {"{\"execute\": \"stop\", \"arguments\": []}", E("QMP input member 'arguments' must be an object")},
        {"{\"execute\": \"stop\", \"arguments\": {\"x\": 1}}", E("Parameter 'x' is unexpected")},
        {"{\"execute\": \"stop\", \"exec-oob\": \"stop\"}", E("QMP input member 'execute' clashes with 'exec-oob'")},
        {"{\"exec-oob\": \"stop\"}", E("The command stop does not support OOB")},
        {"{\"exec-oob\": \"query-yank\", \"id\": \"o\"}", "{\"id\":\"o\",\"return\":[]}"},
        {"{\"exec-oob\": \"migrate-pause\"}",
         E("migrate-pause is currently only supported during postcopy-active state")},
        {"{\"execute\": \"nonsense\", \"id\": [\"x\"]}", "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"The "
                                                         "command nonsense has not been found\"},\"id\":[\"x\"]}"},
        {"{\"execute\": \"query-name\"}", "{\"return\":{\"name\":\"anna\"}}"},
        {"{\"execute\":\n \"query-name\"\n}", "{\"return\":{\"name\":\"anna\"}}"},
        {"}", "{\"error\":{\"class\":\"GenericError\",\"desc\":\"JSON parse error: ..."},
        {"{\"a\":}", "{\"error\":{\"class\":\"GenericError\",\"desc\":\"JSON parse error: ..."},
        {"{\"a\": 1, \"a\": 2}", "{\"error\":{\"class\":\"GenericError\",\"desc\":\"JSON parse error: ..."},
        {"{\"a\": \"\\ud800\"}", "{\"error\":{\"class\":\"GenericError\",\"desc\":\"JSON parse error: ..."},
        {"{\"a\": \"\xc3\x28\"}", "{\"error\":{\"class\":\"GenericError\",\"desc\":\"JSON parse error: ..."},
        {"{\"execute\": \"query-yank\", \"id\": [1.5, -2e3, -0, \"\\ud83d\\ude00\\u00e4\"]}",
         "{\"id\":[1.5,-2000.0,0,\"\xf0\x9f\x98\x80\xc3\xa4\"],\"return\":[]}"},
        {"{\"a\": \"cut", "{\"error\":{\"class\":\"GenericError\",\"desc\":\"JSON parse error: ..."},
        {"{\"execute\": \"\xff", "{\"error\":{\"class\":\"GenericError\",\"desc\":\"JSON parse error: ..."},
        {"hello", "{\"error\":{\"class\":\"GenericError\",\"desc\":\"JSON parse error: ..."},
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
        check_next(cl, "3rd", E("QMP input must be a JSON object"));
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
    check_next(cl, "endless", E("JSON token size limit exceeded"));
    ask(cl, "\"}{\"execute\": \"query-yank\"}", "{\"return\":[]}");

    /* Too deep: told once, and the next one is answered, after a closing bracket for each or after the byte 0xff. */
    for (int i = 0; i < 2; i++) {
        memset(big, '[', 100000);
        memset(big + 100000, ']', 100000);
        strcpy(big + (i ? 100000 : 200000), i ? "\xff" : "");
        ask(cl, big, E("JSON nesting depth limit exceeded"));
        ask(cl, "{\"execute\": \"query-yank\"}", "{\"return\":[]}");
    }

    memset(big, '[', GW_SPLITTER_DEPTH);
    memset(big + GW_SPLITTER_DEPTH, ']', GW_SPLITTER_DEPTH);
    big[2 * GW_SPLITTER_DEPTH] = 0;
    ask(cl, big, E("QMP input must be a JSON object"));
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

static void test_many_clients(void **state)
{
    struct rig *rig = *state;
    struct client *cl[GW_CONTROL_CLIENTS], *one;
    char c;
    int fd;

    for (size_t i = 0; i < GW_CONTROL_CLIENTS; i++)
        cl[i] = ready(rig);
    fd = connect_to(rig->path);
    assert_int_equal(recv(fd, &c, 1, 0), 0);
    close(fd);
    gw_control_emit(rig->c, "HELLO", "{\"a\": 1}");
    for (size_t i = 0; i < GW_CONTROL_CLIENTS; i++)
        check_event(cl[i], "HELLO", "{\"a\":1}");
    /* One goes in the middle of a message, another takes its place. */
    say(cl[3], "{\"execute\": ");
    bye(cl[3]);
    for (int tries = 0;; tries++) {
        fd = connect_to(rig->path);
        if (recv(fd, &c, 1, 0) == 1)
            break;
        close(fd);
        assert_true(tries < 1000);
    }
    close(fd);
    for (size_t i = 0; i < GW_CONTROL_CLIENTS; i++)
        if (i != 3)
            bye(cl[i]);
    for (int i = 0; i < 100; i++) {
        fd = connect_to(rig->path);
        (void)!send(fd, "{\"execute\":\"qmp_capabilities\"}{\"execute\":\"query-commands\"}", 58, MSG_NOSIGNAL);
        close(fd);
    }
    one = ready(rig);
    ask(one, "{\"execute\": \"query-yank\"}", "{\"return\":[]}");
    bye(one);
}

/* A client that never reads must not make us keep events for ever, nor disturb the others. */
static void test_deaf_client(void **state)
{
    struct rig *rig = *state;
    struct client *deaf = ready(rig), *cl = ready(rig);
    char *data = malloc(8192);

    snprintf(data, 8192, "{\"x\": \"%08000d\"}", 1);
    for (int i = 0; i < 1000; i++) {
        gw_control_emit(rig->c, "BIG", data);
        json_decref(next(cl));
    }
    expect_end(deaf);
    bye(deaf);
    bye(cl);
    free(data);
}

static void test_half_close(void **state)
{
    struct client *cl = hello(*state);

    say(cl, "{\"execute\":\"qmp_capabilities\"}{\"execute\":\"query-name\"}");
    shutdown(cl->fd, SHUT_WR);
    check_next(cl, "qmp_capabilities", OK);
    check_next(cl, "query-name", "{\"return\":{\"name\":\"anna\"}}");
    assert_null(next(cl));
    bye(cl);
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
    static const char *const absent[] = {"snapshot-save",           "snapshot-load",   "snapshot-delete",
                                         "announce-self",   "block-dirty-bitmap-add",
                                         "block-dirty-bitmap-merge"};
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
        snprintf(want, sizeof want, E("The command %s is not supported by this build of godwit"), absent[i]);
        ask(cl, text, want);
    }
    assert_int_equal(gw_control_add_command(rig->c, "snapshot-save", twice, NULL, NULL), 0);
    ask(cl, "{\"execute\":\"snapshot-save\",\"arguments\":{\"n\":4}}", "{\"return\":[8]}");
    ask(cl, "{\"execute\":\"x-twice\",\"arguments\":{\"n\":4}}", "{\"return\":[8]}");
    ask(cl, "{\"execute\":\"x-twice\"}", OK);
    ask(cl, "{\"execute\":\"x-twice\",\"arguments\":{\"n\":-4}}", E("less than nothing"));
    ask(cl, "{\"execute\":\"x-twice\",\"arguments\":{\"n\":7}}",
        "{\"error\":{\"class\":\"GenericError\",\"desc\":\"x-twice: the answer: not JSON at byte 1...");
    ask(cl, "{\"exec-oob\":\"x-twice\"}", E("The command x-twice does not support OOB"));
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

static void test_free_ends_sessions(void **state)
{
    struct rig *rig = *state;
    struct client *cl = ready(rig);

    gw_options_set_capability(rig->vm.options, "events", true, NULL);
    assert_int_equal(gw_control_incoming(rig->c, "tcp::1", NULL), 0);
    check_event(cl, "MIGRATION", "{\"status\":\"setup\"}");
    rig->c = gw_control_free(rig->c);
    check_event(cl, "MIGRATION", "{\"status\":\"cancelled\"}");
    assert_null(next(cl));
    bye(cl);
}

static void test_addresses_of_its_own(void **state)
{
    static const char *const good[] = {"tcp:127.0.0.1:0", "tcp::0"}, *const bad[] = {"exec:cat", "fd:0", "foo", "", NULL};
    struct rig *rig = *state;
    struct gw_control_config config = {0};
    struct gw_error err;
    char text[GW_URI_TEXT];

    for (size_t i = 0; i < GW_ARRAY_LEN(good); i++) {
        struct gw_control *c = NULL;
        struct gw_channel *ch = NULL;
        struct gw_uri uri;
        char c0;

        config.uri = good[i];
        assert_int_equal(gw_control_start(&rig->vm, &config, &c, &err), 0);
        gw_control_address(c, text, sizeof text);
        assert_int_equal(gw_uri_parse(text, &uri, NULL), 0);
        assert_int_equal(gw_connect(&uri, WAIT_MS * GW_NS_PER_MS, NULL, &ch, NULL), 0);
        assert_int_equal(gw_channel_read_full(ch, &c0, 1, NULL), 0);
        assert_int_equal(c0, '{');
        gw_channel_free(ch);
        gw_control_free(c);
    }
    for (size_t i = 0; i < GW_ARRAY_LEN(bad); i++) {
        struct gw_control *c = NULL;

        config.uri = bad[i];
        assert_int_equal(gw_control_start(&rig->vm, &config, &c, &err), -EINVAL);
        assert_null(c);
    }
    config.uri = rig->uri;
    struct gw_control *c = NULL;
    assert_int_equal(gw_control_start(&rig->vm, &config, &c, &err), -EADDRINUSE);
}

/* Sessions tell from their own threads while clients ask. Static, and ended by the teardown before the server is. */
static struct {
    struct gw_control *c;
    atomic_bool stop;
    bool started;
    pthread_t thread;
} teller;

static void *tell(void *opaque)
{
    while (!atomic_load(&teller.stop)) {
        struct timespec pause = {0, 200000};

        gw_control_emit(teller.c, "TICK", "{}");
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static void tell_no_more(void)
{
    atomic_store(&teller.stop, true);
    pthread_join(teller.thread, NULL);
    teller.started = false;
}

static int teller_down(void **state)
{
    if (teller.started)
        tell_no_more();
    return rig_down(state);
}

static void test_threads(void **state)
{
    struct rig *rig = *state;
    struct client *cl[4];

    for (size_t i = 0; i < 4; i++)
        cl[i] = ready(rig);
    teller.c = rig->c;
    assert_int_equal(pthread_create(&teller.thread, NULL, tell, NULL), 0);
    teller.started = true;
    for (int n = 0; n < 200; n++) {
        for (size_t i = 0; i < 4; i++)
            say(cl[i], n % 10 ? "{\"execute\":\"query-migrate\"}" : "{\"execute\":\"migrate_cancel\"}");
        for (size_t i = 0; i < 4; i++) {
            json_t *o = next(cl[i]);

            while (json_object_get(o, "event")) {
                json_decref(o);
                o = next(cl[i]);
            }
            assert_non_null(json_object_get(o, "return"));
            json_decref(o);
        }
    }
    tell_no_more();
    for (size_t i = 0; i < 4; i++)
        bye(cl[i]);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_up, rig_down)
    const struct CMUnitTest tests[] = {
        T(test_negotiation),
        T(test_envelope),
        T(test_pipelining_and_splitting),
        T(test_hostile_sizes),
        T(test_many_clients),
        T(test_deaf_client),
        T(test_half_close),
        T(test_added_commands),
        T(test_free_ends_sessions),
        T(test_addresses_of_its_own),
        cmocka_unit_test_setup_teardown(test_threads, rig_up, teller_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
