/* SPDX-License-Identifier: MIT
 *
 * Rounds: what a sync finds, and what is told of a round.
 */
#include "engine/rounds.h"
#include "source.h"

static void test_first_round(void **state)
{
    source_ready();
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

    source_ready();
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

    source_ready();
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

    source_ready();
    gw_vm_add_notifier(rig.vm, hint, NULL, NULL);
    assert_int_equal(gw_send_sync(s, false, &due, NULL), 0);
    rig_said("before before a dirty sync: notifier: no hint; sync(a) sync(b) pass1 after after a dirty sync: notifier: no hint; ");
}

static void test_sync_fails(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    uint64_t due;

    source_ready();
    b.fails = -EOVERFLOW;
    rig_fails(gw_send_sync(s, false, &due, &err), -EOVERFLOW, &err, "sync of b");
    assert_int_equal(s->session.stats.rounds, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        source_test(test_first_round), source_test(test_sync), source_test(test_rounds_kept), source_test(test_notifiers),
        source_test(test_sync_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
