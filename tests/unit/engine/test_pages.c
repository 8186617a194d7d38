/* SPDX-License-Identifier: MIT
 *
 * Channels for pages alone: how many there are, how they are told apart, and who waits for them how long.
 */
#include "rig.h"

#include "engine/pages.h"
#include "engine/recv.h"
#include "engine/send.h"
#include "wire/greeting.h"

static struct gw_recv *r;

static int up(void **state)
{
    if (rig_up(state))
        return -1;
    r = calloc(1, sizeof *r);
    gw_answers_init(&r->answers, &rig.vm->trace);
    r->hello_ns = 10 * GW_NS_PER_S;
    r->classify.pages = 2;
    return gw_session_init(&r->session, rig.vm, rig_event, NULL, NULL);
}

static int down(void **state)
{
    gw_session_close_pages(&r->session);
    gw_pages_forget(r);
    gw_session_close(&r->session);
    gw_answers_fini(&r->answers);
    free(r);
    return rig_down(state);
}

static struct gw_channel *channel(struct gw_channel **ret_far)
{
    struct gw_channel *near;

    assert_int_equal(gw_channel_memory_pair(4096, &near, ret_far, NULL), 0);
    return near;
}

static void test_count(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    unsigned n = 7;

    assert_int_equal(gw_pages_count(rig.vm, false, "file:/x", &n, &err), 0);
    assert_int_equal(n, 0); /* they are not asked for */
    rig_cap("multifd");
    rig_param("multifd-channels", "3");
    rig_fails(gw_pages_count(rig.vm, false, "exec:x", &n, &err), -EINVAL, &err,
              "capability multifd: exec:x gives one connection only; tcp:, unix: and vsock: give more");
    assert_int_equal(gw_pages_count(rig.vm, false, NULL, &n, &err), -EINVAL);
    assert_non_null(strstr(err.text, "a channel gives one"));
    assert_int_equal(gw_pages_count(rig.vm, true, "tcp:h:1", &n, &err), 0);
    assert_int_equal(n, 3);
    rig_param("multifd-channels", "65");
    rig_fails(gw_pages_count(rig.vm, true, "tcp:h:1", &n, &err), -ERANGE, &err, "multifd-channels 65: there can be 64 here");
    rig_cap("mapped-ram"); /* pages go to the file */
    assert_int_equal(gw_pages_count(rig.vm, false, "file:/x", &n, &err), 0);
    assert_int_equal(n, 0);
}

static const uint8_t uuid[16] = {1}, other[16] = {2};

/* Of two that say the same the later counts, until somebody has taken the earlier. */
static void test_arrived(void **state)
{
    struct gw_channel *far[3], *got = NULL, *second;
    struct gw_error err = GW_ERROR_INIT;
    char c;

    assert_int_equal(gw_pages_arrived(r, 0, uuid, channel(&far[0]), &err), 0);
    second = channel(&far[1]);
    assert_int_equal(gw_pages_arrived(r, 0, uuid, second, &err), 0);
    assert_true(gw_channel_read_full(far[0], &c, 1, NULL) < 0); /* the first one is gone */
    assert_int_equal(gw_pages_await(r, 0, &got, &err), 0);
    assert_ptr_equal(got, second);
    rig_fails(gw_pages_arrived(r, 0, uuid, channel(&far[2]), &err), -EEXIST, &err, "multifd channel 0 came twice");
    assert_true(gw_channel_read_full(far[2], &c, 1, NULL) < 0);
    for (unsigned i = 0; i < 3; i++)
        gw_channel_free(far[i]);
}

static void test_two_machines(void **state)
{
    struct gw_channel *far[2], *got = NULL;
    struct gw_error err = GW_ERROR_INIT;

    gw_pages_arrived(r, 0, uuid, channel(&far[0]), NULL);
    gw_pages_arrived(r, 1, other, channel(&far[1]), NULL);
    rig_fails(gw_pages_await(r, 1, &got, &err), -EPROTO, &err, "multifd channels 0 and 1 belong to machines with different UUIDs");
    assert_int_equal(err.blame, GW_BLAME_PEER);
    gw_channel_free(far[0]);
    gw_channel_free(far[1]);
}

/* Three tenths of a greeting's time, counted once for all; and what that looks like. */
static void test_late(void **state)
{
    struct gw_channel *far, *got = NULL;
    struct gw_error err = GW_ERROR_INIT;
    uint64_t began = rig.now_ns;

    rig_fails(gw_pages_await(r, 0, &got, &err), -ETIMEDOUT, &err,
              "0 of 2 multifd channels have come within 3 s: capability multifd seems to be off at the source: set the same on both "
              "sides");
    assert_int_equal(rig.now_ns - began, 3 * GW_NS_PER_S);
    gw_pages_arrived(r, 0, uuid, channel(&far), NULL);
    rig_fails(gw_pages_await(r, 1, &got, &err), -ETIMEDOUT, &err,
              "1 of 2 multifd channels have come within 3 s: multifd-channels seems to be 1 at the source and is 2 here: set the same "
              "on both sides");
    assert_int_equal(rig.now_ns - began, 3 * GW_NS_PER_S);
    gw_channel_free(far);
}

static void test_cancelled(void **state)
{
    struct gw_channel *got = NULL;
    struct gw_error err = GW_ERROR_INIT;

    r->session.cancelled = true;
    assert_int_equal(gw_pages_await(r, 0, &got, &err), -ECANCELED);
}

/* One that was refused ends whoever waits for another, with that reason, which is forgotten after a while. */
static void test_refused(void **state)
{
    struct gw_error why = GW_ERROR_INIT, err = GW_ERROR_INIT;
    struct gw_channel *got = NULL;

    assert_int_equal(gw_pages_check(r, &err), 0);
    gw_fail(&why, -EPROTO, GW_BLAME_PEER, "a bad one");
    gw_pages_refused(r, &why);
    rig_fails(gw_pages_await(r, 0, &got, &err), -EPROTO, &err, "a bad one");
    rig_fails(gw_pages_check(r, &err), -EPROTO, &err, "a bad one");
    rig.now_ns += 10 * GW_NS_PER_S;
    assert_int_equal(gw_pages_check(r, NULL), -EPROTO);
    rig.now_ns += 1;
    assert_int_equal(gw_pages_check(r, NULL), 0);
}

static void test_forgotten(void **state)
{
    struct gw_channel *far;
    char c;

    gw_pages_arrived(r, 1, uuid, channel(&far), NULL);
    r->pages.at[0].taken = true;
    r->pages.since_ns = 5;
    gw_pages_forget(r);
    assert_true(gw_channel_read_full(far, &c, 1, NULL) < 0);
    assert_false(r->pages.at[0].taken);
    assert_int_equal(r->pages.since_ns, 0);
    gw_channel_free(far);
}

static struct gw_channel *dialled;

static int dial(void *opaque, enum gw_link purpose, unsigned i, struct gw_cancel *cancel, struct gw_channel **ret, struct gw_error *err)
{
    assert_int_equal(purpose, GW_LINK_PAGES);
    *ret = dialled;
    return 0;
}

/* A source greets on each; a destination that dials itself reads the greeting, which must be the one's that it wanted. */
static void test_dialled(void **state)
{
    struct gw_channel *far, *got = NULL;
    struct gw_send *s = calloc(1, sizeof *s);
    struct gw_greeting greeting;
    struct gw_error err = GW_ERROR_INIT;
    uint8_t bytes[GW_GREETING_BYTES];

    rig.vm->dial_pages.dial = dial;
    rig.vm->uuid[3] = 9;
    r->classify.uuid[3] = 9;
    assert_int_equal(gw_session_init(&s->session, rig.vm, NULL, NULL, NULL), 0);
    dialled = channel(&far);
    assert_int_equal(gw_pages_dial(s, 1, &got, &err), 0);
    assert_int_equal(gw_channel_read_full(far, bytes, sizeof bytes, &err), 0);
    assert_int_equal(gw_greeting_get(bytes, &greeting, &err), 0);
    assert_int_equal(greeting.channel, 1);
    assert_memory_equal(greeting.uuid, rig.vm->uuid, 16);
    gw_session_close_pages(&s->session);
    gw_session_close(&s->session);
    gw_channel_free(far);
    free(s);
    for (unsigned wanted = 0; wanted < 2; wanted++) {
        dialled = channel(&far);
        assert_int_equal(gw_channel_write_full(far, bytes, sizeof bytes, &err), 0);
        if (wanted)
            assert_int_equal(gw_pages_await(r, 1, &got, &err), 0);
        else
            rig_fails(gw_pages_await(r, 0, &got, &err), -EPROTO, &err, "multifd channel 0: it says that it is another channel (1)");
        gw_channel_free(far);
    }
}

/* ---- postcopy ------------------------------------------------------------------------------------------------------ */

static struct gw_send *source(void)
{
    struct gw_send *s = calloc(1, sizeof *s);

    assert_int_equal(gw_session_init(&s->session, rig.vm, NULL, NULL, NULL), 0);
    s->profile = gw_wire_profile("10.0");
    return s;
}

static void end_source(struct gw_send *s)
{
    gw_session_close_pages(&s->session);
    gw_session_close(&s->session);
    free(s);
}

static void test_agreed(void **state)
{
    struct gw_send *s = source();
    struct gw_error err = GW_ERROR_INIT;

    s->rp.asks = true;
    assert_int_equal(gw_pages_agree(s, &err), 0);
    s->plan.ways.lanes_follow = true;
    s->timeout_ns = GW_NS_PER_S;
    assert_int_equal(gw_pages_agree(s, &err), -ETIMEDOUT); /* QEMU waits for the channels first */
    assert_non_null(strstr(err.text, "answers nothing before its multifd channels come"));
    s->rp.pongs = 2; /* all is known */
    assert_int_equal(gw_pages_agree(s, &err), -ENOTSUP);
    assert_non_null(strstr(err.text, "the destination does not take pages of postcopy on multifd channels"));
    s->rp.extensions = GW_EXTENSIONS;
    assert_int_equal(gw_pages_agree(s, &err), 0);
    end_source(s);
}

static void test_alive(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_send *s = source();
    struct gw_channel *far[2], *got = NULL;

    rig.vm->dial_pages.dial = dial;
    for (unsigned i = 0; i < 2; i++) {
        dialled = channel(&far[i]);
        assert_int_equal(gw_pages_dial(s, i, &got, &err), 0);
    }
    assert_int_equal(gw_pages_alive(s, &err), 0);
    gw_channel_free(far[1]);
    rig_fails(gw_pages_alive(s, &err), -EPIPE, &err, "page channel 1: memory:a: the destination has closed it");
    gw_channel_free(far[0]);
    end_source(s);
}

/* ---- a section that lacks bytes */

static uint64_t left;

static uint64_t lacking(struct gw_live *l)
{
    return left;
}

/* The main channel is shut down, so that who reads it sees it; unless all is here. */
static void test_lost(void **state)
{
    static const struct gw_live_ops ops = {.lacking = lacking};
    struct gw_live live = {.ops = &ops};
    struct gw_error why = GW_ERROR_INIT, err = GW_ERROR_INIT;
    struct gw_channel *far, *near = channel(&far);

    r->plan.live[r->plan.lives++] = &live;
    gw_session_set_channel(&r->session, near);
    gw_fail(&why, -ENODATA, GW_BLAME_CHANNEL, "it has ended");
    left = 0;
    gw_pages_lost(r, &why);
    assert_int_equal(gw_pages_check_lost(r, &err), 0);
    assert_false(gw_channel_peer_gone(far));
    left = 1;
    gw_pages_lost(r, &why);
    rig_fails(gw_pages_check_lost(r, &err), -ENODATA, &err, "it has ended");
    assert_true(gw_channel_peer_gone(far));
    gw_pages_forget(r);
    assert_int_equal(gw_pages_check_lost(r, &err), 0);
    r->plan.lives = 0;
    gw_session_set_channel(&r->session, NULL);
    gw_channel_free(near);
    gw_channel_free(far);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_count),     T(test_arrived), T(test_two_machines), T(test_late),
                                       T(test_cancelled), T(test_refused), T(test_forgotten),    T(test_dialled),  T(test_agreed),  T(test_alive),         T(test_lost)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
