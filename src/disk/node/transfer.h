/* SPDX-License-Identifier: MIT
 *
 * transfer: all of a read or a write of a file, however many calls it takes: interrupted ones, short ones, memory that
 * O_DIRECT does not take.
 */
#ifndef GW_DISK_NODE_TRANSFER_H
#define GW_DISK_NODE_TRANSFER_H

#include "base/base.h"

struct gw_transfer {
    int fd;
    uint32_t align; /* of memory, offset and length; 1: any. Offset and length are so; memory is copied if it is not */
    const char *name; /* for messages, which tell the offset of what failed */
};

/* The end of the file in between is an error: -EIO. */
int gw_transfer_read(const struct gw_transfer *t, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err);
int gw_transfer_write(const struct gw_transfer *t, const void *from, uint64_t bytes, uint64_t offset,
                      struct gw_error *err);
int gw_transfer_zeros(const struct gw_transfer *t, uint64_t bytes, uint64_t offset, struct gw_error *err);

#endif
