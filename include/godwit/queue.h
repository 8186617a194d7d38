/* SPDX-License-Identifier: MIT
 *
 * queue: many requests to a node (node.h) under way at once, for devices.
 *
 * A read or write (not a durable one) that lies in a plain run of a file goes to the kernel by io_uring; everything else,
 * and everything where there is no io_uring, goes to a pool of threads that make the node's blocking calls. A request that
 * the kernel did not do as a whole is made again by the pool, which says what is wrong. Where a run of the node ends is
 * remembered, so that not every request asks.
 *
 * Requests may begin and end in any order; a flush covers the writes that were done before it was submitted. A zero or
 * discard waits until what io_uring has under way is done, since it may free what a run names. So whoever has a queue
 * over a node makes these by the queue. Snapshots and changes of the node's owner (gw_node_activate) are made behind
 * gw_queue_drain, before the next request.
 *
 * Threads: one owner for all calls. done is called on its thread, within submit, wait, drain and free; it may submit.
 * Memory: a small struct for each request that may be under way, and the threads.
 */
#ifndef GODWIT_QUEUE_H
#define GODWIT_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "godwit/error.h"
#include "godwit/version.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GW_QUEUE_DEPTH_MAX 1024u

struct gw_node;
struct gw_queue;

enum gw_queue_op { GW_QUEUE_READ, GW_QUEUE_WRITE, GW_QUEUE_ZERO, GW_QUEUE_DISCARD, GW_QUEUE_FLUSH };

/* It and what it names stay until done was called. Its size is part of the interface: it does not grow. */
struct gw_queue_request {
    enum gw_queue_op op;
    unsigned flags;             /* enum gw_node_flags */
    const struct iovec *vector; /* READ, WRITE: bytes in all */
    unsigned count;
    uint64_t bytes, offset;
    /* result: 0 or a negative errno with err, which is good during the call only. The request may be used again then. */
    void (*done)(struct gw_queue_request *r, int result, const struct gw_error *err);
    void *opaque;
};

struct gw_queue_config {
    unsigned depth;   /* how many are under way at most: 1 .. GW_QUEUE_DEPTH_MAX; 0: 32 */
    unsigned threads; /* of the pool; 0: as many as the depth, at most 16 */
    bool no_ring;     /* the pool for everything */
};

/* The node stays, and keeps its length, until the queue is freed. config NULL: all zero. */
GW_API int gw_queue_new_sized(struct gw_node *node, const struct gw_queue_config *config, size_t config_bytes,
                              struct gw_queue **ret, struct gw_error *err);
static inline int gw_queue_new(struct gw_node *node, const struct gw_queue_config *config, struct gw_queue **ret,
                               struct gw_error *err)
{
    return gw_queue_new_sized(node, config, sizeof *config, ret, err);
}
/* Begins it; waits for others when the queue is full. -EINVAL: the vectors have other bytes than it, nothing was begun.
 * All else is told to done. */
GW_API int gw_queue_submit(struct gw_queue *q, struct gw_queue_request *r, struct gw_error *err);
/* Waits until at least one more is done. False: none is under way. */
GW_API bool gw_queue_wait(struct gw_queue *q);
/* The same, or until fd can be read, which another thread may see to. Returns false at once when none is under way. */
GW_API bool gw_queue_wait_or(struct gw_queue *q, int fd);
/* Waits until none is under way, and forgets what it remembers of the node. */
GW_API void gw_queue_drain(struct gw_queue *q);
/* Takes NULL. Drains. */
GW_API void gw_queue_free(struct gw_queue *q);

/* "io_uring", where that is there; else "threads". */
GW_API const char *gw_queue_engine(const struct gw_queue *q);
/* How many requests went to io_uring until now. */
GW_API uint64_t gw_queue_ring_requests(const struct gw_queue *q);

#ifdef __cplusplus
}
#endif
#endif
