/* SPDX-License-Identifier: MIT
 *
 * The live sections of disks: their contents, and dirty bitmaps (wire-format.md 11, 12).
 */
#include "scan/parts.h"

#include "wire/block_record.h"

enum { BITMAP_EOS = 1, BITMAP_ZEROES = 2, BITMAP_NAME = 4, BITMAP_NODE = 8, BITMAP_START = 0x10, BITMAP_COMPLETE = 0x20,
       BITMAP_BITS = 0x40, BITMAP_LONG = 0x80 };
#define BITMAP_BUFFER_MAX 10240u

int gw_scan_disk(struct gw_scan *s, struct gw_error *err)
{
    for (;;) {
        struct gw_scan_disk disk = {.name = s->disk};
        struct gw_block_record record;
        int r = gw_block_get(&s->r->in, &record, err);

        if (r < 0 || record.kind == GW_BLOCK_END)
            return r;
        if (record.kind == GW_BLOCK_PROGRESS)
            continue;
        gw_strcopy(s->disk, sizeof s->disk, record.name);
        disk.sector = record.offset >> GW_BLOCK_SECTOR_BITS;
        disk.zero = record.zero;
        if (!disk.zero)
            r = gw_get_discard(s->r, GW_BLOCK_CHUNK_BYTES, err);
        if (r >= 0)
            r = GW_SCAN_TELL(s, disk, &disk);
        if (r < 0)
            return r;
    }
}

static int get_start(struct gw_scan *s, struct gw_scan_bitmap *b, struct gw_error *err)
{
    int r = gw_get_u32(s->r, &b->granularity_bytes, err);

    if (r >= 0)
        r = gw_get_u8(s->r, &b->flags, err);
    b->what = GW_SCAN_BITMAP_START;
    return r < 0 ? r : GW_SCAN_TELL(s, bitmap, b);
}

static int get_bits(struct gw_scan *s, struct gw_scan_bitmap *b, unsigned flags, struct gw_error *err)
{
    uint64_t at = gw_reader_offset(s->r), first, bytes;
    uint32_t sectors;
    int r = gw_get_u64(s->r, &first, err);

    if (r >= 0)
        r = gw_get_u32(s->r, &sectors, err);
    if (r >= 0 && !(flags & BITMAP_ZEROES)) {
        r = gw_get_u64(s->r, &bytes, err);
        if (r >= 0 && bytes > BITMAP_BUFFER_MAX)
            return gw_reader_fail(s->r, -EPROTO, err, "byte %" PRIu64 ": %" PRIu64 " bytes of a dirty bitmap at once",
                                  at, bytes);
        if (r >= 0)
            r = gw_get_discard(s->r, bytes, err);
    }
    b->what = GW_SCAN_BITMAP_BITS;
    return r < 0 ? r : GW_SCAN_TELL(s, bitmap, b);
}

int gw_scan_bitmaps(struct gw_scan *s, struct gw_error *err)
{
    for (;;) {
        struct gw_scan_bitmap b = {.node = s->node, .name = s->bitmap};
        uint64_t at = gw_reader_offset(s->r);
        uint8_t flags;
        int r = gw_get_u8(s->r, &flags, err);

        if (r < 0)
            return r;
        if (flags & BITMAP_LONG || !flags)
            return gw_reader_fail(s->r, -EPROTO, err, "byte %" PRIu64 ": dirty bitmap record with flags 0x%x", at,
                                  flags);
        if (flags & BITMAP_NODE)
            r = gw_get_name(&s->r->in, s->node, err);
        if (r >= 0 && flags & BITMAP_NAME)
            r = gw_get_name(&s->r->in, s->bitmap, err);
        if (r >= 0 && flags & BITMAP_START)
            r = get_start(s, &b, err);
        if (r >= 0 && flags & BITMAP_COMPLETE) {
            b.what = GW_SCAN_BITMAP_COMPLETE;
            r = GW_SCAN_TELL(s, bitmap, &b);
        }
        if (r >= 0 && flags & BITMAP_BITS)
            r = get_bits(s, &b, flags, err);
        if (r < 0 || flags & BITMAP_EOS)
            return r;
    }
}
