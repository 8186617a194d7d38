/* SPDX-License-Identifier: MIT
 *
 * The live sections of disks: their contents, and dirty bitmaps (wire-format.md 11, 12).
 */
#include "scan/parts.h"

enum { DISK_DATA = 1, DISK_EOS = 2, DISK_PROGRESS = 4, DISK_ZERO = 8 };
enum { BITMAP_EOS = 1, BITMAP_ZEROES = 2, BITMAP_NAME = 4, BITMAP_NODE = 8, BITMAP_START = 0x10, BITMAP_COMPLETE = 0x20,
       BITMAP_BITS = 0x40, BITMAP_LONG = 0x80 };
#define DISK_CHUNK_BYTES GW_MIB
#define BITMAP_BUFFER_MAX 10240u

int gw_scan_disk(struct gw_scan *s, struct gw_error *err)
{
    for (;;) {
        struct gw_scan_disk disk = {.name = s->disk};
        uint64_t word, at = gw_reader_offset(s->r);
        int r = gw_get_u64(s->r, &word, err);
        unsigned flags = word & 511;

        if (r < 0)
            return r;
        if (flags == DISK_EOS)
            return 0;
        if (flags == DISK_PROGRESS)
            continue;
        if (flags != DISK_DATA && flags != (DISK_DATA | DISK_ZERO))
            return gw_reader_fail(s->r, -EPROTO, err, "byte %" PRIu64 ": disk record with flags 0x%x", at, flags);
        r = gw_get_name(&s->r->in, s->disk, err);
        disk.sector = word >> 9;
        disk.zero = flags & DISK_ZERO;
        if (r >= 0 && !disk.zero)
            r = gw_get_discard(s->r, DISK_CHUNK_BYTES, err);
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
