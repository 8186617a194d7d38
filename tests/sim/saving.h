/* SPDX-License-Identifier: MIT
 *
 * A machine that writes continuously while it is saved: the session, the actions in its events, and the machine loaded
 * from the file.
 */
#ifndef SIM_SAVING_H
#define SIM_SAVING_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../owned.h"
#include "channel/fault.h"
#include "sim.h"
#include "ways.h"

#define MIB 1

/* A machine that writes, with the capability on. Skips the test if the capability is refused. */
static inline struct sim *machine(uint64_t words_per_ms)
{
    struct sim *s = sim_new(7, MIB, NULL);
    struct gw_error err = GW_ERROR_INIT;
    int r = gw_options_set_capability(gw_vm_options(s->vm), "background-snapshot", true, &err);

    if (r == -EPERM || r == -ENOTSUP || r == -ENOSYS) {
        print_message("SKIP: %s\n", err.text);
        owned_end(s);
        skip();
    }
    must(r, &err);
    atomic_store(&s->words_per_ms, words_per_ms);
    sim_option(s, "max-bandwidth", "0");
    return s;
}

static __attribute__((noinline, no_sanitize("thread"))) void write_again(volatile uint8_t *at)
{
    *at = *at;
}

/* A thread that writes to a page that was not unprotected waits for ever. */
static inline void touch_all(struct sim *s)
{
    for (unsigned i = 0; i < SIM_BLOCKS; i++)
        for (uint64_t o = 0; o < s->ram_bytes[i]; o += 4096)
            write_again(s->ram[i] + o);
}

/* The machine runs on as before. */
static inline void runs_on(struct sim *from)
{
    assert_true(sim_runs(from));
    assert_int_equal(gw_vm_place(from->vm), GW_VM_HERE);
    sim_await_writes(from, 400);
    sim_stop(from);
    touch_all(from);
    assert_int_equal(sim_check(from), 0);
}

static inline struct gw_channel *over(int fd, const struct gw_fault *fault)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *ch;

    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    must(gw_channel_from_fd(dup(fd), "file", &ch, &err), &err);
    if (fault)
        must(gw_fault_new(ch, fault, 1, &ch, &err), &err);
    return ch;
}

/* A session and the actions in its events; on the heap, since sessions outlive a test that fails. */
struct saving {
    struct sim *from;
    _Atomic(struct gw_send *) send;
    int cancel_event;   /* cancel at this event, or when ACTIVE is entered; -1: never */
    int cancel_notify;  /* cancel at this call of the notifier; -1: never */
    uint64_t writes;    /* the guest makes this many writes once it runs again, before it is told so */
    atomic_int stops, resumes;
};

/* On the session's thread, or one of its own. */
static inline void cancel(struct saving *v)
{
    while (!atomic_load(&v->send)) /* the start has not returned yet */
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    gw_send_cancel(atomic_load(&v->send), NULL);
}

static inline void on_event(void *opaque, const struct gw_event *e)
{
    struct saving *v = opaque;

    if (e->type == GW_EVENT_STOP)
        atomic_fetch_add(&v->stops, 1);
    if (e->type == GW_EVENT_RESUME) {
        atomic_fetch_add(&v->resumes, 1);
        sim_await_writes(v->from, v->writes);
        /* Pages that are free now may have been in use at the moment of the snapshot. */
        gw_vm_hint_free(v->from->vm, "sim.low", 0, v->from->ram_bytes[0]);
    }
    if ((int)e->type == v->cancel_event && (e->type != GW_EVENT_STATUS || e->status == GW_STATUS_ACTIVE))
        cancel(v);
}

static inline int on_notify(void *opaque, enum gw_notify what, struct gw_error *err)
{
    struct saving *v = opaque;

    if ((int)what == v->cancel_notify)
        cancel(v);
    return 0;
}

static inline struct saving *saving(struct sim *from)
{
    struct saving *v = owned_memory(sizeof *v);

    *v = (struct saving){.from = from, .cancel_event = -1, .cancel_notify = -1};
    return v;
}

static inline int save(struct saving *v, struct gw_channel *take_channel, uint64_t timeout_ns, struct gw_stats *ret, struct gw_error *err)
{
    struct gw_send *send;
    int r;

    must(gw_send_start(v->from->vm,
                       &(struct gw_send_config){.take_channel = take_channel,
                                                .peer = "10.0",
                                                .progress_timeout_ns = timeout_ns ? timeout_ns : UINT64_MAX,
                                                .on_event = on_event,
                                                .opaque = v},
                       &send, err),
         err);
    owned_send(send);
    atomic_store(&v->send, send);
    r = gw_send_wait(send, err);
    gw_send_stats(send, ret);
    assert_int_equal(gw_send_owner(send), GW_OWNER_SOURCE);
    assert_int_equal(ret->status, r >= 0 ? GW_STATUS_COMPLETED : r == -ECANCELED ? GW_STATUS_CANCELLED : GW_STATUS_FAILED);
    owned_end(send);
    return r;
}

/* Loads the machine from the file and checks that it is exactly what its writes produce. Returns their number. */
static inline uint64_t load(int fd, bool mapped, bool running)
{
    struct gw_error err = GW_ERROR_INIT;
    struct sim *to = sim_new(0, MIB, NULL);
    struct gw_stats stats;
    struct gw_recv *recv;
    uint64_t writes;

    must(gw_options_set_capability(gw_vm_options(to->vm), "mapped-ram", mapped, &err), &err);
    must(gw_recv_start(to->vm, &(struct gw_recv_config){.take_channel = over(fd, NULL), .progress_timeout_ns = UINT64_MAX}, &recv,
                       &err),
         &err);
    owned_recv(recv);
    must(gw_recv_wait(recv, &err), &err);
    gw_recv_stats(recv, &stats);
    assert_int_equal(stats.source_runs, !mapped);
    assert_int_equal(sim_runs(to), running);
    sim_stop(to);
    writes = to->device.writes;
    assert_int_equal(sim_check(to), 0);
    owned_end(recv);
    owned_end(to);
    return writes;
}

#endif
