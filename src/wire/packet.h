/* SPDX-License-Identifier: MIT
 *
 * packet: the head of a multifd packet: it lists the pages of one block (docs/formats/multifd.md).
 *
 *      0  u32  0x11223344
 *      4  u32  1
 *      8  u32  flags
 *     12  u32  capacity: maximum number of pages in a packet
 *     16  u32  pages with contents
 *     20  u32  bytes of contents behind the head; not used without such pages
 *     24  u64  number of the packet, over all channels
 *     32  u32  zero pages; 28 bytes of zeros behind it
 *     64       name of the block, 256 bytes, NUL-terminated
 *    320  u64  an offset in the block for each of the capacity: pages with contents, then zero pages
 *
 * Hostile: every count, the name and the form of each offset is checked here. The caller checks whether the block
 * exists and contains the offset.
 */
#ifndef GW_WIRE_PACKET_H
#define GW_WIRE_PACKET_H

#include "base/cursor.h"

#define GW_PACKET_SYNC       0x01u /* a mark: the receiver waits behind it until the main stream has reached it too */
#define GW_PACKET_CODING     0x3eu /* one of enum gw_packet_coding; not used without pages */
#define GW_PACKET_DEVICE     0x40u
/* together with a coding: the pages of this packet are uncompressed (docs/formats/extensions.md) */
#define GW_PACKET_AS_IS      0x80000000u
#define GW_PACKET_FIXED      320u
#define GW_PACKET_DATA       (512u << 10)             /* maximum size of the contents of a packet */
#define GW_PACKET_CODED_MAX  (2 * GW_PACKET_DATA)     /* the same for compressed contents */
#define GW_PACKET_PAGES_MAX  (GW_PACKET_DATA / 1024u) /* with the smallest page size */

enum gw_packet_coding { GW_PACKET_PLAIN = 0, GW_PACKET_ZLIB = 0x02, GW_PACKET_ZSTD = 0x04 };

struct gw_packet {
    uint32_t flags;
    uint32_t pages, zeros; /* of the block; the offsets of zeros follow those of pages */
    uint32_t bytes;        /* size of the contents */
    uint64_t number;
    char name[256]; /* "" if the packet has no pages */
};

/* "none", "zlib", ... or "unknown". */
const char *gw_packet_coding_name(uint32_t flags);

static inline uint32_t gw_packet_capacity(uint32_t page_bytes)
{
    return GW_PACKET_DATA / page_bytes;
}

static inline size_t gw_packet_head_bytes(uint32_t page_bytes)
{
    return GW_PACKET_FIXED + 8 * (size_t)gw_packet_capacity(page_bytes);
}

/* offset: one for each page, zero pages last. */
void gw_packet_put(struct gw_out *out, uint32_t page_bytes, const struct gw_packet *p, const uint64_t *offset);
/* Reads the head; -EPROTO, -ENOTSUP with blame PEER. offset has room for GW_PACKET_PAGES_MAX. coding: the expected
 * one. */
int gw_packet_get(struct gw_in *in, uint32_t page_bytes, enum gw_packet_coding coding, struct gw_packet *ret,
                  uint64_t *offset, struct gw_error *err);

#endif
