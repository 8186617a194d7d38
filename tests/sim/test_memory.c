/* SPDX-License-Identifier: MIT
 *
 * Free page hints, discarded ranges, resized blocks, ignored shared blocks, zero detection, trackers: what memory does
 * besides being copied.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "pair.h"

static void option(struct sim *s, const char *name, const char *value)
{
    assert_int_equal(gw_options_set_parameter(gw_vm_options(s->vm), name, value, NULL), 0);
}

/* ---- R12: the content of hinted pages is not sent ------------------------------------------------------------------- */

#define HINT_AT    (4u << 20)
#define HINT_BYTES (2u << 20)
static uint64_t hinted;

static void fill_slowly(struct pair *p, struct gw_channel **a, struct gw_channel **b)
{
    memset(p->from.ram[0] + HINT_AT, 0xaa, HINT_BYTES);
    hinted = 0;
    option(&p->from, "max-bandwidth", "20M"); /* slow enough for the hint to come before the pages */
}

static void hint_once(struct pair *p, struct gw_send *send, struct gw_recv *recv)
{
    if (!hinted && gw_send_status(send) == GW_STATUS_ACTIVE)
        hinted = gw_vm_hint_free(p->from.vm, "sim.low", HINT_AT, HINT_BYTES);
}

static void compare_hinted(struct pair *p)
{
    /* Pages that the hint caught in time never came; then nothing was written there by the guest (words_per_ms 0). */
    uint64_t there = 0;

    for (uint64_t o = 0; o < HINT_BYTES; o += 4096)
        there += p->to.ram[0][HINT_AT + o] == 0xaa;
    assert_int_equal(there + hinted, HINT_BYTES / 4096);
    memset(p->to.ram[0] + HINT_AT, 0, HINT_BYTES);
    memset(p->from.ram[0] + HINT_AT, 0, HINT_BYTES);
}

static void test_free_page_hint(void **state)
{
    struct pair p = {.mib = 16, .before = fill_slowly, .during = hint_once, .after = compare_hinted};

    pair_run(&p);
    assert_int_equal(p.source_says, GW_OWNER_DESTINATION);
    assert_true(hinted > 0);
    assert_int_equal(p.stats.skipped_pages, hinted);
}

/* A page that is written after the hint is dirty again. */
static uint64_t rewritten;

static void hint_then_write(struct pair *p, struct gw_send *send, struct gw_recv *recv)
{
    if (hinted || gw_send_status(send) != GW_STATUS_ACTIVE)
        return;
    hinted = gw_vm_hint_free(p->from.vm, "sim.low", HINT_AT, HINT_BYTES);
    memset(p->from.ram[0] + HINT_AT, 0xbb, HINT_BYTES / 2);
    rewritten = HINT_BYTES / 2;
}

static void compare_rewritten(struct pair *p)
{
    for (uint64_t o = 0; o < rewritten; o++)
        assert_int_equal(p->to.ram[0][HINT_AT + o], 0xbb);
    memset(p->to.ram[0] + HINT_AT, 0, HINT_BYTES);
    memset(p->from.ram[0] + HINT_AT, 0, HINT_BYTES);
}

static void test_hint_then_write(void **state)
{
    struct pair p = {.mib = 16, .before = fill_slowly, .during = hint_then_write, .after = compare_rewritten};

    pair_run(&p);
    assert_int_equal(p.source_says, GW_OWNER_DESTINATION);
}

/* ---- R12: discarded ranges ------------------------------------------------------------------------------------------ */

static void discard(struct pair *p, struct gw_channel **a, struct gw_channel **b)
{
    memset(p->from.ram[0] + HINT_AT, 0xcc, HINT_BYTES);
    assert_int_equal(gw_vm_set_discarded(p->from.vm, "sim.low", HINT_AT, HINT_BYTES, true, NULL), 0);
    assert_int_equal(gw_vm_set_discarded(p->from.vm, "sim.low", HINT_AT + 1, HINT_BYTES, true, NULL), -EINVAL);
    assert_int_equal(gw_vm_set_discarded(p->from.vm, "none", 0, 4096, true, NULL), -ENOENT);
}

static void compare_discarded(struct pair *p)
{
    for (uint64_t o = 0; o < HINT_BYTES; o++)
        assert_int_equal(p->to.ram[0][HINT_AT + o], 0);
    memset(p->from.ram[0] + HINT_AT, 0, HINT_BYTES);
}

static void test_discarded(void **state)
{
    struct pair p = {.mib = 16, .before = discard, .after = compare_discarded};

    pair_run(&p);
    assert_int_equal(p.source_says, GW_OWNER_DESTINATION);
    assert_int_equal(p.stats.skipped_pages, HINT_BYTES / 4096);
}

/* ---- R20 ------------------------------------------------------------------------------------------------------------- */

static bool resized;

static void slow(struct pair *p, struct gw_channel **a, struct gw_channel **b)
{
    resized = false;
    option(&p->from, "max-bandwidth", "1M");
}

static void resize(struct pair *p, struct gw_send *send, struct gw_recv *recv)
{
    if (!resized && gw_send_status(send) == GW_STATUS_ACTIVE)
        resized = gw_vm_resize_ram(p->from.vm, "sim.vram", 128 * 1024, NULL) == 0;
}

static void test_resized_during_precopy(void **state)
{
    struct pair p = {.mib = 16, .words_per_ms = 10, .before = slow, .during = resize};

    pair_run(&p);
    assert_int_equal(p.source_says, GW_OWNER_SOURCE);
    assert_non_null(strstr(p.send_error.text, "sim.vram"));
    assert_non_null(strstr(p.send_error.text, "resized"));
}

/* ---- blocks that do not match (R1) ------------------------------------------------------------------------------------ */

static void refused(const char *name, uint64_t from_bytes, uint64_t to_bytes, const char *text)
{
    static uint8_t spare[2][65536] __attribute__((aligned(4096)));
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *a, *b;
    struct sim from, to;
    struct gw_recv *recv;
    struct gw_send *send;

    assert_int_equal(sim_new(&from, 7, 1, &err), 0);
    assert_int_equal(sim_new(&to, 0, 1, &err), 0);
    if (from_bytes)
        assert_int_equal(gw_vm_add_ram(from.vm,
                                       &(struct gw_ram_desc){
                                           .name = name, .host = spare[0], .used_bytes = from_bytes, .gpa = 9ull << 32},
                                       &err),
                         0);
    if (to_bytes)
        assert_int_equal(
            gw_vm_add_ram(
                to.vm,
                &(struct gw_ram_desc){.name = name, .host = spare[1], .used_bytes = to_bytes, .gpa = 9ull << 32}, &err),
            0);
    assert_int_equal(gw_channel_memory_pair(65536, &a, &b, &err), 0);
    assert_int_equal(gw_recv_start(to.vm, &(struct gw_recv_config){.take_channel = b}, &recv, &err), 0);
    assert_int_equal(gw_send_start(from.vm, &(struct gw_send_config){.take_channel = a}, &send, &err), 0);
    assert_true(gw_send_wait(send, &err) < 0);
    assert_true(gw_recv_wait(recv, &err) < 0);
    assert_int_equal(err.blame, GW_BLAME_PEER);
    if (!strstr(err.text, name) || !strstr(err.text, text))
        print_error("%s\n", err.text);
    assert_non_null(strstr(err.text, name));
    assert_non_null(strstr(err.text, text));
    assert_int_equal(gw_send_owner(send), GW_OWNER_SOURCE);
    gw_send_free(send);
    gw_recv_free(recv);
    sim_free(&from);
    sim_free(&to);
}

static void test_blocks_must_match(void **state)
{
    refused("extra", 4096, 0, "this machine has not");
    refused("missing", 0, 4096, "is not in the stream");
    refused("sized", 8192, 4096, "0x2000");
}

/* ---- R2: each back end, again and again -------------------------------------------------------------------------------- */

static enum gw_tracker_kind kind;

static void set_tracker(struct pair *p, struct gw_channel **a, struct gw_channel **b)
{
    struct gw_tracker_config config = {.kind = kind};
    struct gw_error err = GW_ERROR_INIT;

    if (gw_vm_set_tracker(p->from.vm, &config, &err) < 0)
        fail_msg("%s", err.text);
    /* The writer marks from its next write on; those before are in the first pass. */
    atomic_store(&p->from.mark, kind == GW_TRACKER_EXPLICIT);
    option(&p->from, "downtime-limit", "1");
}

/* Many rounds are wanted, not a guest that a slow build can never follow. */
static void relax(struct pair *p, struct gw_send *send, struct gw_recv *recv)
{
    struct gw_stats st;

    gw_send_stats(send, &st);
    if (st.total_time_ms > 500)
        option(&p->from, "downtime-limit", "2000");
}

static void test_trackers(void **state)
{
    static const enum gw_tracker_kind kinds[] = {GW_TRACKER_PAGEMAP, GW_TRACKER_EXPLICIT};
    const char *runs = getenv("SIM_RUNS");
    int n = runs ? atoi(runs) : 15;

    for (unsigned k = 0; k < 2; k++) {
        uint64_t rounds = 0;

        for (int i = 0; i < n; i++) {
            struct pair p = {.mib = 8, .words_per_ms = 20 + i % 7 * 40u, .before = set_tracker, .during = relax};

            kind = kinds[k];
            pair_run(&p);
            assert_int_equal(p.source_says, GW_OWNER_DESTINATION);
            rounds += p.stats.rounds;
        }
        print_message("%s: %d migrations, %llu rounds, no wrong word\n",
                      kinds[k] == GW_TRACKER_PAGEMAP ? "pagemap" : "explicit", n, (unsigned long long)rounds);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_free_page_hint),
        cmocka_unit_test(test_hint_then_write),
        cmocka_unit_test(test_discarded),
        cmocka_unit_test(test_resized_during_precopy),
        cmocka_unit_test(test_blocks_must_match),
        cmocka_unit_test(test_trackers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
