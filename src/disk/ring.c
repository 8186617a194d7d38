/* SPDX-License-Identifier: MIT */
#include "disk/ring.h"

#ifndef GW_HAVE_LIBURING

struct gw_ring *gw_ring_new(unsigned depth)
{
    return NULL;
}

/* Without a ring these are never called. */
void gw_ring_free(struct gw_ring *r)
{
}

int gw_ring_submit(struct gw_ring *r, const struct gw_ring_request *request)
{
    return -ENOSYS;
}

void *gw_ring_take(struct gw_ring *r, bool wait, int *ret_result)
{
    return NULL;
}

int gw_ring_fd(const struct gw_ring *r)
{
    return -1;
}

#else

#include <liburing.h>
#include <sys/uio.h>

struct gw_ring {
    struct io_uring ring;
};

struct gw_ring *gw_ring_new(unsigned depth)
{
    struct gw_ring *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    /* Completions need not interrupt this thread: it polls for them (Linux 5.19; older kernels refuse the flags). */
    if (io_uring_queue_init(depth, &r->ring, IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG) < 0 &&
        io_uring_queue_init(depth, &r->ring, 0) < 0) {
        free(r);
        return NULL;
    }
    return r;
}

void gw_ring_free(struct gw_ring *r)
{
    if (!r)
        return;
    io_uring_queue_exit(&r->ring);
    free(r);
}

int gw_ring_submit(struct gw_ring *r, const struct gw_ring_request *q)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&r->ring);
    int n;

    if (!sqe)
        return -EAGAIN;
    if (q->write)
        io_uring_prep_writev(sqe, q->fd, q->vector, q->count, q->offset);
    else
        io_uring_prep_readv(sqe, q->fd, q->vector, q->count, q->offset);
    io_uring_sqe_set_data(sqe, q->user);
    do
        n = io_uring_submit(&r->ring);
    while (n == -EINTR);
    if (n >= 0)
        return 0;
    io_uring_prep_nop(sqe); /* the entry cannot be withdrawn, so it becomes a no-op */
    io_uring_sqe_set_data(sqe, NULL);
    return n;
}

void *gw_ring_take(struct gw_ring *r, bool wait, int *ret_result)
{
    struct io_uring_cqe *cqe = NULL;
    void *user = NULL;
    int n;

    while (!user) {
        n = wait ? io_uring_wait_cqe(&r->ring, &cqe) : io_uring_peek_cqe(&r->ring, &cqe);
        if (n == -EINTR || (n == -EAGAIN && wait))
            continue;
        if (n < 0 || !cqe)
            return NULL;
        user = io_uring_cqe_get_data(cqe);
        *ret_result = cqe->res;
        io_uring_cqe_seen(&r->ring, cqe);
    }
    return user;
}

int gw_ring_fd(const struct gw_ring *r)
{
    return r->ring.ring_fd;
}

#endif
