/* SPDX-License-Identifier: MIT
 *
 * transfer: reads or writes a whole range of a file, with as many calls as needed: handles interrupted and short calls,
 * and memory that O_DIRECT does not accept.
 */
#ifndef GW_DISK_NODE_TRANSFER_H
#define GW_DISK_NODE_TRANSFER_H

#include "base/base.h"

struct gw_transfer {
    int fd;
    uint32_t align; /* alignment of memory, offset and length; 1: any. Offset and length must have it; unaligned memory is copied */
    const char *name; /* for messages, which have the offset of the failure */
};

/* An end of the file within the range is an error: -EIO. */
int gw_transfer_read(const struct gw_transfer *t, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err);
int gw_transfer_write(const struct gw_transfer *t, const void *from, uint64_t bytes, uint64_t offset,
                      struct gw_error *err);
int gw_transfer_zeros(const struct gw_transfer *t, uint64_t bytes, uint64_t offset, struct gw_error *err);

#endif
