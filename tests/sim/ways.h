/* SPDX-License-Identifier: MIT
 *
 * ways: migrates sims into images and out of them, for tests of machines with unknown devices. Include it after
 * <cmocka.h>.
 */
#ifndef SIM_WAYS_H
#define SIM_WAYS_H

#include <stdatomic.h>
#include <time.h>

#include "../owned.h"
#include "engine/image_vm.h"
#include "sim.h"

static inline void must(int r, const struct gw_error *err)
{
    if (r < 0)
        print_error("%d %s: %s\n", r, gw_blame_name(err->blame), err->text);
    assert_true(r >= 0);
}

static inline void end_image(void *image)
{
    gw_image_free(image);
}

/* On the list of the test: made before the sessions that use it, so ended after them. */
static inline struct gw_image *empty(void)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *image;

    must(gw_image_new(NULL, &image, &err), &err);
    return owned(image, end_image);
}

struct way {
    struct sim *guest; /* a guest that writes meanwhile; NULL: none */
    struct gw_vm *from, *to;
    const char *peer;
    uint64_t timeout_ns;             /* of the source; 0: none */
    _Atomic(struct gw_send *) *tell; /* is told the source's session; may be NULL */
    int send_result, recv_result;
    enum gw_owner send_says, recv_says;
    struct gw_error send_error, recv_error;
    struct gw_stats stats;
};

static inline void migrate(struct way *w)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *a, *b;
    struct gw_recv *recv;
    struct gw_send *send;

    w->send_error = w->recv_error = err;
    must(gw_channel_memory_pair(1 << 20, &a, &b, &err), &err);
    must(gw_recv_start(w->to, &(struct gw_recv_config){.take_channel = b}, &recv, &err), &err);
    owned_recv(recv);
    must(gw_send_start(w->from,
                       &(struct gw_send_config){.take_channel = a,
                                                .peer = w->peer,
                                                .progress_timeout_ns = w->timeout_ns ? w->timeout_ns : UINT64_MAX},
                       &send, &err),
         &err);
    owned_send(send);
    if (w->tell)
        atomic_store(w->tell, send);
    for (uint64_t since_ns = gw_now_ns(&gw_clock_real); w->guest && !sim_over(gw_send_status(send));) {
        sim_ease(w->guest, since_ns);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    w->send_result = gw_send_wait(send, &w->send_error);
    w->recv_result = gw_recv_wait(recv, &w->recv_error);
    w->send_says = gw_send_owner(send);
    w->recv_says = gw_recv_owner(recv);
    gw_send_stats(send, &w->stats);
    owned_end(send);
    owned_end(recv);
}

static inline struct gw_vm *vm_of(struct gw_image *image, int (*park)(void *opaque, struct gw_error *err), void *opaque)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_vm *vm;

    must(gw_image_vm(image, park, opaque, &vm, &err), &err);
    return vm;
}

static inline int count(void *opaque, struct gw_error *err)
{
    ++*(unsigned *)opaque;
    return 0;
}

static inline void into(struct gw_image *image, struct sim *from, const char *peer)
{
    unsigned *parked = owned_memory(sizeof *parked);
    struct way w = {.guest = from, .from = from->vm, .to = vm_of(image, count, parked), .peer = peer};

    migrate(&w);
    must(w.recv_result, &w.recv_error);
    must(w.send_result, &w.send_error);
    assert_int_equal(w.send_says, GW_OWNER_DESTINATION);
    assert_int_equal(w.recv_says, GW_OWNER_DESTINATION);
    assert_int_equal(*parked, 1);
    assert_false(sim_runs(from));
    assert_true(image->devices_bytes > 0);
    assert_true(image->description_bytes > 0);
    assert_int_equal(image->description[0], '{');
}

static inline void out_of(struct gw_image *image, struct sim *to, bool running)
{
    struct way w = {.from = vm_of(image, NULL, NULL), .to = to->vm};

    migrate(&w);
    must(w.recv_result, &w.recv_error);
    must(w.send_result, &w.send_error);
    assert_int_equal(sim_runs(to), running);
}

#endif
