/* SPDX-License-Identifier: MIT
 *
 * What the statistics of an outgoing session say, and when.
 */
#include "source.h"

/* The time that it stands is told by cause, and nothing is told twice. */
static void test_downtime(void **state)
{
    s->stop_ns = s->lap_ns = rig.now_ns;
    rig.now_ns += 3;
    gw_send_lap(s, GW_DOWNTIME_STOP);
    rig.now_ns += 4;
    gw_send_lap(s, GW_DOWNTIME_SYNC);
    rig.now_ns += 5;
    gw_send_lap(s, GW_DOWNTIME_STOP);
    assert_int_equal(s->session.stats.downtime_ns, 0); /* not before it is over */
    rig.now_ns += 6;
    gw_send_downtime(s, GW_DOWNTIME_LOAD);
    assert_int_equal(s->session.stats.downtime_ns, 18);
    assert_int_equal(s->session.stats.downtime_by[GW_DOWNTIME_STOP], 8);
    assert_int_equal(s->session.stats.downtime_by[GW_DOWNTIME_SYNC], 4);
    assert_int_equal(s->session.stats.downtime_by[GW_DOWNTIME_LOAD], 6);
}

static void put(unsigned bytes)
{
    static const uint8_t zeros[100];

    gw_writer_cause(&s->writer, GW_CAUSE_RAM_PAGE);
    gw_put_bytes(&s->writer, zeros, bytes);
    assert_int_equal(gw_send_flush(s, NULL), 0);
    gw_send_publish(s);
}

/* RAM counts for the state that the machine was in when it went. */
static void test_bytes_by_state(void **state)
{
    rig.running = true;
    put(10);
    rig.running = false;
    put(20);
    s->postcopy = true; /* it is to go that way, and has not yet */
    put(30);
    s->followed = true;
    put(40);
    assert_int_equal(s->session.stats.precopy_bytes, 10);
    assert_int_equal(s->session.stats.downtime_bytes, 50);
    assert_int_equal(s->session.stats.postcopy_bytes, 40);
    assert_int_equal(s->session.stats.transferred_bytes, 100);
}

static void test_total_time(void **state)
{
    struct gw_stats stats;

    rig.now_ns += 9;
    gw_send_stats(s, &stats);
    assert_int_equal(stats.total_time_ns, 9);
    gw_send_publish(s);
    gw_session_end(&s->session);
    rig.now_ns += 9;
    gw_send_stats(s, &stats);
    assert_int_equal(stats.total_time_ns, 9); /* it is over */
}

/* A caller that was built with a shorter history gets no more than fits. */
static void test_history(void **state)
{
    union {
        struct gw_history h;
        uint8_t bytes[sizeof(struct gw_history)];
    } got;

    memset(&got, 0xee, sizeof got);
    gw_history_begin(&s->history, rig.now_ns);
    put(10);
    gw_send_history_sized(s, &got.h, sizeof got.h - 8);
    assert_true(got.h.samples > 0);
    assert_int_equal(got.bytes[sizeof got.h - 8], 0xee);
    gw_send_history_sized(s, &got.h, sizeof got.h);
    assert_int_equal(got.bytes[sizeof got.h - 8], 0);
}

#define T(f) source_test(f)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_downtime), T(test_bytes_by_state), T(test_total_time), T(test_history)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
