/* SPDX-License-Identifier: MIT */
#include "pair.h"

#include "engine/vm.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "../owned.h"

#define STUCK_MS 1200000 /* time without any change; only ends sessions that hang */

#define must_hold(p, what)                                                                                             \
    do {                                                                                                               \
        if (!(what)) {                                                                                                 \
            print_error("source: %s: %s\ndestination: %s: %s\n", owners[(p)->source_says], (p)->send_error.text,       \
                        owners[(p)->destination_says], (p)->recv_error.text);                                          \
            fail_msg("does not hold: %s", #what);                                                                      \
        }                                                                                                              \
    } while (0)

static const char *const owners[] = {"says source", "says destination", "says undecided"};

static uint64_t now_ms(void)
{
    return gw_now_ns(&gw_clock_real) / 1000000;
}

static void nap(long us)
{
    nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

/* Values that change while a migration makes progress. */
struct progress {
    enum gw_status send, recv;
    uint64_t bytes, since_ms;
};

static void look(struct progress *g, struct gw_send *send, struct gw_recv *recv)
{
    struct progress now = {.since_ms = g->since_ms};
    struct gw_stats st;

    if (send) {
        gw_send_stats(send, &st);
        now.send = st.status;
        now.bytes = st.transferred_bytes;
    }
    if (recv)
        now.recv = gw_recv_status(recv);
    if (now.send != g->send || now.recv != g->recv || now.bytes != g->bytes || !g->since_ms)
        now.since_ms = now_ms();
    *g = now;
}

/* ---- lanes --------------------------------------------------------------------------------------------------------
 */

#define LANES_MAX 8u

/* Page channels that are not connected yet, both ends of each; on the heap, since sessions outlive a test that
 * fails. */
struct ends {
    struct gw_channel *end[LANES_MAX + 1]; /* the last is PAIR_URGENT */
};

static int dial(void *opaque, enum gw_link purpose, unsigned i, struct gw_cancel *cancel, struct gw_channel **ret,
                struct gw_error *err)
{
    struct ends *e = opaque;

    i = purpose == GW_LINK_URGENT ? PAIR_URGENT : i;
    if (purpose == GW_LINK_MAIN || i > LANES_MAX || !e->end[i])
        return gw_fail(err, -ECONNREFUSED, GW_BLAME_CHANNEL, "page channel %u is not there", i);
    *ret = e->end[i];
    e->end[i] = NULL;
    return 0;
}

/* Connections that were not made are refused from now on, as by a host where nobody listens any more. Called by the
 * test's thread, when the session that might have connected has ended. */
static void refuse_ends(struct ends *e)
{
    for (unsigned i = 0; i <= LANES_MAX; i++)
        e->end[i] = gw_channel_free(e->end[i]);
}

static void free_ends(void *opaque)
{
    refuse_ends(opaque);
    free(opaque);
}

static unsigned lanes_of(const struct pair *p)
{
    const char *text = getenv("SIM_LANES");
    unsigned n = p->lanes ? p->lanes : text ? (unsigned)atoi(text) : 0;

    assert_true(n <= LANES_MAX);
    return n;
}

static void connect_tcp(struct gw_channel **a, struct gw_channel **b)
{
    struct gw_listener *l;
    struct gw_uri uri;

    assert_int_equal(gw_uri_parse("tcp:127.0.0.1:0", &uri, NULL), 0);
    assert_int_equal(gw_listen(&uri, 1, &l, NULL), 0);
    gw_listener_uri(l, &uri);
    assert_int_equal(gw_connect(&uri, 0, NULL, a, NULL), 0);
    assert_int_equal(gw_listener_accept(l, 0, NULL, b, NULL), 0);
    gw_listener_free(l);
}

static void make_lanes(struct pair *p, struct ends *ends[2])
{
    struct sim *sides[] = {p->from, p->to};
    unsigned lanes = lanes_of(p);

    for (unsigned k = 0; k < 2; k++) {
        ends[k] = owned(calloc(1, sizeof *ends[k]), free_ends);
        if (lanes) {
            assert_int_equal(gw_options_set_u64(gw_vm_options(sides[k]->vm), "multifd-channels", lanes, NULL), 0);
            assert_int_equal(gw_options_set_capability(gw_vm_options(sides[k]->vm), "multifd", true, NULL), 0);
        }
        if (p->urgent) {
            assert_int_equal(gw_options_set_capability(gw_vm_options(sides[k]->vm), "postcopy-ram", true, NULL), 0);
            assert_int_equal(gw_options_set_capability(gw_vm_options(sides[k]->vm), "postcopy-preempt", true, NULL), 0);
        }
        sides[k]->vm->dial_pages.dial = dial;
        sides[k]->vm->dial_pages.opaque = ends[k];
    }
    if (p->zerocopy)
        assert_int_equal(gw_options_set_capability(gw_vm_options(p->from->vm), "zero-copy-send", true, NULL), 0);
    for (unsigned i = 0; i <= LANES_MAX; i++) {
        if (i >= lanes && (i != PAIR_URGENT || !p->urgent))
            continue;
        if (p->zerocopy)
            connect_tcp(&ends[0]->end[i], &ends[1]->end[i]);
        else
            assert_int_equal(gw_channel_memory_pair(65536, &ends[0]->end[i], &ends[1]->end[i], NULL), 0);
        for (unsigned k = 0; k < 2 && p->lane; k++)
            p->lane(p, !k, i, &ends[k]->end[i]);
    }
}

/* SIM_COMPRESS: on, or nowait. A plain peer is one that can read it. */
static void compress(struct pair *p)
{
    struct gw_options *o = gw_vm_options(p->from->vm);
    const char *text = getenv("SIM_COMPRESS");

    if (!text)
        return;
    assert_int_equal(gw_options_set_capability(o, "compress", true, NULL), 0);
    assert_int_equal(gw_options_set_parameter(o, "compress-threads", "3", NULL), 0);
    assert_int_equal(gw_options_set_parameter(o, "compress-wait-thread", strcmp(text, "nowait") ? "on" : "off", NULL), 0);
    p->peer = p->peer ? "9.0" : NULL;
}

static void watch(struct pair *p, struct ends *ends[2], struct gw_send *send, struct gw_recv *recv)
{
    uint64_t since_ns = gw_now_ns(&gw_clock_real);
    struct progress g = {.since_ms = 0};

    for (;;) {
        bool to = sim_runs(p->to), from = sim_runs(p->from);

        /* Rule 2. The destination's state was read first: if both had run at one instant, this order would show it. */
        must_hold(p, !(to && from));
        sim_ease(p->from, since_ns);
        if (p->during)
            p->during(p, send, recv);
        look(&g, send, recv);
        if (!send || sim_over(g.send))
            refuse_ends(ends[0]);
        if (!recv || sim_over(g.recv))
            refuse_ends(ends[1]);
        if ((!send || sim_over(g.send)) && (!recv || sim_over(g.recv)))
            break;
        if (now_ms() > g.since_ms + STUCK_MS)
            fail_msg("stuck: nothing has changed for %d s; source %s, destination %s, %llu bytes sent", STUCK_MS / 1000,
                     send ? gw_status_name(g.send) : "none", recv ? gw_status_name(g.recv) : "none",
                     (unsigned long long)g.bytes);
        nap(100);
    }
}

/* Rule 5. */
static void judge_second_copy(struct pair *p)
{
    static const enum gw_vm_place places[] = {GW_VM_HERE, GW_VM_LEFT, GW_VM_UNDECIDED};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_send *send = NULL;

    must_hold(p, gw_vm_place(p->from->vm) == places[p->source_says]);
    if (p->source_says == GW_OWNER_SOURCE)
        return;
    must_hold(p,
              gw_send_start(p->from->vm, &(struct gw_send_config){.uri = "tcp:127.0.0.1:1"}, &send, &err) == -EALREADY);
    must_hold(p, strstr(err.text, "sent from here"));
    must_hold(p, gw_vm_memory_given(p->from->vm) ||
                     (gw_vm_came_back(p->from->vm, &err) == 0 && gw_vm_place(p->from->vm) == GW_VM_HERE));
}

static void judge(struct pair *p, struct gw_recv *recv)
{
    bool to = sim_runs(p->to), from = sim_runs(p->from);
    struct gw_error err = GW_ERROR_INIT;

    if (p->source_says == GW_OWNER_SOURCE) {
        must_hold(p, from);
        must_hold(p, !(to));
    } else {
        must_hold(p, !(from));
        if (p->source_says == GW_OWNER_UNDECIDED) {
            /* Only a plain peer can leave it undecided; then an operator must check. No operator starts both. */
            must_hold(p, p->peer);
        } else if (!to) {
            must_hold(p, recv);
            if (p->destination_says != GW_OWNER_UNDECIDED || gw_recv_claim(recv, &err) < 0)
                print_error("cannot be claimed: %s (source: %s; destination: %s)\n", err.text, p->send_error.text,
                            p->recv_error.text);
            p->claimed = sim_runs(p->to);
            must_hold(p, p->claimed);
        }
    }
    nap(3000);
    sim_stop(p->from);
    sim_stop(p->to);
    if (p->source_says == GW_OWNER_SOURCE)
        must_hold(p, sim_check(p->from) == 0);
    else if (p->source_says == GW_OWNER_DESTINATION || to)
        must_hold(p, sim_check(p->to) == 0);
}

/* Data from the events of both sessions; on the heap, since sessions outlive a test that fails. */
struct told {
    _Atomic(struct gw_send *) sending;
    _Atomic(struct gw_recv *) receiving;
    atomic_bool reasonless; /* a failure was reported and the statistics had no reason */
    char log[256];          /* of the source; read when it has ended */
};

static bool reasonless(const struct gw_event *e, const struct gw_stats *st)
{
    return e->type == GW_EVENT_STATUS && e->status == GW_STATUS_FAILED && !st->error.code;
}

static void on_send_event(void *opaque, const struct gw_event *e)
{
    struct told *told = opaque;
    struct gw_send *send = told->sending;
    struct gw_stats st;

    if (e->type == GW_EVENT_LOG)
        snprintf(told->log, sizeof told->log, "%s", e->text);
    if (!send)
        return; /* the session has only just begun */
    gw_send_stats(send, &st);
    if (reasonless(e, &st))
        told->reasonless = true;
}

static void on_recv_event(void *opaque, const struct gw_event *e)
{
    struct told *told = opaque;
    struct gw_recv *recv = told->receiving;
    struct gw_stats st;

    if (!recv)
        return;
    gw_recv_stats(recv, &st);
    if (reasonless(e, &st))
        told->reasonless = true;
}

void pair_run(struct pair *p)
{
    struct told *told = owned_memory(sizeof *told);
    struct ends *ends[2];
    struct gw_channel *a = NULL, *b = NULL;
    struct gw_send *send = NULL;
    struct gw_recv *recv = NULL;
    uint64_t timeout_ns = p->timeout_ms ? p->timeout_ms * 1000000 : UINT64_MAX;
    struct gw_error err = GW_ERROR_INIT;

    p->from = sim_new(7, p->mib, p->clock);
    p->to = sim_new(0, p->mib, NULL);
    assert_int_equal(gw_options_set_parameter(gw_vm_options(p->from->vm), "max-bandwidth", "0", &err), 0);
    /* Without a return path the source does not learn whether the machine arrived; this is inherent in plain peers. */
    if (p->peer)
        assert_int_equal(gw_options_set_capability(gw_vm_options(p->from->vm), "return-path", true, &err), 0);
    compress(p);
    p->from->words_per_ms = p->to->words_per_ms = p->words_per_ms;
    sim_start(p->from);
    nap(2000);
    assert_int_equal(gw_channel_memory_pair(65536, &a, &b, &err), 0);
    make_lanes(p, ends);
    p->send_error = p->recv_error = (struct gw_error)GW_ERROR_INIT;
    if (p->before)
        p->before(p, &a, &b);
    p->recv_started = gw_recv_start(p->to->vm,
                                    &(struct gw_recv_config){.take_channel = b,
                                                             .progress_timeout_ns = timeout_ns,
                                                             .on_event = on_recv_event,
                                                             .opaque = told},
                                    &recv, &p->recv_error) >= 0;
    if (p->recv_started)
        owned_recv(recv);
    told->receiving = p->recv_started ? recv : NULL;
    p->send_started = gw_send_start(p->from->vm,
                                    &(struct gw_send_config){.take_channel = a,
                                                             .peer = p->peer,
                                                             .progress_timeout_ns = timeout_ns,
                                                             .on_event = on_send_event,
                                                             .opaque = told},
                                    &send, &p->send_error) >= 0;
    if (p->send_started)
        owned_send(send);
    told->sending = p->send_started ? send : NULL;
    watch(p, ends, p->send_started ? send : NULL, p->recv_started ? recv : NULL);
    if (p->send_started)
        gw_send_wait(send, &p->send_error);
    if (p->recv_started)
        gw_recv_wait(recv, &p->recv_error);
    if (p->after)
        p->after(p);
    p->source_says = p->send_started ? gw_send_owner(send) : GW_OWNER_SOURCE;
    p->destination_says = p->recv_started ? gw_recv_owner(recv) : GW_OWNER_SOURCE;
    if (p->send_started)
        gw_send_stats(send, &p->stats);
    memcpy(p->log, told->log, sizeof p->log);
    must_hold(p, !told->reasonless);
    judge(p, p->recv_started ? recv : NULL);
    judge_second_copy(p);
    must_hold(p, gw_vm_place(p->to->vm) == GW_VM_HERE || p->destination_says != GW_OWNER_DESTINATION);
    if (p->send_started)
        owned_end(send);
    if (p->recv_started)
        owned_end(recv);
    /* Results for the caller. */
    p->source_starts = atomic_load(&p->from->starts);
    p->throttle = atomic_load(&p->from->throttle);
    p->throttle_most = atomic_load(&p->from->throttle_most);
    p->dirty_limit = atomic_load(&p->from->dirty_limit);
    p->dirty_limit_least = atomic_load(&p->from->dirty_limit_least);
    owned_end(p->from);
    owned_end(p->to);
    owned_end(told);
    owned_end(ends[0]);
    owned_end(ends[1]);
}

void pair_expect(struct pair *p, enum gw_owner owner)
{
    pair_run(p);
    if (p->source_says != owner)
        print_error("source: %s\ndestination: %s\n", p->send_error.text, p->recv_error.text);
    assert_int_equal(p->source_says, owner);
}

void pair_switch_before(struct pair *p)
{
    assert_int_equal(gw_options_set_capability(gw_vm_options(p->from->vm), "postcopy-ram", true, NULL), 0);
    assert_int_equal(gw_options_set_capability(gw_vm_options(p->to->vm), "postcopy-ram", true, NULL), 0);
    sim_option(p->from, "downtime-limit", "1");
    sim_option(p->from, "max-bandwidth", "100000000"); /* so that its writes between two syncs take longer */
    sim_write_before_syncs(p->from);
}

bool pair_switch_during(struct pair_switch *w, struct gw_send *send, struct gw_recv *recv, struct gw_stats *ret)
{
    if (!send || !recv)
        return false;
    gw_send_stats(send, ret);
    if (!w->asked && ret->dirty_sync_count > w->passes)
        w->asked = gw_send_start_postcopy(send, NULL) >= 0;
    return true;
}
