/* SPDX-License-Identifier: MIT
 *
 * virtio_request: the requests of a block device, several at once. Data goes through each request's buffer, piece by
 * piece: a page of guest memory may not have arrived yet (postcopy), and the kernel may not be allowed to wait for it
 * on behalf of a system call. A disk that is a node has a queue (godwit/queue.h); the calls of any other one are made
 * one after the other.
 *
 * Threads: the device's, or the one that has stopped it.
 */
#ifndef GW_MACHINE_VIRTIO_REQUEST_H
#define GW_MACHINE_VIRTIO_REQUEST_H

#include "machine/virtio.h"

#define GW_VIRTIO_REQUESTS 16u /* largest number in progress of one device */

struct gw_virtio_desc {
    uint64_t gpa;
    uint32_t bytes;
    uint16_t flags, next;
};

enum { GW_VIRTIO_DESC_NEXT = 1, GW_VIRTIO_DESC_WRITE = 2 };

/* A copy of a chain: the guest cannot change it after it was checked. */
struct gw_virtio_chain {
    struct gw_virtio_desc desc[GW_VIRTIO_QUEUE_MAX];
    unsigned count;
};

/* Of b->disk; -ENOMEM and the like. */
int gw_virtio_requests_new(struct gw_virtio_blk *b, struct gw_error *err);
/* Waits for requests in progress. */
void gw_virtio_requests_free(struct gw_virtio_blk *b);

/* Whether another one may begin. */
bool gw_virtio_requests_room(const struct gw_virtio_blk *b);
unsigned gw_virtio_requests_under_way(const struct gw_virtio_blk *b);
/* The largest number so far, for tests. */
unsigned gw_virtio_requests_most(const struct gw_virtio_blk *b);
/* The chain of descriptor id, taken from queue `queue`; there is room. At its end gw_virtio_blk_used is called, maybe
 * before this returns. -EPROTO: not a request. */
int gw_virtio_request_begin(struct gw_virtio_blk *b, unsigned queue, uint16_t id, const struct gw_virtio_chain *chain);
/* Waits until one more piece has completed, or fd is readable. */
void gw_virtio_requests_wait(struct gw_virtio_blk *b, int fd);
/* Brings all written data to stable storage and forgets cached runs of the node. No request may be in progress. */
int gw_virtio_requests_settle(struct gw_virtio_blk *b, struct gw_error *err);

/* virtio_blk.c: puts the chain into the used ring. written: bytes written to guest memory. */
void gw_virtio_blk_used(struct gw_virtio_blk *b, unsigned queue, uint16_t id, uint32_t written);

#endif
