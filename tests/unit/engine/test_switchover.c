/* SPDX-License-Identifier: MIT
 *
 * The machine changes hands: in which order what goes, and whose machine it is after each answer and each silence.
 */
#include "source.h"

#include "wire/numbers.h"

static struct gw_error err;

static void fresh(void)
{
    err = (struct gw_error)GW_ERROR_INIT;
}

static void ready(void)
{
    assert_int_equal(gw_vmdesc_new(RIG_PAGE, &s->desc, NULL), 0);
    s->grammar = GW_GRAMMAR_ITERATE;
    source_phase(GW_PHASE_ACTIVE);
    rig.running = true;
    rig.log[0] = 0;
    fresh();
}

/* ---- the answer, as the return path heard it ---- */

static enum gw_answer answer(bool for_loaded)
{
    fresh();
    return gw_send_wait_answer(s, for_loaded, &err);
}

static void test_answers(void **state)
{
    s->rp = (struct gw_rp){.shut = true, .ended = true, .ended_orderly = true};
    assert_int_equal(answer(false), GW_ANSWER_GOOD);
    s->rp.shut_value = 1;
    gw_fail(&s->rp.error, -EREMOTEIO, GW_BLAME_PEER, "bad");
    assert_int_equal(answer(false), GW_ANSWER_BAD);
    assert_string_equal(err.text, "bad");
    s->rp = (struct gw_rp){.ended = true, .ended_orderly = true};
    assert_int_equal(answer(false), GW_ANSWER_CLOSED);
    s->rp.ended_orderly = false;
    assert_int_equal(answer(false), GW_ANSWER_LOST);
    s->rp = (struct gw_rp){.loaded = true};
    assert_int_equal(answer(true), GW_ANSWER_LOADED);
}

/* Silence lasts as long as the time-out; who says something gets it again. */
static unsigned pongs_left;

static void pong(void)
{
    if (pongs_left && (rig.now_ns / GW_NS_PER_MS) % 10000 == 0) {
        pongs_left--;
        s->rp.messages++;
    }
}

static void test_silence(void **state)
{
    uint64_t began = rig.now_ns;

    assert_int_equal(answer(false), GW_ANSWER_LOST);
    assert_string_equal(err.text, "the destination gave no answer after the last byte");
    assert_int_equal(rig.now_ns - began, 20 * GW_NS_PER_S);
    pongs_left = 3;
    rig.slept = pong;
    began = rig.now_ns;
    assert_int_equal(answer(false), GW_ANSWER_LOST);
    assert_true(rig.now_ns - began > 40 * GW_NS_PER_S);
    assert_int_equal(pongs_left, 0);
}

/* A cancel is heard before the machine was given, and never after. */
static void test_cancel_while_waiting(void **state)
{
    uint64_t began = rig.now_ns;

    s->session.cancelled = true;
    assert_int_equal(answer(true), GW_ANSWER_LOST);
    assert_int_equal(rig.now_ns, began);
    assert_int_equal(answer(false), GW_ANSWER_LOST);
    assert_int_equal(rig.now_ns - began, 20 * GW_NS_PER_S);
    s->session.yanked = true;
    assert_int_equal(answer(false), GW_ANSWER_LOST);
    assert_int_equal(rig.now_ns - began, 20 * GW_NS_PER_S);
}

/* ---- before it stops ---- */

static void test_know_peer(void **state)
{
    bool two_steps = true;

    fresh();
    assert_int_equal(gw_send_know_peer(s, &two_steps, &err), 0); /* nobody was asked */
    assert_false(two_steps);
    s->rp.running = true;
    rig_fails(gw_send_know_peer(s, &two_steps, &err), -ETIMEDOUT, &err, "the destination did not answer a PING");
    s->rp.pongs = 1;
    s->rp.extensions = GW_EXTENSION_COMMIT;
    assert_int_equal(gw_send_know_peer(s, &two_steps, &err), 0);
    assert_true(two_steps);
    s->rp.running = false;
}

static void go_on(void)
{
    s->go_on = true;
    pthread_cond_broadcast(&s->session.changed);
}

static void test_stand(void **state)
{
    bool two_steps;

    ready();
    source_cap("pause-before-switchover");
    go_on();
    rig.vm->taken = true;
    assert_int_equal(gw_send_stand(s, &two_steps, &err), 0);
    rig_said("stop STOP [pre-switchover] [device] ");
    assert_true(s->was_running && s->stopped);
    assert_false(rig.vm->taken);
    assert_int_equal(s->stop_ns, rig.now_ns);
}

/* It did not stop, or it did and says that it failed: then it is to be started again. */
static void test_stop_fails(void **state)
{
    bool two_steps;

    ready();
    rig.stop_fails = -EIO;
    assert_int_equal(gw_send_stand(s, &two_steps, &err), -EIO);
    assert_false(s->stopped);
    assert_int_equal(gw_session_phase(&s->session), GW_PHASE_ACTIVE);
    rig_said("stop ");
}

static void test_stood_before(void **state)
{
    bool two_steps;

    ready();
    rig.running = false;
    assert_int_equal(gw_send_stand(s, &two_steps, &err), 0);
    rig_said("[device] ");
    assert_false(s->stopped);
}

/* ---- all of it ---- */

/* What can follow the machine does not end before it runs there. */
static void test_order(void **state)
{
    ready();
    assert_int_equal(gw_send_last_parts(s, false, &err), 0);
    rig_said("sync(a) sync(b) pass1 complete(a) complete(b) ");
    gw_ram_seal(&rig.vm->ram, false);
    s->profile = gw_wire_profile("10.0");
    flushed();
    s->grammar = GW_GRAMMAR_ITERATE;
    assert_int_equal(gw_send_last_parts(s, true, &err), 0);
    rig_said("sync(a) sync(b) pass2 complete(a) ");
    assert_string_equal(flushed(), "08000b0000" "0300000007" "7e00000007"); /* SWITCHOVER_START */
}

static void owned_by(int r, int code, enum gw_phase phase, enum gw_owner owner)
{
    assert_int_equal(r, code);
    assert_int_equal(gw_session_phase(&s->session), phase);
    assert_int_equal(gw_phase_row(phase)->owner, owner);
}

/* Without a way back: what took it in good order has it. */
static void test_closed_well(void **state)
{
    ready();
    owned_by(gw_send_switchover(s, &err), 0, GW_PHASE_SENT, GW_OWNER_DESTINATION);
    assert_false(rig.vm->taken); /* nobody has said so */
    assert_false(s->confirmed);
}

/* What the return path hears as soon as the last byte has gone. */
static struct gw_rp heard;

static void hear(void)
{
    if (!s->rp.offered || s->rp.ended)
        return;
    s->rp.shut = heard.shut;
    s->rp.shut_value = heard.shut_value;
    s->rp.ended = heard.ended;
    s->rp.ended_orderly = heard.ended_orderly;
}

/* With one: by its answer. at_rest: a machine in a file waits, where one that stands here goes on. */
static void plain(struct gw_rp rp, bool at_rest, int code, enum gw_phase phase)
{
    static struct gw_guest_ops resting;

    resting = gw_guest_here;
    resting.at_rest = at_rest;
    source_down(NULL);
    assert_int_equal(source_up(NULL), 0);
    ready();
    rig.vm->guest = &resting;
    heard = rp;
    rig.slept = hear;
    s->rp = (struct gw_rp){.pongs = 1, .running = true};
    owned_by(gw_send_switchover(s, &err), code, phase, gw_phase_row(phase)->owner);
    s->rp.running = false;
}

static void test_plain_answers(void **state)
{
    plain((struct gw_rp){.shut = true, .ended = true}, false, 0, GW_PHASE_SENT);
    assert_true(rig.vm->taken && s->confirmed);
    plain((struct gw_rp){.shut = true, .shut_value = 1, .ended = true}, false, -EREMOTEIO, GW_PHASE_SEND_FAILED);
    plain((struct gw_rp){.ended = true, .ended_orderly = true}, false, -EREMOTEIO, GW_PHASE_SEND_FAILED);
    plain((struct gw_rp){.ended = true, .ended_orderly = true}, true, -EREMOTEIO, GW_PHASE_SEND_UNDECIDED);
    plain((struct gw_rp){0}, false, -ETIMEDOUT, GW_PHASE_SEND_UNDECIDED);
    assert_non_null(strstr(err.text, "it is not known whether the destination runs the machine"));
}

/* Between two godwits it is given in a step of its own, which can be kept back to the last. */
static void shut(void)
{
    if (gw_session_phase(&s->session) == GW_PHASE_HANDED)
        s->rp.shut = s->rp.ended = true;
}

static void test_commit(void **state)
{
    const char *text;

    ready();
    s->rp = (struct gw_rp){.pongs = 1, .running = true, .extensions = GW_EXTENSION_COMMIT, .loaded = true};
    rig.slept = shut;
    owned_by(gw_send_switchover(s, &err), 0, GW_PHASE_SENT, GW_OWNER_DESTINATION);
    text = sent();
    assert_string_equal(text + strlen(text) - 10, "0867010000"); /* COMMIT */
    assert_true(s->rp.offered && s->session.last_word && s->confirmed);
    s->rp.running = false;
}

static void test_confirmation_lost(void **state)
{
    ready();
    s->rp = (struct gw_rp){.pongs = 1, .running = true, .extensions = GW_EXTENSION_COMMIT, .loaded = true};
    owned_by(gw_send_switchover(s, &err), -ETIMEDOUT, GW_PHASE_SEND_GONE, GW_OWNER_DESTINATION);
    assert_non_null(strstr(err.text, "whose confirmation was lost: claim it there"));
    s->rp.running = false;
}

static void test_abort(void **state)
{
    const char *text;

    ready();
    s->rp = (struct gw_rp){.pongs = 1, .running = true, .extensions = GW_EXTENSION_COMMIT};
    assert_int_equal(gw_send_switchover(s, &err), -ETIMEDOUT);
    assert_int_equal(gw_session_phase(&s->session), GW_PHASE_OFFERED); /* it is ours */
    text = sent();
    assert_string_equal(text + strlen(text) - 10, "0867020000");
    s->rp.running = false;
}

/* One that runs what it was not given is refused. */
static void test_taken_unasked(void **state)
{
    ready();
    s->rp = (struct gw_rp){.pongs = 1, .running = true, .extensions = GW_EXTENSION_COMMIT};
    heard = (struct gw_rp){.shut = true, .ended = true};
    rig.slept = hear;
    rig_fails(gw_send_switchover(s, &err), -EPROTO, &err,
              "the destination says that it runs the machine, which was not given to it");
    assert_int_equal(gw_session_phase(&s->session), GW_PHASE_OFFERED);
    s->rp.running = false;
}

/* A cancel that comes before the last byte keeps it back. */
static void test_cancelled_before_the_end(void **state)
{
    ready();
    a.fails = 0;
    s->session.cancelled = true;
    assert_int_equal(gw_send_switchover(s, &err), -ECANCELED);
    assert_int_equal(gw_session_phase(&s->session), GW_PHASE_ACTIVE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        source_test(test_answers),    source_test(test_silence),         source_test(test_cancel_while_waiting),
        source_test(test_know_peer),  source_test(test_stand),           source_test(test_stop_fails),
        source_test(test_stood_before), source_test(test_order),         source_test(test_closed_well),
        source_test(test_plain_answers), source_test(test_commit),       source_test(test_confirmation_lost),
        source_test(test_abort),      source_test(test_taken_unasked),   source_test(test_cancelled_before_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
