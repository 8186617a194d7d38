/* SPDX-License-Identifier: MIT
 *
 * What a session that resumes another one counts from: the sum, also after several; and nothing of a migration that is over.
 */
#include "source.h"

#include "engine/earlier.h"

static void begins(bool resume)
{
    s->resume = resume;
    gw_earlier_begin(s);
    assert_int_equal(gw_send_begin_writing(s, NULL), 0);
    gw_account_init(&s->account, &rig.vm->clock);
}

static int up(void **state)
{
    if (source_up_as("7.2"))
        return -1;
    begins(false);
    return 0;
}

/* It has sent so many pages, and bytes of memory, to where it runs. */
static void put(unsigned pages, unsigned bytes)
{
    static const uint8_t zeros[64];

    s->postcopy = s->followed = true;
    a.plain_pages = pages;
    gw_writer_cause(&s->writer, GW_CAUSE_RAM_PAGE);
    gw_put_bytes(&s->writer, zeros, bytes);
    assert_int_equal(gw_send_flush(s, NULL), 0);
    gw_send_publish(s);
}

static void ends(enum gw_phase phase)
{
    if (s->resume) {
        gw_session_enter(&s->session, GW_PHASE_RECONNECT);
        gw_session_enter(&s->session, GW_PHASE_RECOVER);
    } else {
        source_phase(GW_PHASE_DEVICE);
        gw_session_enter(&s->session, GW_PHASE_OFFERED_POSTCOPY);
    }
    if (phase != GW_PHASE_SEND_UNDECIDED)
        gw_session_enter(&s->session, GW_PHASE_POSTCOPY);
    gw_session_enter(&s->session, phase);
    gw_earlier_keep(s);
    gw_session_end(&s->session);
}

/* Another session takes its place, after 100 ns. */
static void next(bool resume)
{
    source_end_session();
    rig.now_ns += 100;
    assert_int_equal(source_session("7.2"), 0);
    begins(resume);
}

static void counts(uint64_t pages, uint64_t bytes, uint64_t total_time_ns)
{
    struct gw_stats st;

    gw_send_stats(s, &st);
    assert_int_equal(st.normal_pages, pages);
    assert_int_equal(st.normal_bytes, pages * RIG_PAGE);
    assert_int_equal(st.postcopy_bytes, bytes);
    assert_int_equal(st.transferred_bytes, bytes);
    assert_int_equal(st.bytes_by[GW_CAUSE_RAM_PAGE], bytes);
    assert_int_equal(st.total_time_ns, total_time_ns);
}

static void test_sum(void **state)
{
    s->syncs = 3;
    s->active_ns = s->started_ns + 5;
    s->session.stats.downtime_ns = 7;
    put(2, 40);
    counts(2, 40, 0);
    ends(GW_PHASE_SEND_PAUSED);
    next(true);
    counts(2, 40, 100); /* before it has counted anything itself */
    put(1, 20);
    put(1, 3);
    counts(1 + 2, 63, 100);
    assert_int_equal(s->session.stats.error.code, 0);
    ends(GW_PHASE_SEND_PAUSED);
    next(true);
    s->active_ns = s->started_ns + 50;
    put(10, 1);
    counts(13, 64, 200);
    assert_int_equal(s->session.stats.dirty_sync_count, 3);
    assert_int_equal(s->session.stats.setup_time_ns, 5); /* those of the first one */
    assert_int_equal(s->session.stats.downtime_ns, 7);
}

/* One that did not get so far that it counts. */
static void test_nothing_sent(void **state)
{
    put(2, 40);
    ends(GW_PHASE_SEND_UNDECIDED);
    next(true);
    ends(GW_PHASE_SEND_UNDECIDED);
    next(true);
    put(0, 2);
    counts(2, 42, 200);
}

static void test_another_migration(void **state)
{
    put(2, 40);
    ends(GW_PHASE_SEND_PAUSED);
    next(false);
    counts(0, 0, 0);
    put(1, 6);
    counts(1, 6, 0);
}

/* It is over, and nothing can resume it. */
static void test_over(void **state)
{
    put(2, 40);
    ends(GW_PHASE_SENT);
    assert_null(rig.vm->earlier);
    next(true);
    put(1, 6);
    counts(1, 6, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, source_down)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_sum), T(test_nothing_sent), T(test_another_migration), T(test_over)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
