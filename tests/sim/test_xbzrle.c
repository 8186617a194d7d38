/* SPDX-License-Identifier: MIT
 *
 * XBZRLE between two machines in one process: with any size of the cache, and any changes of it, the memory that
 * arrives is the memory that was sent.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../owned.h"
#include "pair.h"

#define ROUNDS 8u /* syncs required before the switchover */

static char size[24]; /* of the cache */
static bool resizes;
static unsigned turn;

static void turn_on(struct pair *p, struct gw_channel **a, struct gw_channel **b)
{
    turn = 0;
    sim_option(p->from, "max-bandwidth", "32M");
    sim_write_before_syncs(p->from);
    sim_option(p->from, "xbzrle-cache-size", size);
    sim_option(p->from, "downtime-limit", "1");
    assert_int_equal(gw_options_set_capability(gw_vm_options(p->from->vm), "xbzrle", true, NULL), 0);
}

static void resize(struct pair *p, struct gw_send *send, struct gw_recv *recv)
{
    static const char *const sizes[] = {"4096", "1048576", "65536", "4194304", "8192"};
    struct gw_stats st;

    gw_send_stats(send, &st);
    if (resizes && st.dirty_sync_count > turn) {
        turn = (unsigned)st.dirty_sync_count;
        sim_option(p->from, "xbzrle-cache-size", sizes[turn % 5]);
    }
    if (st.dirty_sync_count >= ROUNDS)
        sim_option(p->from, "downtime-limit", "1000000");
}

static struct gw_stats run(uint64_t cache_bytes, bool changing, uint64_t words_per_ms, const char *peer)
{
    struct pair p = {.mib = 1, .words_per_ms = words_per_ms, .peer = peer, .before = turn_on, .during = resize};

    snprintf(size, sizeof size, "%llu", (unsigned long long)cache_bytes);
    resizes = changing;
    pair_run(&p);
    assert_int_equal(p.source_says, GW_OWNER_DESTINATION);
    print_message("cache %s%s: %u rounds, %llu hits, %llu misses, %llu overflows, %llu bytes\n", size,
                  changing ? " and others" : "", p.stats.rounds, (unsigned long long)p.stats.xbzrle.pages,
                  (unsigned long long)p.stats.xbzrle.misses, (unsigned long long)p.stats.xbzrle.overflows,
                  (unsigned long long)p.stats.xbzrle.bytes);
    return p.stats;
}

/* Pages are found in the cache, differences are sent and counted, and each byte of them is accounted for. */
static void test_hits(void **state)
{
    uint64_t hits = 0, coded = 0;

    for (unsigned i = 0; i < 5; i++) {
        struct gw_stats st = run(64 << 20, false, 20, i % 2 ? "10.0" : NULL);

        hits += st.xbzrle.pages;
        coded += st.bytes_by[GW_CAUSE_RAM_CODED];
        assert_int_equal(st.xbzrle.cache_bytes, 64 << 20);
        assert_true(st.xbzrle.misses > 0 && st.rounds + 1 >= ROUNDS);
        assert_true(st.bytes_by[GW_CAUSE_RAM_CODED] <= st.xbzrle.bytes);
    }
    assert_true(hits > 1000);
    assert_true(coded > 1000);
}

static void test_every_size(void **state)
{
    for (uint64_t bytes = 4096; bytes <= 8 << 20; bytes *= 2)
        run(bytes, false, 30, NULL);
}

static void test_resized(void **state)
{
    for (unsigned i = 0; i < 10; i++)
        run(16384, true, 30, i % 2 ? "7.2" : NULL);
}

/* A size that cannot be allocated is refused when it is set, and the old one stays. */
static bool refused;

static void too_large(struct pair *p, struct gw_send *send, struct gw_recv *recv)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_stats st;

    gw_send_stats(send, &st);
    if (!refused && st.dirty_sync_count >= 2) {
        assert_true(
            gw_options_set_parameter(gw_vm_options(p->from->vm), "xbzrle-cache-size", "2305843009213693952", &err) < 0);
        assert_true(err.code < 0 && err.text[0]);
        refused = true;
    }
    resize(p, send, recv);
}

static void test_refused_size(void **state)
{
    struct pair p = {.mib = 1, .words_per_ms = 20, .before = turn_on, .during = too_large};

    snprintf(size, sizeof size, "1048576");
    resizes = refused = false;
    pair_run(&p);
    assert_true(refused);
    assert_int_equal(p.source_says, GW_OWNER_DESTINATION);
    assert_int_equal(p.stats.xbzrle.cache_bytes, 1048576);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        owned_test(test_hits),
        owned_test(test_every_size),
        owned_test(test_resized),
        owned_test(test_refused_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
