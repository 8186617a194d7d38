/* SPDX-License-Identifier: MIT
 *
 * Clients that come and go, and the socket that they come to.
 */
#include "rig.h"

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

#define T(f) cmocka_unit_test_setup_teardown(f, rig_up, rig_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_many_clients),
        T(test_deaf_client),
        T(test_half_close),
        T(test_free_ends_sessions),
        T(test_addresses_of_its_own),
        cmocka_unit_test_setup_teardown(test_threads, rig_up, teller_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
