/* SPDX-License-Identifier: MIT
 *
 * The connection fails at every step of the protocol: it ends, is lost, stalls, gives an error, moves a byte at a time; on
 * either side, in either direction. See pair.h for the rules.
 *
 * By default every 13th place is tried, and all places
 * around the hand-over; GODWIT_SWEEP=1 tries all.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "channel/fault.h"
#include "../owned.h"
#include "pair.h"

struct sweep {
    struct gw_fault fault;
    bool at_destination;
    unsigned arrived, stayed, undecided, claimed;
};

/* Counted up by threads of the sessions. */
static _Atomic unsigned happened;

static void insert(struct pair *p, struct gw_channel **source, struct gw_channel **destination)
{
    struct sweep *w = p->opaque;
    struct gw_channel **at = w->at_destination ? destination : source;

    happened = 0;
    w->fault.tell = &happened;
    assert_int_equal(gw_fault_new(*at, &w->fault, 1, at, NULL), 0);
}

/* Whether a time-out came before the fault: the host is too slow for it. */
static bool hasty(const struct pair *p)
{
    return !happened && (p->send_error.code == -ETIMEDOUT || p->recv_error.code == -ETIMEDOUT);
}

static void one(struct sweep *w, const char *peer, uint64_t at)
{
    bool slow = w->fault.kind == GW_FAULT_SHORT; /* and nothing to wait for in vain */
    struct pair p;

    w->fault.at_byte = at;
    for (uint64_t timeout_ms = slow ? 0 : 300;; timeout_ms *= 5) {
        p = (struct pair){.mib = 1, .words_per_ms = slow ? 0 : 20, .peer = peer, .before = insert, .opaque = w,
                          .timeout_ms = timeout_ms};
        pair_run(&p);
        if (!hasty(&p))
            break;
        print_message("byte %llu: not reached within %llu ms\n", (unsigned long long)at, (unsigned long long)timeout_ms);
    }
    w->arrived += p.source_says == GW_OWNER_DESTINATION;
    w->stayed += p.source_says == GW_OWNER_SOURCE;
    w->undecided += p.source_says == GW_OWNER_UNDECIDED;
    w->claimed += p.claimed;
}

/* Measures roughly how many bytes go each way. */
static void measure(const char *peer, uint64_t *ret_forward, uint64_t *ret_device)
{
    struct pair p = {.mib = 1, .words_per_ms = 20, .peer = peer};

    pair_run(&p);
    assert_int_equal(p.source_says, GW_OWNER_DESTINATION);
    *ret_forward = p.stats.transferred_bytes;
    *ret_device = p.stats.bytes_by[GW_CAUSE_DEVICE] + p.stats.bytes_by[GW_CAUSE_VMDESC] + 64;
}

static void report(const char *what, const struct sweep *w)
{
    print_message("%s: %u arrived (%u of them claimed), %u stayed, %u undecided\n", what, w->arrived, w->claimed, w->stayed,
                  w->undecided);
}

static const struct {
    enum gw_fault_kind kind;
    const char *name;
} kinds[] = {{GW_FAULT_END, "end"}, {GW_FAULT_RESET, "reset"}, {GW_FAULT_ERROR, "error"}, {GW_FAULT_STALL, "stall"}};

static void sweep_forward(const char *peer, bool at_destination)
{
    uint64_t bytes, device, step = getenv("GODWIT_SWEEP") ? 1 : 13;

    measure(peer, &bytes, &device);
    for (unsigned k = 0; k < 4; k++) {
        /* With a plain peer the source's other direction must not end as well: that is how such a peer says that it could not
         * load, and behind the end of the stream it may run the machine (see test_return_path). */
        struct sweep w = {.fault = {.kind = peer && kinds[k].kind == GW_FAULT_END ? GW_FAULT_DEAF : kinds[k].kind,
                                    .direction = at_destination ? GW_FAULT_IN : GW_FAULT_OUT},
                          .at_destination = at_destination};
        /* A stall costs its time-out. */
        uint64_t slow = kinds[k].kind == GW_FAULT_STALL ? 5 : 1;

        for (uint64_t at = 0; at < 200; at += step * slow)
            one(&w, peer, at);
        for (uint64_t at = 200; at + device < bytes; at += bytes / 8)
            one(&w, peer, at);
        for (uint64_t at = bytes > device ? bytes - device : 0; at < bytes + 16; at += step * 4 * slow)
            one(&w, peer, at);
        report(kinds[k].name, &w);
        assert_true(w.stayed > 0);
        if (!peer)
            assert_int_equal(w.undecided, 0);
    }
}

static void test_forward_at_source(void **state)
{
    sweep_forward(NULL, false);
}

static void test_forward_at_destination(void **state)
{
    sweep_forward(NULL, true);
}

static void test_forward_plain_peer(void **state)
{
    sweep_forward("10.0", false);
}

/* PONG, HELLO, PONG, LOADED, SHUT: every byte of the return path.
 *
 * With a plain peer a time-out only: there an end of the connection without SHUT is the peer's way to say that it could
 * not load, and the source goes on. A network that forges such an end can make two running machines; therefore two
 * godwits agree in two steps. */
static void test_return_path(void **state)
{
    static const char *const peers[] = {NULL, "10.0"};

    for (unsigned i = 0; i < 2; i++)
        for (unsigned k = 0; k < 4; k++) {
            struct sweep w = {.fault = {.kind = kinds[k].kind}};

            if (i && kinds[k].kind != GW_FAULT_STALL)
                continue;
            for (uint64_t at = 0; at < (i ? 17u : 46u); at++) {
                w.at_destination = at & 1;
                w.fault.direction = w.at_destination ? GW_FAULT_OUT : GW_FAULT_IN;
                one(&w, peers[i], at);
            }
            /* A slow machine needs more rounds, and each has a PONG in front of the answer. */
            for (uint64_t at = 17; i && !w.undecided && at < 500; at += 4) {
                w.at_destination = at & 4;
                w.fault.direction = w.at_destination ? GW_FAULT_OUT : GW_FAULT_IN;
                one(&w, peers[i], at);
            }
            report(kinds[k].name, &w);
            assert_true(w.stayed > 0);
            assert_true(i ? w.undecided > 0 : w.undecided == 0);
        }
}

/* All places around the hand-over: the last bytes of the stream, including COMMIT, counted from the end. */
static void test_last_bytes(void **state)
{
    for (unsigned k = 0; k < 4; k++) {
        struct sweep w = {.fault = {.kind = kinds[k].kind, .direction = GW_FAULT_OUT}};
        uint64_t bytes, device;

        for (unsigned back = 0; back < 12; back++) {
            measure(NULL, &bytes, &device);
            one(&w, NULL, bytes - back);
        }
        report(kinds[k].name, &w);
        assert_int_equal(w.undecided, 0);
    }
}

static void test_byte_by_byte(void **state)
{
    for (unsigned i = 0; i < 4; i++) {
        struct sweep w = {.fault = {.kind = GW_FAULT_SHORT,
                                    .bytes = i & 1 ? 61 : 1000,
                                    .direction = i & 2 ? GW_FAULT_IN : GW_FAULT_OUT},
                          .at_destination = i & 2};

        one(&w, NULL, 0);
        assert_int_equal(w.arrived, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        owned_test(test_byte_by_byte),
        owned_test(test_return_path),
        owned_test(test_last_bytes),
        owned_test(test_forward_at_source),
        owned_test(test_forward_at_destination),
        owned_test(test_forward_plain_peer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
