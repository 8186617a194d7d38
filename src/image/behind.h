/* SPDX-License-Identifier: MIT
 *
 * behind: what stands in a file behind the end of the machine in it. A volume is larger than what was saved into it: zeros, or
 * what an earlier use of it has left.
 */
#ifndef GW_IMAGE_BEHIND_H
#define GW_IMAGE_BEHIND_H

#include "base/base.h"

struct gw_behind {
    uint64_t at, bytes; /* what stands behind; 0 bytes: nothing */
    bool other;         /* not only zeros: */
    uint64_t other_at;  /* the first byte that is not zero */
    bool device;        /* a block device, whose size says nothing about what is in it */
};

/* The size of a regular file or a block device; UINT64_MAX: it is neither. */
uint64_t gw_file_bytes(int fd);
/* Reads from `at` up to the first byte that is not zero; holes are not read. -EIO. */
int gw_behind_look(int fd, uint64_t at, struct gw_behind *ret, struct gw_error *err);

#endif
