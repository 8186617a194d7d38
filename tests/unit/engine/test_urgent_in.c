/* SPDX-License-Identifier: MIT
 *
 * The channel of urgent pages: which of those who come it is, what becomes of the others, and what its end means.
 */
#include "sink.h"

#include <sched.h>

#include "engine/urgent_in.h"

static struct gw_error err;
static struct gw_live_ops brings;
static struct gw_guest_ops guest;
static _Atomic uint64_t lacking;
static struct gw_channel *visitor[3];

static uint64_t fake_lacking(struct gw_live *l)
{
    return lacking;
}

/* A page is a record's head here; "bad!" behind one is no page, and 0x10 the mark. */
static int fake_load_urgent(struct gw_live *l, struct gw_reader *reader, struct gw_error *e)
{
    for (;;) {
        uint64_t word = 0;
        int result = gw_get_u64(reader, &word, e);

        if (result < 0 || word == 0x10)
            return result;
        if (word >> 56 == 'b')
            return gw_fail(e, -EPROTO, GW_BLAME_PEER, "no page");
        rig_say("page%x ", (unsigned)(word >> 12));
        lacking -= 0x1000;
    }
}

static int up(void **state)
{
    struct gw_uri uri;

    if (sink_up(state))
        return -1;
    guest = gw_guest_here;
    rig.vm->guest = &guest;
    brings = a_ops;
    brings.lacking = fake_lacking;
    brings.load_urgent = fake_load_urgent;
    a.live.ops = &brings;
    r->plan.lives = 1;
    r->timeout_ns = 0;
    r->hello_ns = 3600 * GW_NS_PER_S;
    r->classify.urgent = true;
    lacking = 0x3000;
    err = (struct gw_error)GW_ERROR_INIT;
    memset(visitor, 0, sizeof visitor);
    gw_session_set_channel(&r->session, near);
    return gw_uri_parse("tcp:127.0.0.1:0", &uri, NULL) || gw_listen(&uri, GW_RECV_BACKLOG, &r->listener, NULL);
}

static int down(void **state)
{
    gw_urgent_in_end(r);
    gw_door_close(r);
    gw_session_set_channel(&r->session, NULL);
    gw_listener_free(r->listener);
    for (unsigned i = 0; i < 3; i++)
        gw_channel_free(visitor[i]);
    return sink_down(state);
}

static void visit(unsigned i, const char *bytes, size_t n)
{
    struct gw_uri uri;

    gw_listener_uri(r->listener, &uri);
    if (!visitor[i])
        assert_int_equal(gw_connect(&uri, 0, NULL, &visitor[i], NULL), 0);
    if (n)
        assert_int_equal(gw_channel_write_full(visitor[i], bytes, n, NULL), 0);
}

/* Which page is told by its number. */
static void page(unsigned i, uint8_t n)
{
    const char record[8] = {0, 0, 0, 0, 0, 0, (char)(n << 4), 8};

    visit(i, record, 8);
}

/* The main channel is in: the door is there. */
static void let_in(void)
{
    struct gw_wire_head head = {.configured = true, .machine = "m"};
    struct gw_uri uri;
    struct gw_channel *main;
    const uint8_t *data;
    size_t n;

    gw_head_put(&out, &head);
    gw_put_u8(&out, GW_ELEMENT_START);
    data = gw_out_data(&out, &n);
    gw_listener_uri(r->listener, &uri);
    assert_int_equal(gw_connect(&uri, 0, NULL, &main, NULL), 0);
    assert_int_equal(gw_channel_write_full(main, data, n, NULL), 0);
    gw_reader_close(&r->reader);
    gw_channel_free(near);
    gw_channel_free(far);
    r->channel = NULL;
    assert_int_equal(gw_recv_hello(r, &err), 0);
    near = r->channel;
    far = main;
}

static bool main_is_shut(void)
{
    uint8_t byte;

    return gw_channel_read_full(far, &byte, 1, NULL) < 0; /* waits for that */
}

static void until_lacking(uint64_t bytes)
{
    while (lacking != bytes)
        sched_yield();
}

static bool said(const char *what)
{
    bool said;

    pthread_mutex_lock(&rig.lock);
    said = strstr(rig.log, what);
    pthread_mutex_unlock(&rig.lock);
    return said;
}

/* Before the main channel, and silent until a page is asked for. */
static void test_comes_first(void **state)
{
    visit(0, NULL, 0);
    let_in();
    assert_int_equal(gw_urgent_in_begin(r, &err), 0);
    page(0, 1);
    page(0, 2);
    page(0, 3);
    gw_urgent_in_await(r);
    assert_int_equal(lacking, 0);
    assert_int_equal(gw_urgent_in_check(r, &err), 0);
    rig_said("page1 page2 page3 ");
}

/* Silent strangers before and behind it, and one that is heard before it. */
static void test_others(void **state)
{
    let_in();
    visit(0, NULL, 0);
    visit(1, NULL, 0);
    visit(2, NULL, 0);
    assert_int_equal(gw_urgent_in_begin(r, &err), 0);
    visit(2, "\0\0\0\0\0\0\x50\x08" "bad!bad!", 16);
    while (!said("dropped: no page"))
        sched_yield();
    page(1, 6);
    until_lacking(0x1000);
    visit(1, "\0\0\0\0\0\0\0\x10", 8);
    lacking = 0;
    gw_urgent_in_await(r);
    assert_int_equal(gw_urgent_in_check(r, &err), 0);
    gw_urgent_in_leave(r); /* its mark has come: nobody is waited for */
    assert_false(r->urgent.threaded);
}

/* None may take its place, so it is the end of the connection; it would be waited for in vain. */
static void test_bad_bytes(void **state)
{
    visit(0, NULL, 0);
    let_in();
    assert_int_equal(gw_urgent_in_begin(r, &err), 0);
    visit(0, "\0\0\0\0\0\0\x10\x08" "bad!bad!", 16);
    assert_true(main_is_shut());
    rig_fails(gw_urgent_in_check(r, &err), -EPROTO, &err, "channel of urgent pages: no page");
}

/* Nothing was said on it, and it is gone, as all that was lacking has come. */
static void test_gone_silently(void **state)
{
    visit(0, NULL, 0);
    let_in();
    lacking = 0;
    assert_int_equal(gw_urgent_in_begin(r, &err), 0);
    visitor[0] = gw_channel_free(visitor[0]);
    gw_urgent_in_await(r);
    gw_urgent_in_leave(r);
    assert_int_equal(gw_urgent_in_check(r, &err), 0);
}

/* A source has closed it long ago (by a clock that goes by itself) and goes on: who waits for a page that it had would wait for ever. */
static void test_gone_for_long(void **state)
{
    visit(0, NULL, 0);
    let_in();
    assert_int_equal(gw_urgent_in_begin(r, &err), 0);
    page(0, 1);
    until_lacking(0x2000);
    visitor[0] = gw_channel_free(visitor[0]);
    assert_true(main_is_shut());
    assert_int_equal(gw_urgent_in_check(r, &err), -ENODATA);
}

/* The capability is off at the source; and another session's are made anew. */
static void test_none_and_again(void **state)
{
    let_in();
    assert_int_equal(gw_urgent_in_begin(r, &err), 0);
    gw_urgent_in_end(r);
    gw_urgent_in_end(r);
    assert_int_equal(gw_urgent_in_begin(r, &err), 0);
    page(0, 1); /* later than LISTEN */
    until_lacking(0x2000);
    gw_urgent_in_end(r);
    assert_int_equal(gw_urgent_in_begin(r, &err), 0);
    page(1, 2);
    until_lacking(0x1000);
}

static void test_off(void **state)
{
    r->classify.urgent = false;
    let_in();
    assert_int_equal(gw_urgent_in_begin(r, &err), 0);
    assert_false(r->urgent.threaded);
    gw_urgent_in_await(r);
    gw_urgent_in_leave(r);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_comes_first),   T(test_others),         T(test_bad_bytes), T(test_gone_silently),
                                       T(test_gone_for_long), T(test_none_and_again), T(test_off)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
