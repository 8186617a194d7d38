/* SPDX-License-Identifier: MIT
 *
 * mapped: the head after each block of the list in a mapped-ram file, with the positions of the block's parts
 * (docs/wire-format.md 9). All positions are offsets in the whole file.
 */
#ifndef GW_WIRE_MAPPED_H
#define GW_WIRE_MAPPED_H

#include "base/cursor.h"

#define GW_MAPPED_HEAD_BYTES 28u

struct gw_wire_mapped {
    /* bit p % 64 of word p / 64: page p has contents. Words in the byte order of the host that wrote it */
    uint64_t map_at, map_bytes;
    uint64_t pages_at;          /* page p is at pages_at + p * page_bytes */
    uint64_t end;               /* end of the pages: the stream continues here */
};

/* Computes the positions for a block whose head is written at `at`. -EFBIG: beyond the maximum size of a file. name:
 * for messages. */
int gw_mapped_lay(const char *name, uint64_t used_bytes, uint32_t page_bytes, uint64_t at, struct gw_wire_mapped *ret,
                  struct gw_error *err);
void gw_mapped_put(struct gw_out *out, uint32_t page_bytes, const struct gw_wire_mapped *m);
/* Trusts nothing: the parts must come after the head, which is at `at`, in this order, without overlap, within the
 * maximum size of a file. */
int gw_mapped_get(struct gw_in *in, const char *name, uint64_t used_bytes, uint32_t page_bytes, uint64_t at,
                  struct gw_wire_mapped *ret, struct gw_error *err);

#endif
