/* SPDX-License-Identifier: MIT
 *
 * Pages that are compressed one by one between two machines in one process: the memory that arrives is the one that was
 * sent, whatever the threads on either side, and each page is counted once. Faults: programs with SIM_COMPRESS.
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

static const char *threads, *unthreads, *level, *wait_for; /* parameters */
static bool xbzrle, stands; /* stands: it has contents, and is not written any more */

static void turn_on(struct pair *p, struct gw_channel **a, struct gw_channel **b)
{
    struct gw_options *o = gw_vm_options(p->from->vm);

    if (stands) {
        sim_await_writes(p->from, 2000);
        atomic_store(&p->from->words_per_ms, 0);
    } else {
        sim_write_before_syncs(p->from);
    }
    assert_int_equal(gw_options_set_capability(o, "compress", true, NULL), 0);
    assert_int_equal(gw_options_set_capability(o, "xbzrle", xbzrle, NULL), 0);
    sim_option(p->from, "max-bandwidth", "32M");
    sim_option(p->from, "downtime-limit", "1");
    sim_option(p->from, "compress-threads", threads);
    sim_option(p->from, "compress-level", level);
    sim_option(p->from, "compress-wait-thread", wait_for);
    sim_option(p->to, "decompress-threads", unthreads);
}

static void relax(struct pair *p, struct gw_send *send, struct gw_recv *recv)
{
    struct gw_stats st;

    gw_send_stats(send, &st);
    if (st.dirty_sync_count >= 4)
        sim_option(p->from, "downtime-limit", "1000000"); /* so that it ends on a slow host too */
}

static struct gw_stats run(uint64_t words_per_ms, const char *peer)
{
    struct pair p = {.mib = 2, .words_per_ms = words_per_ms, .peer = peer, .before = turn_on, .during = relax};
    const struct gw_compression_stats *c = &p.stats.compression;

    pair_run(&p);
    assert_int_equal(p.source_says, GW_OWNER_DESTINATION);
    print_message("%s and %s threads, level %s: %u rounds, %llu pages in %llu bytes, %llu busy, %llu plain\n", threads,
                  unthreads, level, p.stats.rounds, (unsigned long long)c->pages, (unsigned long long)c->bytes,
                  (unsigned long long)c->busy, (unsigned long long)p.stats.normal_pages);
    return p.stats;
}

static void presets(void)
{
    threads = "4";
    unthreads = "2";
    level = "1";
    wait_for = "on";
    xbzrle = stands = false;
}

/* A machine that does not write: each page is sent once, in its form. */
static void test_counts(void **state)
{
    struct gw_stats st;

    presets();
    stands = true;
    st = run(20, NULL);
    assert_true(st.compression.pages > 0 && st.compression.busy == 0);
    assert_int_equal(st.compression.threads, 4);
    assert_true(st.compression.pages + st.normal_pages + st.duplicate_pages >= st.total_bytes / 4096);
    assert_true(st.compression.bytes < st.compression.pages * 4096);
    assert_int_equal(st.compression.bytes - 4 * st.compression.pages, st.bytes_by[GW_CAUSE_RAM_CODED]);
}

static void test_threads(void **state)
{
    static const char *const counts[] = {"1", "2", "7", "255"};

    presets();
    for (unsigned i = 0; i < 4; i++) {
        threads = counts[i];
        unthreads = counts[(i + 1) % 4];
        level = i == 1 ? "6" : "1";
        assert_true(run(5, i % 2 ? "7.2" : NULL).compression.pages > 0);
    }
}

/* Level 0 streams are longer than pages, so all pages are sent uncompressed. */
static void test_level_0(void **state)
{
    presets();
    level = "0";
    stands = true;
    assert_int_equal(run(20, NULL).compression.pages, 0);
}

static void test_no_wait(void **state)
{
    struct gw_stats st;

    presets();
    wait_for = "off";
    threads = "1";
    stands = true;
    st = run(20, NULL);
    assert_true(st.compression.pages + st.normal_pages + st.duplicate_pages >= st.total_bytes / 4096);
    assert_true(st.compression.busy <= st.normal_pages);
    stands = false;
    for (unsigned i = 0; i < 2; i++)
        run(5, i % 2 ? "9.0" : NULL);
}

static void test_with_xbzrle(void **state)
{
    uint64_t hits = 0, packed = 0;

    presets();
    xbzrle = true;
    for (unsigned i = 0; i < 2; i++) {
        struct gw_stats st = run(20, i % 2 ? "7.2" : NULL);

        hits += st.xbzrle.pages;
        packed += st.compression.pages;
    }
    assert_true(hits > 100 && packed > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        owned_test(test_counts),  owned_test(test_threads),     owned_test(test_level_0),
        owned_test(test_no_wait), owned_test(test_with_xbzrle),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
