/* SPDX-License-Identifier: MIT
 *
 * block_record: records of the live section `block`, the contents of disks (docs/wire-format.md 11).
 */
#ifndef GW_WIRE_BLOCK_RECORD_H
#define GW_WIRE_BLOCK_RECORD_H

#include "base/cursor.h"

#define GW_BLOCK_SECTION_VERSION 1u
#define GW_BLOCK_SECTOR_BITS     9
#define GW_BLOCK_CHUNK_BYTES     GW_MIB
/* Size of the head before the contents of a chunk: the word, and a name. */
#define GW_BLOCK_HEAD_MAX (8u + 1 + 255)

enum gw_block_flag { GW_BLOCK_CHUNK = 1, GW_BLOCK_END = 2, GW_BLOCK_PROGRESS = 4, GW_BLOCK_ZERO = 8 };

struct gw_block_record {
    enum gw_block_flag kind; /* CHUNK, END or PROGRESS */
    bool zero;               /* CHUNK: all zeros, no contents follow. Else GW_BLOCK_CHUNK_BYTES follow */
    uint64_t offset;         /* CHUNK: offset in the disk in bytes, a multiple of a sector. */
    unsigned percent;        /* PROGRESS: 0 to 100 */
    char name[256];          /* CHUNK: name of the disk */
};

void gw_block_put_chunk(struct gw_out *out, const char *name, uint64_t offset, bool zero);
void gw_block_put_progress(struct gw_out *out, unsigned percent);
void gw_block_put_end(struct gw_out *out);
/* -EPROTO: invalid flags, a percentage above 100, an invalid name. */
int gw_block_get(struct gw_in *in, struct gw_block_record *ret, struct gw_error *err);

#endif
