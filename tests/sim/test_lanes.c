/* SPDX-License-Identifier: MIT
 *
 * Pages on channels of their own: one to eight lanes, and a fault at any byte of any of their channels, on either side.
 * pair.h says what must hold. meson.build runs other programs of this folder with two lanes as well.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "../owned.h"
#include "channel/fault.h"
#include "pair.h"

#define MIB 2u

static void test_counts(void **state)
{
    static const char *const peers[] = {NULL, "10.0", "7.2"};

    for (unsigned lanes = 1; lanes <= 8; lanes++) {
        struct pair p = {.mib = MIB, .words_per_ms = 30, .lanes = lanes, .peer = peers[lanes % 3]};

        pair_run(&p);
        assert_int_equal(p.source_says, GW_OWNER_DESTINATION);
        /* Every page was put once or more, and each byte is accounted for, whichever channel carried it. */
        assert_true(p.stats.normal_pages + p.stats.duplicate_pages >= (MIB << 20) / 4096);
        assert_int_equal(p.stats.bytes_by[GW_CAUSE_RAM_PAGE], p.stats.normal_pages * 4096);
        /* None of them went on the main stream. */
        assert_true(p.stats.multifd_bytes >= p.stats.normal_pages * 4096 && p.stats.multifd_bytes < p.stats.transferred_bytes);
        assert_int_equal(p.stats.dirty_sync_missed_zero_copy, 0);
    }
}

/* The kernel reads the pages, whenever it likes, while the machine writes them. Over loopback it copies them after all. */
static void test_zerocopy(void **state)
{
    struct rlimit locked;

    if (geteuid() && !getrlimit(RLIMIT_MEMLOCK, &locked) && locked.rlim_cur < 64u << 20) {
        print_message("SKIP: this user may lock %llu bytes of memory, zero-copy-send wants more\n",
                      (unsigned long long)locked.rlim_cur);
        skip();
    }
    for (unsigned lanes = 1; lanes <= 4; lanes++) {
        struct pair p = {.mib = MIB, .words_per_ms = 30, .lanes = lanes, .zerocopy = true, .peer = lanes % 2 ? NULL : "7.2"};

        pair_run(&p);
        assert_int_equal(p.source_says, GW_OWNER_DESTINATION);
        assert_true(p.stats.dirty_sync_missed_zero_copy > 0);
        assert_true(p.stats.dirty_sync_missed_zero_copy <= p.stats.dirty_sync_count * lanes);
    }
}

struct sweep {
    struct gw_fault fault;
    bool at_source;
    unsigned lane, arrived, stayed;
};

static void insert(struct pair *p, bool source, unsigned i, struct gw_channel **channel)
{
    struct sweep *w = p->opaque;

    if (i == w->lane && source == w->at_source)
        assert_int_equal(gw_fault_new(*channel, &w->fault, 1, channel, NULL), 0);
}

static void one(struct sweep *w, uint64_t at)
{
    bool slow = w->fault.kind == GW_FAULT_SHORT;
    struct pair p = {.mib = 1,
                     .words_per_ms = slow ? 0 : 20,
                     .lanes = 2,
                     .lane = insert,
                     .opaque = w,
                     .timeout_ms = w->fault.kind == GW_FAULT_STALL ? 300 : 0};

    w->fault.at_byte = at;
    pair_run(&p);
    w->arrived += p.source_says == GW_OWNER_DESTINATION;
    w->stayed += p.source_says == GW_OWNER_SOURCE;
}

/* Before the switchover the machine stays; a lane that breaks after its last byte has no effect. */
static void test_faults(void **state)
{
    static const enum gw_fault_kind kinds[] = {GW_FAULT_END, GW_FAULT_RESET, GW_FAULT_ERROR, GW_FAULT_STALL};
    static const char *const names[] = {"end", "reset", "error", "stall"};

    for (unsigned k = 0; k < 4; k++)
        for (unsigned side = 0; side < 2; side++) {
            struct sweep w = {.fault = {.kind = kinds[k], .direction = side ? GW_FAULT_OUT : GW_FAULT_IN},
                              .at_source = side};
            uint64_t step = kinds[k] == GW_FAULT_STALL ? 4 : 1;

            for (uint64_t at = 0; at < 40; at += 3 * step, w.lane ^= 1)
                one(&w, at);
            for (uint64_t at = 40; at < 700000; at += 40000 * step, w.lane ^= 1)
                one(&w, at);
            print_message("%s at the %s: %u arrived, %u stayed\n", names[k], side ? "source" : "destination", w.arrived,
                          w.stayed);
            assert_true(w.stayed > 0);
        }
}

/* A few bytes per call, on one lane: the other lane waits for it at each barrier. */
static void test_uneven(void **state)
{
    for (unsigned side = 0; side < 2; side++) {
        struct sweep w = {
            .fault = {.kind = GW_FAULT_SHORT, .direction = side ? GW_FAULT_OUT : GW_FAULT_IN, .bytes = 700},
            .at_source = side};

        one(&w, 1000);
        assert_int_equal(w.arrived, 1);
    }
}

/* Cancelled at any moment: the lanes end, whatever they are doing. */
static unsigned looks;

static void cancel(struct pair *p, struct gw_send *send, struct gw_recv *recv)
{
    unsigned *left = p->opaque;

    if (send && ++looks == *left)
        gw_send_cancel(send, NULL);
}

static void test_cancelled(void **state)
{
    unsigned stayed = 0;

    for (unsigned at = 1; at < 40; at++) {
        struct pair p = {
            .mib = MIB, .words_per_ms = 30, .lanes = 2, .zerocopy = at % 3 == 0, .during = cancel, .opaque = &at};

        looks = 0;
        pair_run(&p);
        stayed += p.source_says == GW_OWNER_SOURCE;
    }
    assert_true(stayed > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        owned_test(test_counts),
        owned_test(test_zerocopy),
        owned_test(test_faults),
        owned_test(test_uneven),
        owned_test(test_cancelled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
