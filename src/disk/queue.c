/* SPDX-License-Identifier: MIT */
#include "godwit/queue.h"

#include <limits.h>
#include <poll.h>
#include <sys/eventfd.h>

#include "base/base.h"
#include "base/sized.h"
#include "base/workers.h"
#include "disk/node/node.h"
#include "disk/ring.h"

#define USUAL_DEPTH  32u
#define POOL_THREADS 16u

struct gw_queue {
    struct gw_node *node;
    unsigned depth, in_ring; /* in_ring: how many of the requests in progress are in the ring */
    uint64_t ring_requests;

    struct gw_ring *ring;   /* NULL: none */
    struct gw_node_run run; /* the last result of find, cut to begin at run_offset; bytes 0: none */
    uint64_t run_offset;

    struct gw_workers *pool;
    struct gw_queue_request **slot; /* depth entries: requests that the pool works on */
    atomic_bool *ended;             /* depth entries: whether that request has ended */
    uint64_t first, next;           /* range of the pool's work numbers in progress */
    int ended_fd;                   /* eventfd, written when work ends while the owner sleeps */
    atomic_bool sleeps;
};

/* ---- the pool ---------------------------------------------------------------------------------------------------- */

static int transfer(struct gw_node *n, const struct gw_queue_request *r, struct gw_error *err)
{
    uint64_t offset = r->offset;
    int result = 0;

    for (unsigned i = 0; i < r->count && result >= 0; i++) {
        const struct iovec *v = &r->vector[i];

        result = r->op == GW_QUEUE_READ ? gw_node_read(n, v->iov_base, v->iov_len, offset, err)
                                        : gw_node_write(n, v->iov_base, v->iov_len, offset, r->flags, err);
        offset += v->iov_len;
    }
    return result;
}

static int call(struct gw_queue *q, const struct gw_queue_request *r, struct gw_error *err)
{
    switch (r->op) {
    case GW_QUEUE_READ:
    case GW_QUEUE_WRITE:
        return transfer(q->node, r, err);
    case GW_QUEUE_ZERO:
        return gw_node_zero(q->node, r->bytes, r->offset, r->flags, err);
    case GW_QUEUE_DISCARD:
        return gw_node_discard(q->node, r->bytes, r->offset, err);
    case GW_QUEUE_FLUSH:
        return gw_node_flush(q->node, err);
    }
    return 0;
}

static int work(void *opaque, unsigned thread, uint64_t number, unsigned slot, struct gw_error *err)
{
    struct gw_queue *q = opaque;
    int r = call(q, q->slot[slot], err);

    atomic_store(&q->ended[slot], true);
    if (atomic_load(&q->sleeps))
        (void)!eventfd_write(q->ended_fd, 1);
    return r;
}

/* The last result of find may be outdated: a write may have moved a cluster out of a backing. */
static void changes(struct gw_queue *q, const struct gw_queue_request *r)
{
    if (r->op != GW_QUEUE_READ && r->op != GW_QUEUE_FLUSH)
        q->run.bytes = 0;
}

static void to_pool(struct gw_queue *q, struct gw_queue_request *r)
{
    changes(q, r);
    q->slot[q->next % q->depth] = r;
    atomic_store(&q->ended[q->next % q->depth], false);
    gw_workers_submit(q->pool, ++q->next);
}

static void take_from_pool(struct gw_queue *q)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_queue_request *r = q->slot[q->first % q->depth];
    int result = gw_workers_take(q->pool, q->first, &err);

    gw_workers_release(q->pool, ++q->first);
    changes(q, r); /* drops runs found meanwhile too */
    r->done(r, result < 0 ? result : 0, &err);
}

/* ---- the ring ---------------------------------------------------------------------------------------------------- */

static bool fits(const struct gw_queue_request *r, const struct gw_node_run *run, uint64_t file_offset)
{
    uint64_t rest = run->file_align ? run->file_align - 1 : 0;

    if (rest & file_offset)
        return false;
    for (unsigned i = 0; i < r->count && rest; i++)
        if (rest & ((uintptr_t)r->vector[i].iov_base | r->vector[i].iov_len))
            return false;
    return r->count <= IOV_MAX;
}

/* Whether the whole request lies in one plain run of a file; *ret_offset: its offset there. */
static bool is_plain(struct gw_queue *q, const struct gw_queue_request *r, uint64_t *ret_offset)
{
    struct gw_node *n = q->node;

    if (!r->bytes || r->offset >= n->bytes || r->bytes > n->bytes - r->offset || n->inactive ||
        (r->op == GW_QUEUE_WRITE && n->read_only))
        return false;
    if (r->offset < q->run_offset || r->offset - q->run_offset >= q->run.bytes) {
        q->run_offset = r->offset;
        if (gw_node_find(n, n->bytes - r->offset, r->offset, &q->run, NULL) < 0)
            q->run.bytes = 0;
    }
    *ret_offset = q->run.file_offset + (r->offset - q->run_offset);
    return q->run.bytes && q->run.kind == GW_DISK_DATA && q->run.fd >= 0 &&
           r->bytes <= q->run.bytes - (r->offset - q->run_offset) &&
           (r->op == GW_QUEUE_READ || !q->run.file_read_only) && fits(r, &q->run, *ret_offset);
}

static bool to_ring(struct gw_queue *q, struct gw_queue_request *r)
{
    struct gw_ring_request request = {
        .write = r->op == GW_QUEUE_WRITE, .vector = r->vector, .count = r->count, .user = r};

    /* A durable write to an image may have to write metadata too. */
    if (!q->ring || (r->op != GW_QUEUE_READ && r->op != GW_QUEUE_WRITE) || r->flags & GW_NODE_DURABLE ||
        !is_plain(q, r, &request.offset))
        return false;
    request.fd = q->run.fd;
    if (gw_ring_submit(q->ring, &request) < 0)
        return false;
    q->in_ring++;
    q->ring_requests++;
    return true;
}

static bool take_from_ring(struct gw_queue *q, bool wait)
{
    static const struct gw_error none = GW_ERROR_INIT;
    int result = 0;
    struct gw_queue_request *r = gw_ring_take(q->ring, wait, &result);

    if (!r)
        return false;
    q->in_ring--;
    if (result >= 0 && (uint64_t)result == r->bytes)
        r->done(r, 0, &none);
    else
        to_pool(q, r);
    return true;
}

/* ---- both -------------------------------------------------------------------------------------------------------- */

static uint64_t under_way(const struct gw_queue *q)
{
    return q->in_ring + (q->next - q->first);
}

bool gw_queue_wait(struct gw_queue *q)
{
    uint64_t before = under_way(q);

    if (!before)
        return false;
    if (!q->in_ring)
        take_from_pool(q);
    else
        take_from_ring(q, true);
    while (q->in_ring && take_from_ring(q, false)) /* takes all that ended meanwhile, which saves sleeps */
        ;
    return true;
}

/* Takes one request that has already ended. */
static bool take_ready(struct gw_queue *q)
{
    if (q->in_ring && take_from_ring(q, false))
        return true;
    if (q->next == q->first || !atomic_load(&q->ended[q->first % q->depth]))
        return false;
    take_from_pool(q);
    return true;
}

/* Sleeps until a request ends or fd is readable; true: fd is. */
static bool sleep_until(struct gw_queue *q, int fd)
{
    struct pollfd p[] = {{.fd = fd, .events = POLLIN},
                         {.fd = q->ended_fd, .events = POLLIN},
                         {.fd = q->in_ring ? gw_ring_fd(q->ring) : -1, .events = POLLIN}};
    eventfd_t count;

    atomic_store(&q->sleeps, true);
    if (q->next == q->first || !atomic_load(&q->ended[q->first % q->depth]))
        while (poll(p, GW_ARRAY_LEN(p), -1) < 0 && errno == EINTR)
            ;
    atomic_store(&q->sleeps, false);
    if (p[1].revents)
        (void)!eventfd_read(q->ended_fd, &count);
    return p[0].revents != 0;
}

bool gw_queue_wait_or(struct gw_queue *q, int fd)
{
    if (!under_way(q))
        return false;
    while (!take_ready(q))
        if (sleep_until(q, fd))
            break;
    return true;
}

void gw_queue_drain(struct gw_queue *q)
{
    while (gw_queue_wait(q))
        ;
    q->run.bytes = 0;
}

static int check(const struct gw_queue *q, const struct gw_queue_request *r, struct gw_error *err)
{
    uint64_t bytes = 0;

    if (r->op != GW_QUEUE_READ && r->op != GW_QUEUE_WRITE)
        return 0;
    for (unsigned i = 0; i < r->count; i++)
        if (gw_add_overflows(bytes, r->vector[i].iov_len, &bytes))
            break;
    if (bytes == r->bytes)
        return 0;
    return gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                   "%s: a request of %" PRIu64 " bytes at offset %" PRIu64 " has vectors whose lengths do not add up to that",
                   q->node->name, r->bytes, r->offset);
}

int gw_queue_submit(struct gw_queue *q, struct gw_queue_request *r, struct gw_error *err)
{
    int result = check(q, r, err);

    if (result < 0)
        return result;
    if (r->op == GW_QUEUE_ZERO || r->op == GW_QUEUE_DISCARD)
        while (q->in_ring)
            take_from_ring(q, true);
    while (under_way(q) >= q->depth)
        gw_queue_wait(q);
    if (!to_ring(q, r))
        to_pool(q, r);
    return 0;
}

const char *gw_queue_engine(const struct gw_queue *q)
{
    return q->ring ? "io_uring" : "threads";
}

uint64_t gw_queue_ring_requests(const struct gw_queue *q)
{
    return q->ring_requests;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

void gw_queue_free(struct gw_queue *q)
{
    if (!q)
        return;
    if (q->pool)
        gw_queue_drain(q);
    gw_workers_free(q->pool);
    gw_ring_free(q->ring);
    gw_node_unuse(q->node);
    if (q->ended_fd >= 0)
        close(q->ended_fd);
    free(q->ended);
    free(q->slot);
    free(q);
}

static int rooms_make(struct gw_queue *q, struct gw_error *err)
{
    q->slot = calloc(q->depth, sizeof(struct gw_queue_request *));
    q->ended = calloc(q->depth, sizeof(atomic_bool));
    if (!q->slot || !q->ended)
        return gw_nomem(err, "queue of a disk");
    q->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (q->ended_fd < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "%s: eventfd for its queue: %s", q->node->name, strerror(errno));
    return 0;
}

int gw_queue_new_sized(struct gw_node *node, const struct gw_queue_config *config, size_t config_bytes,
                       struct gw_queue **ret, struct gw_error *err)
{
    static const struct gw_workers_ops ops = {.work = work};
    struct gw_queue_config own;
    unsigned depth, threads;
    struct gw_queue *q;
    int r = gw_sized_in(&own, sizeof own, config, config_bytes, 0, "struct gw_queue_config", err);

    if (r < 0)
        return r;
    depth = own.depth ? own.depth : USUAL_DEPTH;
    threads = own.threads ? own.threads : GW_MIN(depth, POOL_THREADS);
    if (depth > GW_QUEUE_DEPTH_MAX || threads > GW_WORKERS_MAX)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%s: a queue of %u requests and %u threads: at most %u and %u",
                       node->name, depth, threads, GW_QUEUE_DEPTH_MAX, GW_WORKERS_MAX);
    q = calloc(1, sizeof *q);
    if (!q)
        return gw_nomem(err, "queue of a disk");
    gw_node_use(node);
    q->node = node;
    q->depth = depth;
    q->ended_fd = -1;
    r = rooms_make(q, err);
    if (r >= 0)
        r = gw_workers_new(&ops, q, threads, depth, &q->pool, err);
    if (r < 0) {
        gw_queue_free(q);
        return r;
    }
    if (!own.no_ring)
        q->ring = gw_ring_new(depth);
    *ret = q;
    return 0;
}
