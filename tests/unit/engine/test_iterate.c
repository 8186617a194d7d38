/* SPDX-License-Identifier: MIT
 *
 * When the rounds of a source end.
 */
#include "source.h"

#include <fcntl.h>

static void test_may_switch(void **state)
{
    source_ready();
    s->rp.running = true;
    assert_false(gw_send_may_switch(s)); /* it is not known how the guest changes hands */
    s->rp.pongs = 1;
    assert_true(gw_send_may_switch(s));
    source_cap("return-path");
    source_cap("switchover-ack");
    assert_false(gw_send_may_switch(s));
    rig.running = false; /* nobody's downtime */
    assert_true(gw_send_may_switch(s));
    rig.running = true;
    s->rp.switchover_ack = true;
    assert_true(gw_send_may_switch(s));
    s->rp.running = false;
}

/* Little is left and the link carries it: it stops with the first exact look. */
static void test_converges(void **state)
{
    source_ready();
    a.dry = b.dry = true;
    assert_int_equal(gw_send_iterate(s, NULL), 0);
    assert_true(s->session.stats.rounds >= 1);
}

static void test_silent_peer(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    source_ready();
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

    source_ready();
    source_cap("auto-converge");
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
        source_test(test_may_switch), source_test(test_converges), source_test(test_silent_peer), source_test(test_never),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
