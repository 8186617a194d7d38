/* SPDX-License-Identifier: MIT
 *
 * ring: reads and writes of files that the kernel does by itself (io_uring).
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
    const struct iovec *vector; /* these and what they name: until it is done */
    unsigned count;
    uint64_t offset;
    void *user;
};

/* NULL: there is none here: this build has no liburing, the kernel has no io_uring, or forbids it. */
struct gw_ring *gw_ring_new(unsigned depth);
/* Takes NULL. Nothing is under way. */
void gw_ring_free(struct gw_ring *r);
/* At most `depth` are under way. A negative errno: it was not begun. */
int gw_ring_submit(struct gw_ring *r, const struct gw_ring_request *request);
/* One that is done; there must be one under way. Its bytes or a negative errno are *ret_result, its user is returned.
 * wait false: NULL when none is done yet. */
void *gw_ring_take(struct gw_ring *r, bool wait, int *ret_result);
/* Can be read when something is done. */
int gw_ring_fd(const struct gw_ring *r);

#endif
