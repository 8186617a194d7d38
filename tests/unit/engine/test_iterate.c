/* SPDX-License-Identifier: MIT
 *
 * Rounds: how a step is shared out, what of it counts for the bandwidth, what is told of a round, and when it stops.
 */
#include "source.h"

#include <fcntl.h>

#include "wire/numbers.h"

static void ready(void)
{
    s->grammar = GW_GRAMMAR_ITERATE;
    source_phase(GW_PHASE_ACTIVE);
    gw_window_init(&s->window);
    gw_switchover_init(&s->switchover);
    gw_tend_init(&s->tend);
    gw_throttle_init(&s->throttle, rig.now_ns);
    rig.running = true;
    rig.log[0] = 0;
    a.takes_ns = GW_NS_PER_MS;
}

/* A hundredth of a second's worth, not less than a page. */
static void test_share(void **state)
{
    rig_param("max-bandwidth", "1000000");
    assert_int_equal(gw_send_share(s), 10000);
    rig_param("max-bandwidth", "1000");
    assert_int_equal(gw_send_share(s), 4096);
    rig_param("max-bandwidth", "0");
    assert_true(gw_send_share(s) == UINT64_MAX);
}

/* Each gets an even share of what those before it have left, so that none starves. */
static void test_parts(void **state)
{
    uint64_t bytes;
    bool dry;

    ready();
    a.puts = b.puts = 1 << 20;
    a.dry = b.dry = false;
    assert_int_equal(gw_send_parts(s, 4096, &bytes, &dry, NULL), 0);
    rig_said("spent step(a) spent step(b) ");
    assert_false(dry);
    /* 2048 bytes each, with heads and footers. */
    assert_int_equal(bytes, 4096 + 2 * (5 + 5));
    a.puts = 256;
    a.dry = true;
    assert_int_equal(gw_send_parts(s, 4096, &bytes, &dry, NULL), 0);
    rig_said("step(a) spent step(b) ");
    assert_false(dry);
    assert_int_equal(bytes, 4096 + 2 * (5 + 5));
    b.puts = 0;
    b.dry = true;
    assert_int_equal(gw_send_parts(s, 4096, &bytes, &dry, NULL), 0);
    assert_true(dry);
}

static void test_step_fails(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    uint64_t bytes;
    bool dry;

    ready();
    a.fails = -EIO;
    rig_fails(gw_send_parts(s, 4096, &bytes, &dry, &err), -EIO, &err, "step of a");
    rig_said("step(a) ");
}

/* ---- rounds ---- */

static void test_first_round(void **state)
{
    ready();
    a.must = 100;
    b.can = 2 * RIG_PAGE;
    assert_int_equal(gw_send_first_round(s, NULL), 0);
    rig_said("pending(a) pending(b) pass1 ");
    assert_int_equal(s->syncs, 1);
    assert_int_equal(s->history.h.round[0].remaining_bytes, 100 + 2 * RIG_PAGE);
}

/* What a sync finds is all that is due; what of it is fresh makes the rate, and the largest such set is remembered. */
static void test_sync(void **state)
{
    uint64_t due;

    ready();
    s->round_began_ns = rig.now_ns;
    rig.now_ns += GW_NS_PER_S / 2;
    a.must = 3 * RIG_PAGE;
    b.can = 2 * RIG_PAGE;
    a.fresh = 4 * RIG_PAGE;
    a.plain_pages = 9;
    assert_int_equal(gw_send_sync(s, false, &due, NULL), 0);
    assert_int_equal(due, 5 * RIG_PAGE);
    assert_int_equal(s->last_dirty_bytes, 4 * RIG_PAGE);
    assert_int_equal(s->set_bytes, 4 * RIG_PAGE);
    assert_int_equal(s->session.stats.rounds, 1);
    assert_int_equal(s->session.stats.round[0].pages, 9);
    assert_int_equal(s->session.stats.round[0].duration_ns, GW_NS_PER_S / 2);
    assert_int_equal(s->session.stats.round[0].dirty_pages_per_s, 8);
    assert_int_equal(s->round.dirty_pages_at_start, 4);
    a.fresh = RIG_PAGE;
    a.plain_pages = 11;
    assert_int_equal(gw_send_sync(s, false, &due, NULL), 0);
    assert_int_equal(s->set_bytes, 4 * RIG_PAGE);
    assert_int_equal(s->session.stats.round[1].pages, 2); /* of this round alone */
    rig_said("sync(a) sync(b) pass1 sync(a) sync(b) pass2 ");
}

/* The last rounds are kept, all are counted. */
static void test_rounds_kept(void **state)
{
    uint64_t due;

    ready();
    for (unsigned i = 0; i < GW_ROUNDS_KEPT + 3; i++) {
        a.fresh = i * RIG_PAGE;
        assert_int_equal(gw_send_sync(s, false, &due, NULL), 0);
    }
    assert_int_equal(s->session.stats.rounds, GW_ROUNDS_KEPT + 3);
    assert_int_equal(s->session.stats.rounds_kept, GW_ROUNDS_KEPT);
    assert_int_equal(s->session.stats.round[GW_ROUNDS_KEPT - 1].dirty_pages_at_start, GW_ROUNDS_KEPT + 1);
    assert_int_equal(s->session.stats.round[0].dirty_pages_at_start, 2);
}

static int hint(void *opaque, enum gw_notify what, struct gw_error *err)
{
    rig_say(what == GW_NOTIFY_BEFORE_SYNC ? "before " : "after ");
    return gw_fail(err, -EIO, GW_BLAME_EMBEDDER, "no hint");
}

/* Notifiers around a sync are hints: what goes wrong there is told and nothing more. */
static void test_notifiers(void **state)
{
    uint64_t due;

    ready();
    gw_vm_add_notifier(rig.vm, hint, NULL, NULL);
    assert_int_equal(gw_send_sync(s, false, &due, NULL), 0);
    rig_said("before before a dirty sync: notifier: no hint; sync(a) sync(b) pass1 after after a dirty sync: notifier: no hint; ");
}

static void test_sync_fails(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    uint64_t due;

    ready();
    b.fails = -EOVERFLOW;
    rig_fails(gw_send_sync(s, false, &due, &err), -EOVERFLOW, &err, "sync of b");
    assert_int_equal(s->session.stats.rounds, 0);
}

/* ---- whether it may ---- */

static void test_may_switch(void **state)
{
    ready();
    s->rp.running = true;
    assert_false(gw_send_may_switch(s)); /* it is not known how the guest changes hands */
    s->rp.pongs = 1;
    assert_true(gw_send_may_switch(s));
    rig_cap("return-path");
    rig_cap("switchover-ack");
    assert_false(gw_send_may_switch(s));
    rig.running = false; /* nobody's downtime */
    assert_true(gw_send_may_switch(s));
    rig.running = true;
    s->rp.switchover_ack = true;
    assert_true(gw_send_may_switch(s));
    s->rp.running = false;
}

/* ---- all of it ---- */

/* Little is left and the link carries it: it stops with the first exact look. */
static void test_converges(void **state)
{
    ready();
    a.dry = b.dry = true;
    assert_int_equal(gw_send_iterate(s, NULL), 0);
    assert_true(s->session.stats.rounds >= 1);
}

static void test_silent_peer(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    ready();
    s->rp.running = true;
    a.can = a.fresh = 1ull << 40;
    a.takes_ns = GW_NS_PER_S;
    rig_fails(gw_send_iterate(s, &err), -ETIMEDOUT, &err, "the destination has not answered a PING for 20000 ms");
    assert_int_equal(err.blame, GW_BLAME_CHANNEL);
    s->rp.running = false;
}

static void cancel_soon(void)
{
    if (rig.now_ns > 30 * GW_NS_PER_S)
        s->session.cancelled = true;
}

/* One that never fits goes on, throttled as it was asked for, until somebody ends it. */
static void test_never(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_account_sums sums;

    ready();
    rig_cap("auto-converge");
    rig_param("max-bandwidth", "1000000");
    a.can = a.fresh = 1ull << 30;
    a.puts = 1 << 20;
    a.dry = b.dry = false;
    near->timeout_ns = 0;
    gw_channel_free(near); /* what nobody reads would fill the channel */
    gw_writer_close(&s->writer);
    assert_int_equal(gw_channel_from_fd(open("/dev/null", O_WRONLY | O_CLOEXEC), "null", &near, NULL), 0);
    s->channel = near;
    assert_int_equal(gw_send_begin_writing(s, NULL), 0);
    rig.slept = cancel_soon;
    rig_fails(gw_send_iterate(s, &err), -ECANCELED, &err, "cancelled");
    assert_true(rig.percent >= 20);
    assert_int_equal(s->session.stats.converges, GW_CONVERGES_NO);
    assert_true(s->session.stats.rounds > 2);
    gw_account_read(&s->account, &sums); /* 29 seconds, with the limit's own slack */
    assert_true(sums.bytes > 1000000 && sums.bytes <= 30 * 1000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        source_test(test_share),       source_test(test_parts),     source_test(test_step_fails), source_test(test_first_round),
        source_test(test_sync),        source_test(test_rounds_kept), source_test(test_notifiers), source_test(test_sync_fails),
        source_test(test_may_switch),  source_test(test_converges), source_test(test_silent_peer), source_test(test_never),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
