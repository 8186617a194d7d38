/* SPDX-License-Identifier: MIT
 *
 * ring: asynchronous reads and writes of files by the kernel (io_uring).
 *
 * Threads: one owner.
 */
#ifndef GW_DISK_RING_H
#define GW_DISK_RING_H

#include <sys/uio.h>

#include "base/base.h"

struct gw_ring;

struct gw_ring_request {
    bool write;
    int fd;
    const struct iovec *vector; /* valid, with the memory it points to, until the request has ended */
    unsigned count;
    uint64_t offset;
    void *user;
};

/* NULL: not available: this build has no liburing, the kernel has no io_uring, or forbids it. */
struct gw_ring *gw_ring_new(unsigned depth);
/* Takes NULL. No request may be in progress. */
void gw_ring_free(struct gw_ring *r);
/* At most `depth` requests may be in progress. A negative errno: it was not started. */
int gw_ring_submit(struct gw_ring *r, const struct gw_ring_request *request);
/* Takes a completed request; one must be in progress. *ret_result: its bytes or a negative errno; returns its `user`.
 * wait false: NULL if none has completed. */
void *gw_ring_take(struct gw_ring *r, bool wait, int *ret_result);
/* Readable when a request has completed. */
int gw_ring_fd(const struct gw_ring *r);

#endif
