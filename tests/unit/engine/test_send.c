/* SPDX-License-Identifier: MIT
 *
 * The life of an outgoing session: what cannot be started, what can be asked of one and when, and what is left of the machine at
 * its end. What its options forbid: test_plan_check.c; what statistics say: test_figures.c.
 */
#include "source.h"

static struct gw_error err;

/* ---- what cannot be started ---- */

static void refused(struct gw_send_config config, int code, const char *text)
{
    struct gw_send *got = NULL;

    err = (struct gw_error)GW_ERROR_INIT;
    rig_fails(gw_send_start(rig.vm, &config, &got, &err), code, &err, text);
    assert_int_equal(err.blame, GW_BLAME_CALLER);
    assert_null(got);
    assert_false(rig.vm->busy);
}

#define TO(...) ((struct gw_send_config){.uri = "tcp:127.0.0.1:1", __VA_ARGS__})

static void test_refused(void **state)
{
    refused(TO(.peer = "6.0"), -EINVAL, "no peer is called 6.0: 7.2, 8.1, 9.0, 10.0, godwit");
    refused((struct gw_send_config){0}, -EINVAL, "name either a URI or a channel to send to, one of the two");
    refused(TO(.resume = true), -EINVAL, "a migration that is resumed takes capability postcopy-ram, and it is off: turn it on");
    rig.vm->place = GW_VM_LEFT;
    assert_int_equal(gw_send_start(rig.vm, &TO(0), &(struct gw_send *){NULL}, &err), -EALREADY);
    assert_false(rig.vm->busy);
    rig.vm->place = GW_VM_HERE;
}

/* The channel is the session's whatever happens. */
static void test_channel_is_taken(void **state)
{
    struct gw_channel *x, *y;
    char c;

    assert_int_equal(gw_channel_memory_pair(64, &x, &y, NULL), 0);
    refused((struct gw_send_config){.uri = "tcp:127.0.0.1:1", .take_channel = x}, -EINVAL,
            "name either a URI or a channel to send to, one of the two");
    assert_true(gw_channel_read_full(y, &c, 1, NULL) < 0);
    gw_channel_free(y);
}

/* Options that came with a start that failed are gone again. */
static void test_options_go_back(void **state)
{
    struct gw_options *own;

    assert_int_equal(gw_options_new(&own, NULL), 0);
    gw_options_set_parameter(own, "downtime-limit", "5", NULL);
    refused(TO(.peer = "x", .options = own), -EINVAL, "no peer is called x: 7.2, 8.1, 9.0, 10.0, godwit");
    assert_int_equal(gw_options_param(gw_vm_options(rig.vm), GW_PARAM_DOWNTIME_LIMIT), 300);
    gw_options_free(own);
}

/* ---- what can be asked of one ---- */

static void test_continue(void **state)
{
    source_phase(GW_PHASE_ACTIVE);
    rig_fails(gw_send_continue(s, &err), -EINVAL, &err,
              "the migration is in state active, and goes on by itself: only one that stopped before the switch-over "
              "(capability pause-before-switchover) has to be continued");
    gw_session_enter(&s->session, GW_PHASE_STOPPED);
    gw_session_enter(&s->session, GW_PHASE_PAUSED);
    assert_int_equal(gw_send_continue(s, &err), 0);
    assert_true(s->go_on);
}

static void test_start_postcopy(void **state)
{
    source_phase(GW_PHASE_SETUP);
    rig_fails(gw_send_start_postcopy(s, &err), -EINVAL, &err,
              "this migration began without capability postcopy-ram, so it cannot end by postcopy: cancel it, turn the capability on, and "
              "start again");
    s->plan.requests = (void *)s; /* it is on */
    rig.vm->ram.blocks[0]->flags |= GW_RAM_PERSISTENT;
    rig_fails(gw_send_start_postcopy(s, &err), -ENOTSUP, &err,
              "RAM block ram is on persistent memory, whose pages cannot follow a guest that runs: send this machine without "
              "postcopy");
    assert_false(s->postcopy_asked);
    rig.vm->ram.blocks[0]->flags |= GW_RAM_NO_MIGRATE; /* it stays here */
    assert_int_equal(gw_send_start_postcopy(s, &err), 0);
    assert_true(s->postcopy_asked);
    s->postcopy_asked = false;
    gw_session_enter(&s->session, GW_PHASE_ACTIVE);
    assert_int_equal(gw_send_start_postcopy(s, &err), 0);
    s->postcopy_asked = false;
    gw_session_enter(&s->session, GW_PHASE_STOPPED);
    assert_int_equal(gw_send_start_postcopy(s, &err), -EINVAL);
    assert_false(s->postcopy_asked);
    s->plan.requests = NULL;
}

/* Why it is over: what the destination said, or that it went. A cancel is the better reason. */
static void test_check(void **state)
{
    assert_int_equal(gw_send_check(s, &err), 0);
    s->rp.ended = true;
    rig_fails(gw_send_check(s, &err), -EPROTO, &err, "the destination ended the migration before it was complete");
    gw_fail(&s->rp.error, -EREMOTEIO, GW_BLAME_PEER, "its disk is full");
    rig_fails(gw_send_check(s, &err), -EREMOTEIO, &err, "its disk is full");
    s->session.cancelled = true;
    assert_int_equal(gw_send_check(s, &err), -ECANCELED);
}

static void test_sleep(void **state)
{
    uint64_t began = rig.now_ns;

    gw_send_sleep(s, 5 * GW_NS_PER_MS);
    assert_int_equal(rig.now_ns - began, 5 * GW_NS_PER_MS);
    s->rp.ended = true;
    gw_send_sleep(s, 5 * GW_NS_PER_MS);
    assert_int_equal(rig.now_ns - began, 5 * GW_NS_PER_MS);
}

static void test_confirmed(void **state)
{
    s->confirmed = true;
    source_phase(GW_PHASE_DEVICE);
    assert_false(gw_send_confirmed(s));
    gw_session_enter(&s->session, GW_PHASE_OFFERED_PLAIN);
    gw_session_enter(&s->session, GW_PHASE_SENT);
    assert_true(gw_send_confirmed(s));
    assert_int_equal(gw_send_status(s), GW_STATUS_COMPLETED);
    assert_int_equal(gw_send_owner(s), GW_OWNER_DESTINATION);
}

/* ---- whole ones ---- */

static struct gw_send *whole(struct gw_channel *to)
{
    struct gw_send_config config = {.take_channel = to, .peer = "7.2", .progress_timeout_ns = UINT64_MAX, .on_event = rig_event};
    struct gw_send *got = NULL;

    assert_int_equal(gw_send_start(rig.vm, &config, &got, &err), 0);
    return got;
}

/* Into what nobody reads but everything fits into: the machine has left. */
static void test_sent(void **state)
{
    struct gw_channel *x, *y;
    struct gw_send *w;

    assert_int_equal(gw_channel_memory_pair(1 << 20, &x, &y, NULL), 0);
    w = whole(x);
    assert_int_equal(gw_send_wait(w, &err), 0);
    assert_non_null(strstr(rig.log, "[completed] left [ended] "));
    assert_int_equal(gw_vm_place(rig.vm), GW_VM_LEFT);
    assert_int_equal(gw_send_cancel(w, &err), -EALREADY);
    gw_send_free(w);
    gw_channel_free(y);
    assert_null(gw_send_free(NULL));
}

/* The peer is gone: the machine runs on where it ran. */
static void test_failed(void **state)
{
    struct gw_channel *x, *y;
    struct gw_send *w;

    assert_int_equal(gw_channel_memory_pair(4096, &x, &y, NULL), 0);
    gw_channel_free(y);
    rig.running = true;
    w = whole(x);
    assert_true(gw_send_wait(w, &err) < 0);
    assert_int_equal(gw_send_status(w), GW_STATUS_FAILED);
    assert_int_equal(gw_vm_place(rig.vm), GW_VM_HERE);
    assert_true(rig.running);
    assert_false(rig.vm->busy);
    gw_send_free(w);
}

#define T(f) source_test(f)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_refused), T(test_channel_is_taken), T(test_options_go_back), T(test_continue), T(test_start_postcopy), T(test_check),
        T(test_sleep),   T(test_confirmed),        T(test_sent),            T(test_failed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
