/* SPDX-License-Identifier: MIT
 *
 * bitmap_record: a record of the section dirty-bitmap (docs/wire-format.md 12): flags, names unless they are the same
 * as in the previous record, and the fields of its kind.
 *
 * Hostile: -EPROTO for no kind or two, unknown flags, the long forms of the flags (they are never sent, and readers
 * disagree about them), a granularity that is no power of two from 512 up, a buffer larger than the largest possible
 * one. The caller checks whether the bitmap exists and has the bits.
 */
#ifndef GW_WIRE_BITMAP_RECORD_H
#define GW_WIRE_BITMAP_RECORD_H

#include "base/cursor.h"

enum gw_bitmap_record_kind {
    GW_BITMAP_RECORD_END = 0x01,      /* ends the body of this section */
    GW_BITMAP_RECORD_START = 0x10,    /* begins a bitmap */
    GW_BITMAP_RECORD_COMPLETE = 0x20, /* all bits of a bitmap have come */
    GW_BITMAP_RECORD_BITS = 0x40,
};

enum { GW_BITMAP_ENABLED = 1, GW_BITMAP_PERSISTENT = 2 };

#define GW_BITMAP_SECTOR      512u
#define GW_BITMAP_CHUNK_BITS  8192u /* bits in a record; the last record of a bitmap may have fewer */
#define GW_BITMAP_CHUNK_BYTES 1024u
#define GW_BITMAP_BUFFER_UNIT 32u /* buffers are padded with zeros to a multiple of this */
#define GW_BITMAP_BUFFER_MAX  10240u

struct gw_bitmap_record {
    uint64_t at; /* offset in the stream */
    enum gw_bitmap_record_kind kind;
    bool has_node, has_name;
    char node[256], name[256]; /* valid only with has_node, has_name */
    uint32_t granularity;      /* START */
    uint8_t flags;             /* START: GW_BITMAP_ENABLED, GW_BITMAP_PERSISTENT */
    uint64_t sector;           /* BITS: the first sector, of 512 bytes */
    uint32_t sectors;
    bool zeros;            /* no bit is set, and there is no buffer */
    uint32_t buffer_bytes; /* else: size of the buffer that follows, which is left in the cursor */
};

/* node and name NULL: the same as in the previous record. BITS: the caller writes the buffer. */
void gw_bitmap_record_put(struct gw_out *out, const struct gw_bitmap_record *r);
int gw_bitmap_record_get(struct gw_in *in, struct gw_bitmap_record *ret, struct gw_error *err);

#endif
