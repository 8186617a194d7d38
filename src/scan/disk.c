/* SPDX-License-Identifier: MIT
 *
 * The live sections of disks: their contents, and dirty bitmaps (wire-format.md 11, 12).
 */
#include "scan/parts.h"

#include "wire/bitmap_record.h"
#include "wire/block_record.h"

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

/* An omitted name is that of the record before. Names are checked because visitors may print them. */
static int take_name(struct gw_scan *s, bool is_there, const char *name, char kept[256], uint64_t at, struct gw_error *err)
{
    if (!is_there)
        return 0;
    gw_strcopy(kept, 256, name);
    return gw_in_printable(&s->r->in, kept, at, err);
}

int gw_scan_bitmaps(struct gw_scan *s, struct gw_error *err)
{
    for (;;) {
        struct gw_scan_bitmap b = {.node = s->node, .name = s->bitmap};
        struct gw_bitmap_record record;
        int r = gw_bitmap_record_get(&s->r->in, &record, err);

        if (r < 0 || record.kind == GW_BITMAP_RECORD_END)
            return r;
        b.what = record.kind == GW_BITMAP_RECORD_START  ? GW_SCAN_BITMAP_START
                 : record.kind == GW_BITMAP_RECORD_BITS ? GW_SCAN_BITMAP_BITS
                                                        : GW_SCAN_BITMAP_COMPLETE;
        b.granularity_bytes = record.granularity;
        b.flags = record.flags;
        r = take_name(s, record.has_node, record.node, s->node, record.at, err);
        if (r >= 0)
            r = take_name(s, record.has_name, record.name, s->bitmap, record.at, err);
        if (r >= 0 && record.buffer_bytes)
            r = gw_get_discard(s->r, record.buffer_bytes, err);
        if (r >= 0)
            r = GW_SCAN_TELL(s, bitmap, &b);
        if (r < 0)
            return r;
    }
}
