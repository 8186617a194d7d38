/* SPDX-License-Identifier: MIT
 *
 * Convergence, counted in rounds: the source's clock advances only while it waits for its rate limit, and the guest
 * writes only before a sync, so that the test does not depend on the host's speed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../owned.h"
#include "pair.h"
#include "source_clock.h"

static unsigned give_up_rounds;

static struct {
    struct sim *guest;
    uint64_t writes; /* writes before each sync */
} eager;

static int write_before_sync(void *opaque, enum gw_notify what, struct gw_error *err)
{
    source_clock_adopt();
    if (what != GW_NOTIFY_BEFORE_SYNC)
        return 0;
    if (atomic_load(&eager.guest->throttle))
        return 0; /* it obeys, and a little is enough here */
    atomic_store(&eager.guest->words_per_ms, 50);
    sim_await_writes(eager.guest, eager.writes);
    atomic_store(&eager.guest->words_per_ms, 0);
    return 0;
}

static void make_eager(struct pair *p, uint64_t writes)
{
    eager.guest = p->from;
    eager.writes = writes;
    atomic_store(&p->from->words_per_ms, 0);
    assert_int_equal(gw_vm_add_notifier(p->from->vm, write_before_sync, NULL, NULL), 0);
}

static void give_up(struct pair *p, struct gw_send *send, struct gw_recv *recv)
{
    struct gw_stats st;

    gw_send_stats(send, &st);
    if (st.rounds >= give_up_rounds)
        sim_option(p->from, "downtime-limit", "1000000");
}

/* ---- pages that are coded -------------------------------------------------------------------------------------------- */

/* Most of 2 MiB is dirty before each sync. Uncompressed it takes half a second, which does not fit; compressed a small
 * part of that. Pending memory is counted in pages, so the rate must be in pages too. */
static void code(struct pair *p, struct gw_channel **a, struct gw_channel **b)
{
    const char *how = p->opaque;
    bool packed = !strcmp(how, "zlib") || !strcmp(how, "zstd");

    make_eager(p, 2000);
    sim_option(p->from, "max-bandwidth", "4M");
    sim_option(p->from, "downtime-limit", "250");
    if (!packed && *how)
        assert_int_equal(gw_options_set_capability(gw_vm_options(p->from->vm), how, true, NULL), 0);
    for (unsigned i = 0; packed && i < 2; i++)
        sim_option(i ? p->to : p->from, "multifd-compression", how);
}

static unsigned rounds_of(const char *how, unsigned lanes)
{
    char text[16];
    struct pair p = {.mib = 2, .words_per_ms = 50, .clock = &source_clock, .lanes = lanes, .before = code, .during = give_up, .opaque = text};

    snprintf(text, sizeof text, "%s", how);
    source_clock_begin(20);
    pair_run(&p);
    assert_int_equal(p.source_says, GW_OWNER_DESTINATION);
    print_message("%s: %u rounds, %.1f Mbit/s\n", *how ? how : "as they are", p.stats.rounds, p.stats.mbps);
    return p.stats.rounds;
}

/* Only how a migration ends is compared with the control: how many rounds pass until then depends on when the threads of
 * the lanes run. */
static void test_coded(void **state)
{
    give_up_rounds = 100;
    assert_true(rounds_of("", 0) >= give_up_rounds);
    assert_true(rounds_of("compress", 0) < give_up_rounds);
    assert_true(rounds_of("zlib", 2) < give_up_rounds);
    assert_true(rounds_of("zstd", 2) < give_up_rounds);
    assert_true(rounds_of("xbzrle", 0) < give_up_rounds);
}

/* ---- convergence that is tended --------------------------------------------------------------------------------------- */

#define TENDED "x-godwit-tended-convergence"

/* 2 MiB dirty before each sync at 2 MiB/s: a second, over the limit of 100 ms. */
static void too_busy(struct pair *p, struct gw_channel **a, struct gw_channel **b)
{
    make_eager(p, 4000);
    sim_option(p->from, "max-bandwidth", "2M");
    sim_option(p->from, "downtime-limit", "100");
    sim_option(p->from, "x-godwit-downtime-ceiling", p->opaque);
    assert_int_equal(gw_options_set_capability(gw_vm_options(p->from->vm), TENDED, true, NULL), 0);
}

static struct gw_stats tend(char *ceiling, struct pair *ret)
{
    struct pair p = {.mib = 2, .words_per_ms = 50, .clock = &source_clock, .before = too_busy, .during = give_up, .opaque = ceiling};

    give_up_rounds = 40;
    source_clock_begin(20);
    pair_run(&p);
    assert_int_equal(p.source_says, GW_OWNER_DESTINATION);
    print_message("ceiling %s ms: %u rounds, limit %llu ms, %u %%; %s\n", ceiling, p.stats.rounds,
                  (unsigned long long)p.stats.downtime_limit_ns / 1000000, p.throttle_most, p.stats.tended);
    assert_true(p.stats.rounds < give_up_rounds);
    assert_int_equal(p.throttle, 0);
    *ret = p;
    return p.stats;
}

static void test_tended(void **state)
{
    static char room[] = "5000", none[] = "200";
    struct pair p;
    struct gw_stats st = tend(room, &p);

    assert_true(st.downtime_limit_ns > 500000000 && st.downtime_limit_ns < 5000000000);
    assert_int_equal(p.throttle_most, 0);
    assert_non_null(strstr(st.tended, "the downtime limit is "));
    assert_string_equal(p.log, st.tended);

    /* No round is within the ceiling: now the guest is throttled, enough to fit from the first step on. */
    st = tend(none, &p);
    assert_int_equal(st.downtime_limit_ns, 200000000);
    assert_true(p.throttle_most >= 20);
    assert_non_null(strstr(st.tended, "the guest is slowed down: "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        owned_test(test_coded),
        owned_test(test_tended),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
