/* SPDX-License-Identifier: MIT
 *
 * The machine is here whole: who is told what, in which order, and whose it is where something of that fails.
 */
#include "sink.h"

static struct gw_error err;
static struct gw_guest_ops parks;
static int park_fails;

static int park(struct gw_vm *vm, struct gw_error *e)
{
    rig_say("park ");
    return park_fails < 0 ? gw_fail(e, park_fails, GW_BLAME_LOCAL, "no room") : 0;
}

static void abandon(struct gw_vm *vm)
{
}

static int arrive(void)
{
    err = (struct gw_error)GW_ERROR_INIT;
    sink_phase(GW_PHASE_LOADING);
    gw_globalstate_set(rig.vm->globalstate, true);
    return gw_recv_arrive(r, &err);
}

static void with_return_path(void)
{
    r->return_path = true;
    gw_answers_open(&r->answers, near);
}

static void is(int e, int code, enum gw_phase phase)
{
    assert_int_equal(e, code);
    assert_int_equal(gw_session_phase(&r->session), phase);
}

/* A plain source: started, then said. */
static void test_plain(void **state)
{
    with_return_path();
    is(arrive(), 0, GW_PHASE_ARRIVED);
    rig_said("arrived start RESUME [completed] ");
    assert_string_equal(answered(), "0001000400000000");
    assert_true(r->session.held); /* a yank must not keep SHUT back */
    assert_int_equal(gw_vm_place(rig.vm), GW_VM_HERE);
}

static void test_stays_stopped(void **state)
{
    r->start_paused = true;
    is(arrive(), 0, GW_PHASE_ARRIVED);
    rig_said("arrived [completed] ");
}

/* The source's did not run. */
static void test_did_not_run(void **state)
{
    sink_phase(GW_PHASE_LOADING);
    gw_globalstate_set(rig.vm->globalstate, false);
    is(gw_recv_arrive(r, &err), 0, GW_PHASE_ARRIVED);
    rig_said("arrived [completed] ");
}

/* It does not start: the arrival is taken back, and the source's runs on. */
static void test_start_fails(void **state)
{
    with_return_path();
    rig.start_fails = -ENOMEM;
    is(arrive(), -ENOMEM, GW_PHASE_RECV_FAILED);
    rig_said("arrived start revoked [failed] ");
    assert_false(r->handed || r->session.held);
    assert_int_equal(gw_vm_place(rig.vm), GW_VM_LEFT);
}

static void test_yanked(void **state)
{
    r->session.yanked = true;
    is(arrive(), -ECONNABORTED, GW_PHASE_LOADED);
    rig_said("");
}

static void test_cancelled(void **state)
{
    r->session.cancelled = true;
    is(arrive(), -ECANCELED, GW_PHASE_LOADED);
    rig_said("");
}

/* ---- between two godwits ---- */

static void extended(uint16_t answer)
{
    with_return_path();
    r->extended = true;
    r->grammar = GW_GRAMMAR_ENDED;
    if (answer)
        put_command(answer, 0);
    put(answer);
}

static void test_commit(void **state)
{
    extended(GW_COMMAND_GODWIT_COMMIT);
    is(arrive(), 0, GW_PHASE_ARRIVED);
    assert_string_equal(answered(), "67780000" "0001000400000000"); /* LOADED, SHUT */
    assert_false(r->session.held);
}

static void test_abort(void **state)
{
    extended(GW_COMMAND_GODWIT_ABORT);
    is(arrive(), -ECANCELED, GW_PHASE_RECV_FAILED);
    rig_said("[failed] ");
    assert_string_equal(answered(), "67780000");
    assert_null(strstr(err.text, "expected at"));
}

/* No word came: it is not known whose it is. */
static void test_silence(void **state)
{
    extended(0);
    is(arrive(), -ENODATA, GW_PHASE_RECV_UNDECIDED);
    assert_non_null(strstr(err.text, "it is not known whether the source gave the machine away"));
    assert_non_null(strstr(err.text, "COMMIT, expected at byte 0"));
    rig_said("[failed] ");
}

static void test_something_else(void **state)
{
    with_return_path();
    r->extended = true;
    gw_put_u8(&out, GW_ELEMENT_EOF);
    put(true);
    is(arrive(), -EPROTO, GW_PHASE_RECV_UNDECIDED);
    assert_non_null(strstr(err.text, "element 0x00 (EOF) at byte 0 instead of COMMIT"));
}

/* However patient it was: what is missing are five bytes. */
static void test_patience(void **state)
{
    r->timeout_ns = 0;
    extended(GW_COMMAND_GODWIT_COMMIT);
    near->timeout_ns = 0;
    r->session.cancelled = false;
    is(arrive(), 0, GW_PHASE_ARRIVED);
    assert_int_equal(near->timeout_ns, GW_LAST_MESSAGE_NS); /* for the last word */
}

/* A start that fails after COMMIT: the source has given it away. */
static void test_start_fails_after_commit(void **state)
{
    extended(GW_COMMAND_GODWIT_COMMIT);
    rig.start_fails = -ENOMEM;
    is(arrive(), -ENOMEM, GW_PHASE_RECV_UNDECIDED);
}

/* ---- parking ---- */

static void parking(void)
{
    parks = gw_guest_here;
    parks.park = park;
    parks.abandon = abandon;
    rig.vm->guest = &parks;
    park_fails = 0;
    r->start_paused = true;
}

static void test_parked(void **state)
{
    parking();
    is(arrive(), 0, GW_PHASE_ARRIVED);
    rig_said("park arrived [completed] ");
}

static void test_park_fails(void **state)
{
    parking();
    park_fails = -ENOSPC;
    is(arrive(), -ENOSPC, GW_PHASE_LOADED);
    assert_string_equal(err.text, "no room");
    rig_said("park ");
}

/* A plain source that closed meanwhile has taken its machine back. */
static bool gone(struct gw_channel *ch)
{
    return true;
}

static void test_source_went(void **state)
{
    struct gw_channel_ops ops = *near->ops;

    ops.gone = gone;
    near->ops = &ops;
    parking();
    with_return_path();
    is(arrive(), -ECANCELED, GW_PHASE_LOADED);
    assert_int_equal(strncmp(err.text, "the source has closed the connection before it was told", 54), 0);
    /* With COMMIT nothing can go wrong: what is kept is not run unasked. */
    sink_down(NULL);
    assert_int_equal(sink_up(NULL), 0);
    ops = *near->ops;
    ops.gone = gone;
    near->ops = &ops;
    parking();
    extended(GW_COMMAND_GODWIT_COMMIT);
    is(arrive(), 0, GW_PHASE_ARRIVED);
    sink_down(NULL);
    assert_int_equal(sink_up(NULL), 0);
}

/* Nothing runs here, so a source that cannot be told goes on. */
static void test_cannot_be_told(void **state)
{
    parking();
    with_return_path();
    gw_channel_shutdown(near);
    is(arrive(), -ECANCELED, GW_PHASE_RECV_FAILED);
    assert_non_null(strstr(err.text, "the source could not be told that its machine is here, and runs on"));
}

/* One that runs here runs here, whether or not the source hears of it. */
static void test_runs_unheard(void **state)
{
    with_return_path();
    gw_channel_shutdown(near);
    is(arrive(), 0, GW_PHASE_ARRIVED);
    assert_non_null(strstr(rig.log, "the source was not told that the machine runs here"));
}

#define T(f) sink_test(f)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_plain),  T(test_stays_stopped), T(test_did_not_run), T(test_start_fails), T(test_yanked),  T(test_cancelled), T(test_commit),
        T(test_abort),  T(test_silence),       T(test_something_else), T(test_patience), T(test_start_fails_after_commit), T(test_parked),
        T(test_park_fails), T(test_source_went), T(test_cannot_be_told), T(test_runs_unheard),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
