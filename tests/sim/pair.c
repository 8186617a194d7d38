/* SPDX-License-Identifier: MIT */
#include "pair.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define LIMIT_MS 240000 /* a build with sanitizers on a busy machine is slow */

/* Not cmocka's: that would leave by longjmp, with threads still at work on this stack. */
#define must_hold(p, what)                                                                                             \
    do {                                                                                                               \
        if (!(what)) {                                                                                                 \
            print_error("%s:%d: %s\n  source: %s: %s\n  destination: %s: %s\n", __FILE__, __LINE__, #what,             \
                        owners[(p)->source_says], (p)->send_error.text, owners[(p)->destination_says],                 \
                        (p)->recv_error.text);                                                                         \
            print_error("1 FAILED TEST(S)\n");                                                                         \
            _exit(1);                                                                                                  \
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

static bool runs(struct sim *s)
{
    bool r;

    pthread_mutex_lock(&s->lock);
    r = s->run;
    pthread_mutex_unlock(&s->lock);
    return r;
}

static void watch(struct pair *p, struct gw_send *send, struct gw_recv *recv)
{
    uint64_t deadline = now_ms() + LIMIT_MS, since_ns = gw_now_ns(&gw_clock_real);

    for (;;) {
        bool to = runs(&p->to), from = runs(&p->from);

        /* Rule 2. The destination was asked first: had both run at one instant, this order would show it. */
        must_hold(p, !(to && from));
        sim_ease(&p->from, since_ns);
        if (p->during)
            p->during(p, send, recv);
        if ((!send || sim_over(gw_send_status(send))) && (!recv || sim_over(gw_recv_status(recv))))
            break;
        if (now_ms() > deadline) {
            print_error("stuck: source %s, destination %s\n", send ? gw_status_name(gw_send_status(send)) : "none",
                        recv ? gw_status_name(gw_recv_status(recv)) : "none");
            must_hold(p, now_ms() <= deadline);
        }
        nap(100);
    }
}

/* Rule 5. */
static void judge_second_copy(struct pair *p)
{
    static const enum gw_vm_place places[] = {GW_VM_HERE, GW_VM_LEFT, GW_VM_UNDECIDED};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_send *send = NULL;

    must_hold(p, gw_vm_place(p->from.vm) == places[p->source_says]);
    if (p->source_says == GW_OWNER_SOURCE)
        return;
    must_hold(p,
              gw_send_start(p->from.vm, &(struct gw_send_config){.uri = "tcp:127.0.0.1:1"}, &send, &err) == -EALREADY);
    must_hold(p, strstr(err.text, "previous migration"));
    must_hold(p, gw_vm_came_back(p->from.vm, &err) == 0 && gw_vm_place(p->from.vm) == GW_VM_HERE);
}

static void judge(struct pair *p, struct gw_recv *recv)
{
    bool to = runs(&p->to), from = runs(&p->from);
    struct gw_error err = GW_ERROR_INIT;

    if (p->source_says == GW_OWNER_SOURCE) {
        must_hold(p, from);
        must_hold(p, !(to));
    } else {
        must_hold(p, !(from));
        if (p->source_says == GW_OWNER_UNDECIDED) {
            /* Only a plain peer can leave it open; then somebody has to look. Nobody runs two. */
            must_hold(p, p->peer);
        } else if (!to) {
            must_hold(p, recv);
            if (p->destination_says != GW_OWNER_UNDECIDED || gw_recv_claim(recv, &err) < 0)
                print_error("cannot be claimed: %s (source: %s; destination: %s)\n", err.text, p->send_error.text,
                            p->recv_error.text);
            p->claimed = runs(&p->to);
            must_hold(p, p->claimed);
        }
    }
    nap(3000);
    sim_stop(&p->from);
    sim_stop(&p->to);
    if (p->source_says == GW_OWNER_SOURCE)
        must_hold(p, sim_check(&p->from) == 0);
    else if (p->source_says == GW_OWNER_DESTINATION || to)
        must_hold(p, sim_check(&p->to) == 0);
}

void pair_run(struct pair *p)
{
    struct gw_channel *a = NULL, *b = NULL;
    struct gw_send *send = NULL;
    struct gw_recv *recv = NULL;
    uint64_t timeout_ns = (p->timeout_ms ? p->timeout_ms : 20000) * 1000000;
    struct gw_error err = GW_ERROR_INIT;

    assert_int_equal(sim_new(&p->from, 7, p->mib, &err), 0);
    assert_int_equal(sim_new(&p->to, 0, p->mib, &err), 0);
    assert_int_equal(gw_options_set_parameter(gw_vm_options(p->from.vm), "max-bandwidth", "0", &err), 0);
    /* Without a return path nobody learns what became of the machine: that is the plain peers' bargain. */
    if (p->peer)
        assert_int_equal(gw_options_set_capability(gw_vm_options(p->from.vm), "return-path", true, &err), 0);
    p->from.words_per_ms = p->to.words_per_ms = p->words_per_ms;
    sim_start(&p->from);
    nap(2000);
    assert_int_equal(gw_channel_memory_pair(65536, &a, &b, &err), 0);
    p->send_error = p->recv_error = (struct gw_error)GW_ERROR_INIT;
    if (p->before)
        p->before(p, &a, &b);
    p->recv_started = gw_recv_start(p->to.vm,
                                    &(struct gw_recv_config){.take_channel = b, .progress_timeout_ns = timeout_ns}, &recv,
                                    &p->recv_error) >= 0;
    p->send_started = gw_send_start(p->from.vm,
                                    &(struct gw_send_config){
                                        .take_channel = a, .peer = p->peer, .progress_timeout_ns = timeout_ns},
                                    &send, &p->send_error) >= 0;
    watch(p, p->send_started ? send : NULL, p->recv_started ? recv : NULL);
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
    judge(p, p->recv_started ? recv : NULL);
    judge_second_copy(p);
    must_hold(p, gw_vm_place(p->to.vm) == GW_VM_HERE || p->destination_says != GW_OWNER_DESTINATION);
    if (p->send_started)
        gw_send_free(send);
    if (p->recv_started)
        gw_recv_free(recv);
    sim_free(&p->from);
    sim_free(&p->to);
}
