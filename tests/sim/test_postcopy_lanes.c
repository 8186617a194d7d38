/* SPDX-License-Identifier: MIT
 *
 * Postcopy with page channels: a machine that writes continuously is switched while its pages are sent on one, two and
 * four lanes. At the end each word is the result of its writes, and one machine runs; also when any of the connections
 * is lost at any byte.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "channel/fault.h"
#include "engine/vm.h"
#include "../owned.h"
#include "../privilege.h"
#include "ends.h"
#include "pair.h"

static const unsigned counts[] = {1, 2, 4};

/* ---- all goes well ------------------------------------------------------------------------------------------------- */

struct course {
    struct pair_switch change;
    bool gives_back, slow;
};

static void before(struct pair *p, struct gw_channel **source, struct gw_channel **destination)
{
    const struct course *c = p->opaque;

    pair_switch_before(p);
    assert_int_equal(gw_options_set_capability(gw_vm_options(p->from->vm), "release-ram", c->gives_back, NULL), 0);
    p->to->start_writes = c->slow;
    if (c->slow)
        sim_option(p->from, "max-postcopy-bandwidth", "4096");
}

static void during(struct pair *p, struct gw_send *send, struct gw_recv *recv)
{
    struct course *c = p->opaque;
    struct gw_stats st;

    if (pair_switch_during(&c->change, send, recv, &st) && c->slow && st.postcopy_requests > 100)
        sim_option(p->from, "max-postcopy-bandwidth", "0");
}

static void run(struct pair *p, struct course *c)
{
    p->mib = 4;
    p->words_per_ms = 500;
    p->before = before;
    p->during = during;
    p->opaque = c;
    pair_run(p);
    assert_int_equal(p->source_says, GW_OWNER_DESTINATION);
    assert_int_equal(p->destination_says, GW_OWNER_DESTINATION);
    assert_true(c->change.asked);
    assert_true(p->stats.postcopy_bytes > 0);
}

/* Background pages are sent on the lanes alone. */
static void test_counts(void **state)
{
    for (unsigned i = 0; i < 3; i++)
        for (unsigned passes = 0; passes < 3; passes += 2) {
            struct course c = {.change.passes = passes};
            struct pair p = {.lanes = counts[i], .urgent = passes};

            run(&p, &c);
            assert_true(p.stats.multifd_bytes > (p.stats.transferred_bytes - p.stats.multifd_bytes));
        }
}

/* Requested pages come in addition, at a rate at which background pages would take an hour: on the main stream, or
 * their own channel. */
static void test_asked(void **state)
{
    for (unsigned urgent = 0; urgent < 2; urgent++) {
        struct course c = {.slow = true};
        struct pair p = {.lanes = 2, .urgent = urgent};

        run(&p, &c);
        assert_true(p.stats.postcopy_requests > 100);
    }
}

/* A mark on the main stream, to which all lanes synchronise, shows which pages have arrived. */
static void test_given_back(void **state)
{
    struct course c = {.change.passes = 1, .gives_back = true};
    struct pair p = {.lanes = 4};

    run(&p, &c);
}

/* ---- a peer that cannot -------------------------------------------------------------------------------------------- */

static void test_refused(void **state)
{
    struct course c = {.change.passes = 0};
    struct pair p = {.mib = 1, .lanes = 2, .peer = "10.0", .before = before, .opaque = &c};

    pair_run(&p);
    assert_false(p.send_started);
    assert_non_null(strstr(p.send_error.text, "only a godwit takes pages of postcopy on multifd channels, and the peer is 10.0"));
}

/* ---- a connection is lost ------------------------------------------------------------------------------------------ */

#define MIB  1u
#define MAIN 8u
#define URGENT 9u
#define ENDS 10u
#define END_BYTES 1000000u /* roughly the bytes of all lanes */

static struct {
    struct sim *from, *to;
    struct gw_send *send;
    struct gw_recv *recv;
    struct gw_channel *end[2][ENDS]; /* the source's and the destination's */
    unsigned whole, gone_on, stayed;
    uint64_t carried; /* bytes on the lanes in the last run */
} t;

static void never_both(void)
{
    sim_never_both(t.from, t.to);
}

static int dial(void *opaque, enum gw_link purpose, unsigned i, struct gw_cancel *cancel, struct gw_channel **ret,
                struct gw_error *err)
{
    struct gw_channel **end = opaque;

    i = purpose == GW_LINK_URGENT ? URGENT : i;
    if (!end[i])
        return gw_fail(err, -ECONNREFUSED, GW_BLAME_CHANNEL, "channel %u is not there", i);
    *ret = end[i];
    end[i] = NULL;
    return 0;
}

/* A machine that waits for its pages, over this many lanes; one end of one connection has a fault. */
static void begin(unsigned lanes, bool urgent, unsigned side, unsigned which, const struct gw_fault *fault)
{
    struct gw_error err = GW_ERROR_INIT;
    struct sim *sims[2];

    t.from = sims[0] = sim_new(7, MIB, NULL);
    t.to = sims[1] = sim_new(0, MIB, NULL);
    for (unsigned i = 0; i < ENDS; i++)
        if (i < lanes || i == MAIN || (i == URGENT && urgent))
            must(gw_channel_memory_pair(65536, &t.end[0][i], &t.end[1][i], &err), &err);
    must(gw_fault_new(t.end[side][which], fault, 1, &t.end[side][which], &err), &err);
    for (unsigned k = 0; k < 2; k++) {
        struct gw_options *o = gw_vm_options(sims[k]->vm);

        must(gw_options_set_capability(o, "postcopy-ram", true, &err), &err);
        must(gw_options_set_capability(o, "multifd", true, &err), &err);
        must(gw_options_set_u64(o, "multifd-channels", lanes, &err), &err);
        must(gw_options_set_capability(o, "postcopy-preempt", urgent, &err), &err);
        sims[k]->vm->dial_pages.dial = dial;
        sims[k]->vm->dial_pages.opaque = t.end[k];
    }
    t.from->words_per_ms = t.to->words_per_ms = 100;
    sim_start(t.from);
    sim_await_writes(t.from, 2000);
    must(gw_recv_start(t.to->vm, &(struct gw_recv_config){.take_channel = t.end[1][MAIN], .progress_timeout_ns = UINT64_MAX}, &t.recv,
                       &err), &err);
    owned_recv(t.recv);
    must(gw_send_start(t.from->vm, &(struct gw_send_config){.take_channel = t.end[0][MAIN], .postcopy = true,
                                                            .progress_timeout_ns = UINT64_MAX}, &t.send, &err), &err);
    owned_send(t.send);
    t.end[0][MAIN] = t.end[1][MAIN] = NULL;
}

static bool rests(enum gw_status s)
{
    return sim_over(s) || s == GW_STATUS_POSTCOPY_PAUSED;
}

static void refuse(unsigned side)
{
    for (unsigned i = 0; i < ENDS; i++)
        t.end[side][i] = gw_channel_free(t.end[side][i]);
}

/* Both sessions have ended, or wait to be resumed. */
static void await_rest(void)
{
    while (!rests(gw_send_status(t.send)) || !rests(gw_recv_status(t.recv))) {
        never_both();
        if (rests(gw_send_status(t.send)))
            refuse(0);
        nap();
    }
    gw_send_wait(t.send, NULL);
    if (sim_over(gw_recv_status(t.recv)))
        gw_recv_wait(t.recv, NULL);
    refuse(0);
    refuse(1);
    never_both();
}

/* Resumes with the same options: the main connection brings the remaining pages, and another one the requested pages if
 * that is on. */
static void go_on(void)
{
    struct gw_error err = GW_ERROR_INIT;
    char uri[128];

    owned_end(t.send);
    t.from->vm->dial_pages.dial = t.to->vm->dial_pages.dial = NULL;
    must(gw_recv_recover(t.recv, "tcp:127.0.0.1:0", &err), &err);
    gw_recv_address(t.recv, uri, sizeof uri);
    must(gw_send_start(t.from->vm, &(struct gw_send_config){.uri = uri, .resume = true, .progress_timeout_ns = UINT64_MAX}, &t.send, &err),
         &err);
    owned_send(t.send);
    must(gw_send_wait(t.send, &err), &err);
    must(gw_recv_wait(t.recv, &err), &err);
    assert_int_equal(gw_send_owner(t.send), GW_OWNER_DESTINATION);
}

static void judge(void)
{
    struct gw_error err = GW_ERROR_INIT;

    if (gw_send_owner(t.send) == GW_OWNER_SOURCE) {
        assert_true(sim_runs(t.from));
        assert_int_equal(t.to->starts, 0);
        t.stayed++;
        return;
    }
    assert_false(sim_runs(t.from));
    if (gw_recv_status(t.recv) == GW_STATUS_POSTCOPY_PAUSED) {
        go_on();
        t.gone_on++;
    } else if (gw_recv_status(t.recv) == GW_STATUS_COMPLETED) {
        t.whole++;
    } else { /* the operator checks the destination, which has no machine */
        assert_int_equal(gw_send_owner(t.send), GW_OWNER_UNDECIDED);
        assert_int_equal(t.to->starts, 0);
        must(gw_vm_came_back(t.from->vm, &err), &err);
        t.stayed++;
        return;
    }
    assert_int_equal(t.to->starts, 1);
    assert_true(sim_runs(t.to));
}

static void cut(unsigned lanes, bool urgent, unsigned side, unsigned which, const struct gw_fault *fault)
{
    struct gw_stats stats;
    struct sim *has;

    begin(lanes, urgent, side, which, fault);
    await_rest();
    gw_send_stats(t.send, &stats);
    t.carried = stats.multifd_bytes;
    judge();
    has = t.to->starts ? t.to : t.from;
    sim_stop(t.from);
    sim_stop(t.to);
    assert_int_equal(sim_check(has), 0);
    owned_end(t.send);
    owned_end(t.recv);
    owned_end(t.from);
    owned_end(t.to);
}

static int up(void **state)
{
    memset(&t, 0, sizeof t);
    return 0;
}

static int down(void **state)
{
    int r = owned_teardown(state);

    refuse(0);
    refuse(1);
    return r;
}

/* All pages are sent after the switch: the lanes carry them, and each can be lost at any byte, at either end. */
static void test_lanes(void **state)
{
    static const enum gw_fault_kind kinds[] = {GW_FAULT_END, GW_FAULT_RESET, GW_FAULT_ERROR};
    unsigned n = 0;

    for (unsigned i = 0; i < 3; i++)
        for (uint64_t at = 10; at < END_BYTES / counts[i]; at += at < 5000 ? 1601 : END_BYTES / 20 / counts[i], n++)
            cut(counts[i], n % 3 == 2, n % 2, n % counts[i],
                &(struct gw_fault){.kind = kinds[n / 2 % 3], .direction = n % 2 ? GW_FAULT_IN : GW_FAULT_OUT, .at_byte = at,
                                   .code = -EPIPE});
    print_message("%u stayed, %u went on, %u were whole\n", t.stayed, t.gone_on, t.whole);
    assert_true(t.stayed && t.gone_on);
}

/* The end of RAM was read on the main stream, and a lane ends before its last pages, which come after that. */
static void test_the_last_pages(void **state)
{
    struct gw_fault fault = {.kind = GW_FAULT_END, .direction = GW_FAULT_IN, .at_byte = UINT64_MAX};

    cut(1, false, 1, 0, &fault);
    assert_int_equal(t.whole, 1);
    for (unsigned i = 1; i < 10; i++) {
        fault.at_byte = t.carried - i * 800;
        cut(1, i % 2, 1, 0, &fault);
    }
    print_message("%u went on, %u were whole\n", t.gone_on, t.whole);
    assert_true(t.gone_on);
}

/* The main connection. */
static void test_main(void **state)
{
    for (uint64_t at = 1; at < 9000; at += at < 1024 ? 171 : 739)
        cut(2, at % 2, 0, MAIN, &(struct gw_fault){.kind = at % 2 ? GW_FAULT_RESET : GW_FAULT_END, .direction = GW_FAULT_OUT, .at_byte = at});
    for (uint64_t at = 0; at < 96; at += 13) /* messages of the destination */
        cut(2, at % 2, 0, MAIN, &(struct gw_fault){.kind = GW_FAULT_RESET, .direction = GW_FAULT_IN, .at_byte = at});
    print_message("%u stayed, %u went on, %u were whole\n", t.stayed, t.gone_on, t.whole);
    assert_true(t.stayed && t.gone_on);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        owned_test(test_counts), owned_test(test_asked), owned_test(test_given_back),
        owned_test(test_refused), T(test_lanes),
        T(test_the_last_pages), T(test_main),
    };

    if (!may_answer_faults())
        return EXIT_SKIPPED;
    return cmocka_run_group_tests_name("sim/postcopy_lanes", tests, NULL, NULL);
}
