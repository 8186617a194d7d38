/* SPDX-License-Identifier: MIT
 *
 * mapped: the head that stands behind each block of the list in a mapped-ram file, and where the block's parts are
 * (docs/wire-format.md 9). All positions are those of the whole file.
 */
#ifndef GW_WIRE_MAPPED_H
#define GW_WIRE_MAPPED_H

#include "base/cursor.h"

#define GW_MAPPED_HEAD_BYTES 28u

struct gw_wire_mapped {
    uint64_t map_at, map_bytes; /* bit p % 64 of word p / 64: page p has contents. Words of the host that wrote it */
    uint64_t pages_at;          /* page p is at pages_at + p * page_bytes */
    uint64_t end;               /* of the pages: the stream goes on here */
};

/* Where the parts of a block go to whose head is written at `at`. -EFBIG: no file is so large. name: for messages. */
int gw_mapped_lay(const char *name, uint64_t used_bytes, uint32_t page_bytes, uint64_t at, struct gw_wire_mapped *ret,
                  struct gw_error *err);
void gw_mapped_put(struct gw_out *out, uint32_t page_bytes, const struct gw_wire_mapped *m);
/* Trusts nothing: the parts lie behind the head, which stands at `at`, in this order, do not overlap and fit in a file. */
int gw_mapped_get(struct gw_in *in, const char *name, uint64_t used_bytes, uint32_t page_bytes, uint64_t at,
                  struct gw_wire_mapped *ret, struct gw_error *err);

#endif
