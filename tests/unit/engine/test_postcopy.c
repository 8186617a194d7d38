/* SPDX-License-Identifier: MIT
 *
 * Postcopy from the source's side: what is said beforehand, and when it may come to it.
 */
#include "source.h"

#include "wire/numbers.h"

static struct gw_error err;

/* The sizes of host pages of all blocks that go, and that of a target page. */
static void test_advise(void **state)
{
    rig.vm->ram.blocks[0]->page_bytes = 2 << 20;
    gw_send_advise(s);
    assert_string_equal(flushed(), "0800030010" "0000000000200000" "0000000000001000");
    rig.vm->ram.blocks[0]->page_bytes = 512; /* a target page is the least */
    gw_send_advise(s);
    assert_string_equal(flushed(), "0800030010" "0000000000001000" "0000000000001000");
    rig.vm->ram.blocks[0]->flags |= GW_RAM_NO_MIGRATE;
    gw_send_advise(s);
    assert_string_equal(flushed(), "0800030010" "0000000000000000" "0000000000001000");
}

static void test_due(void **state)
{
    s->rp.running = true;
    assert_int_equal(gw_send_postcopy_due(s, &err), 0); /* it was not asked for, so nobody is waited for */
    assert_int_equal(rig.now_ns, GW_NS_PER_S);
    s->postcopy_asked = true;
    rig_fails(gw_send_postcopy_due(s, &err), -ETIMEDOUT, &err, "the destination did not answer a PING");
    s->rp.pongs = 1;
    assert_int_equal(gw_send_postcopy_due(s, &err), 1);
    assert_true(s->postcopy);
    s->rp.running = false;
}

/* Where the destination wants to acknowledge first, it goes on until it has. */
static void test_acknowledged(void **state)
{
    rig.running = true;
    source_cap("return-path");
    source_cap("switchover-ack");
    s->postcopy_asked = s->rp.running = true;
    s->rp.pongs = 1;
    assert_int_equal(gw_send_postcopy_due(s, &err), 0);
    assert_false(s->postcopy);
    s->rp.switchover_ack = true;
    assert_int_equal(gw_send_postcopy_due(s, &err), 1);
    s->rp.running = false;
}

static void test_cancelled(void **state)
{
    s->postcopy_asked = true;
    s->session.cancelled = true;
    assert_int_equal(gw_send_postcopy_due(s, &err), -ECANCELED);
}

/* A machine that does not stop stays. */
static void test_does_not_stop(void **state)
{
    s->grammar = GW_GRAMMAR_ITERATE;
    source_phase(GW_PHASE_ACTIVE);
    rig.running = true;
    rig.stop_fails = -EIO;
    assert_int_equal(gw_send_postcopy(s, &err), -EIO);
    assert_int_equal(gw_session_phase(&s->session), GW_PHASE_ACTIVE);
    assert_string_equal(flushed(), "");
}

/* What went on lanes is in memory there before the machine stops, and so before any page is discarded: one that came later would be
 * taken for the page of the guest that runs. */
static void test_lanes_meet_first(void **state)
{
    s->grammar = GW_GRAMMAR_ITERATE;
    source_phase(GW_PHASE_ACTIVE);
    rig.running = a.live.apart = true;
    rig.stop_fails = -EIO;
    rig.log[0] = 0;
    assert_int_equal(gw_send_postcopy(s, &err), -EIO);
    rig_said("meet(a) stop ");
    a.fails = -EPIPE;
    assert_int_equal(gw_send_postcopy(s, &err), -EPIPE);
    rig_said("meet(a) ");
    assert_true(rig.running);
    assert_int_equal(gw_session_phase(&s->session), GW_PHASE_ACTIVE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {source_test(test_advise), source_test(test_due), source_test(test_acknowledged),
                                       source_test(test_cancelled), source_test(test_does_not_stop),
                                       source_test(test_lanes_meet_first)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
