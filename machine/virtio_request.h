/* SPDX-License-Identifier: MIT
 *
 * virtio_request: the requests of a block device, several at once. Data goes through a buffer of each request, piece by
 * piece: a page of guest memory may still be on its way (postcopy), and only plain user code is sure to be allowed to wait
 * for it. A disk that is a node has a queue (godwit/queue.h); the calls of any other one are made one after the other.
 *
 * Threads: the device's, or the one that has made it stand.
 */
#ifndef GW_MACHINE_VIRTIO_REQUEST_H
#define GW_MACHINE_VIRTIO_REQUEST_H

#include "machine/virtio.h"

#define GW_VIRTIO_REQUESTS 16u /* under way at most, of one device */

struct gw_virtio_desc {
    uint64_t gpa;
    uint32_t bytes;
    uint16_t flags, next;
};

enum { GW_VIRTIO_DESC_NEXT = 1, GW_VIRTIO_DESC_WRITE = 2 };

/* A chain, copied out of the guest's reach: nothing that was checked can change any more. */
struct gw_virtio_chain {
    struct gw_virtio_desc desc[GW_VIRTIO_QUEUE_MAX];
    unsigned count;
};

/* Of b->disk; -ENOMEM and the like. */
int gw_virtio_requests_new(struct gw_virtio_blk *b, struct gw_error *err);
/* Waits for what is under way. */
void gw_virtio_requests_free(struct gw_virtio_blk *b);

/* Another one may begin. */
bool gw_virtio_requests_room(const struct gw_virtio_blk *b);
unsigned gw_virtio_requests_under_way(const struct gw_virtio_blk *b);
/* The most that ever were, for tests. */
unsigned gw_virtio_requests_most(const struct gw_virtio_blk *b);
/* The chain of descriptor id, taken from queue `queue`; there is room. When it is done gw_virtio_blk_used is told, maybe
 * before this returns. -EPROTO: it is no request. */
int gw_virtio_request_begin(struct gw_virtio_blk *b, unsigned queue, uint16_t id, const struct gw_virtio_chain *chain);
/* Until one more piece of one is done, or fd can be read. */
void gw_virtio_requests_wait(struct gw_virtio_blk *b, int fd);
/* All that was written is on stable storage; what is known of the node is forgotten. Nothing is under way. */
int gw_virtio_requests_settle(struct gw_virtio_blk *b, struct gw_error *err);

/* virtio_blk.c: puts the chain into the used ring. written: bytes that were put in guest memory. */
void gw_virtio_blk_used(struct gw_virtio_blk *b, unsigned queue, uint16_t id, uint32_t written);

#endif
