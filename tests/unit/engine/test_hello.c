/* SPDX-License-Identifier: MIT
 *
 * Who is at the door: a single connection, and strangers before the one that is meant. (How long each may take, and crowds:
 * tests/errors/test_strangers.c.)
 */
#include "sink.h"

static struct gw_error err;

static void head_of(const char *machine)
{
    struct gw_wire_head head = {.configured = true, .machine = ""};

    gw_strcopy(head.machine, sizeof head.machine, machine);
    gw_head_put(&out, &head);
    gw_put_u8(&out, GW_ELEMENT_START); /* by which the end of the head is seen */
}

static int hello(void)
{
    gw_reader_close(&r->reader);
    err = (struct gw_error)GW_ERROR_INIT;
    return gw_recv_hello(r, &err);
}

/* A channel that was given is the only one. */
static void test_single(void **state)
{
    head_of("m");
    put(true);
    assert_int_equal(hello(), 0);
    assert_string_equal(r->head.machine, "m");
    assert_ptr_equal(r->session.links.place[GW_LINK_MAIN], near); /* a cancel finds it */
    assert_int_equal(near->timeout_ns, r->timeout_ns);
}

static void test_wrong_machine(void **state)
{
    head_of("other");
    put(true);
    assert_true(hello() < 0);
    assert_int_equal(err.blame, GW_BLAME_PEER);
}

static void test_no_file(void **state)
{
    rig_cap("mapped-ram");
    assert_int_equal(hello(), -EINVAL);
    assert_non_null(strstr(err.text, "capability mapped-ram"));
}

static struct gw_channel *visit(const char *bytes, size_t n)
{
    struct gw_uri uri;
    struct gw_channel *c = NULL;

    gw_listener_uri(r->listener, &uri);
    assert_int_equal(gw_connect(&uri, 0, NULL, &c, NULL), 0);
    if (n)
        assert_int_equal(gw_channel_write_full(c, bytes, n, NULL), 0);
    return c;
}

static void listens(void)
{
    struct gw_uri uri;

    assert_int_equal(gw_uri_parse("tcp:127.0.0.1:0", &uri, NULL), 0);
    assert_int_equal(gw_listen(&uri, GW_RECV_BACKLOG, &r->listener, NULL), 0);
    gw_channel_free(near);
    near = r->channel = NULL;
    r->hello_ns = 3600 * GW_NS_PER_S;
}

static void closes(void)
{
    gw_door_close(r);
    assert_null(r->door);
    gw_session_set_channel(&r->session, NULL);
    near = r->channel;
    r->listener = gw_listener_free(r->listener);
}

/* Strangers are sent away, and told of; one that had begun a stream is told of as a source. */
static void test_strangers(void **state)
{
    struct gw_channel *c[3];
    size_t n;
    const uint8_t *data;

    listens();
    c[0] = visit("GET / HTTP/1.0\r\n\r\n", 18);
    head_of("other");
    data = gw_out_data(&out, &n);
    c[1] = visit((const char *)data, n);
    gw_out_free(&out);
    gw_out_memory(&out);
    head_of("m");
    data = gw_out_data(&out, &n);
    c[2] = visit((const char *)data, n);
    assert_int_equal(hello(), 0);
    assert_string_equal(r->head.machine, "m");
    assert_non_null(r->channel);
    closes();
    assert_non_null(strstr(rig.log, "dropped: "));
    for (unsigned i = 0; i < 3; i++)
        gw_channel_free(c[i]);
}

static void test_cancelled(void **state)
{
    listens();
    gw_session_enter(&r->session, GW_PHASE_LISTEN);
    gw_session_cancel(&r->session, NULL);
    rig_fails(hello(), -ECANCELED, &err, "cancelled");
    closes();
}

/* An address that gives one channel has no door. */
static void test_close_without_door(void **state)
{
    gw_door_watch(r); /* there is none */
    gw_door_unwatch(r);
    gw_door_close(r);
    assert_int_equal(gw_door_settle(r, &err), 0);
}

#define T(f) sink_test(f)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_single),    T(test_wrong_machine), T(test_no_file),
                                       T(test_strangers), T(test_cancelled),     T(test_close_without_door)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
