/* SPDX-License-Identifier: MIT
 *
 * behind: the bytes in a file after the end of the machine. A volume is larger than the machine saved into it; the rest
 * is zeros, or left from an earlier use.
 */
#ifndef GW_IMAGE_BEHIND_H
#define GW_IMAGE_BEHIND_H

#include "base/base.h"

struct gw_behind {
    uint64_t at, bytes; /* the range after the machine; 0 bytes: there is none */
    bool other;         /* some of its bytes are not zero: */
    uint64_t other_at;  /* the first byte that is not zero */
    bool roomy;         /* the container may be larger: a block device, or a file that records the machine's end */
};

/* The size of a regular file or a block device; UINT64_MAX: it is neither. */
uint64_t gw_file_bytes(int fd);
/* Reads from `at` up to the first byte that is not zero; holes are not read. -EIO. */
int gw_behind_look(int fd, uint64_t at, struct gw_behind *ret, struct gw_error *err);

#endif
