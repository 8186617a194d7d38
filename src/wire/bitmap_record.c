/* SPDX-License-Identifier: MIT */
#include "wire/bitmap_record.h"

enum { ZEROES = 0x02, NAME = 0x04, NODE = 0x08, LONG = 0x80 };
#define KINDS   (GW_BITMAP_RECORD_END | GW_BITMAP_RECORD_START | GW_BITMAP_RECORD_COMPLETE | GW_BITMAP_RECORD_BITS)
#define IGNORED 4u /* in the flags of a bitmap: meant "load by yourself" in an early version */

void gw_bitmap_record_put(struct gw_out *out, const struct gw_bitmap_record *r)
{
    bool zeros = r->kind == GW_BITMAP_RECORD_BITS && r->zeros;

    gw_put_u8(out, (uint8_t)(r->kind | (zeros ? ZEROES : 0) | (r->has_name ? NAME : 0) | (r->has_node ? NODE : 0)));
    if (r->has_node)
        gw_put_str8(out, r->node);
    if (r->has_name)
        gw_put_str8(out, r->name);
    if (r->kind == GW_BITMAP_RECORD_START) {
        gw_put_u32(out, r->granularity);
        gw_put_u8(out, r->flags);
    } else if (r->kind == GW_BITMAP_RECORD_BITS) {
        gw_put_u64(out, r->sector);
        gw_put_u32(out, r->sectors);
        if (!zeros)
            gw_put_u64(out, r->buffer_bytes);
    }
}

static int take_flags(struct gw_in *in, struct gw_bitmap_record *r, struct gw_error *err)
{
    uint8_t flags;
    unsigned kind;
    int e = gw_get_u8(in, &flags, err);

    if (e < 0)
        return e;
    kind = flags & KINDS;
    /* END has no other flag; only BITS can have ZEROES. */
    if ((flags & LONG) || !kind || (kind & (kind - 1)) || (kind == GW_BITMAP_RECORD_END && flags != kind) ||
        (kind != GW_BITMAP_RECORD_BITS && (flags & ZEROES)))
        return gw_in_fail(in, -EPROTO, err, "byte %" PRIu64 ": dirty bitmap record with flags 0x%x", r->at, flags);
    r->kind = (enum gw_bitmap_record_kind)kind;
    r->zeros = flags & ZEROES;
    r->has_node = flags & NODE;
    r->has_name = flags & NAME;
    return 0;
}

static int take_start(struct gw_in *in, struct gw_bitmap_record *r, struct gw_error *err)
{
    int e = gw_get_u32(in, &r->granularity, err);

    if (e >= 0)
        e = gw_get_u8(in, &r->flags, err);
    if (e < 0)
        return e;
    if (!gw_is_pow2(r->granularity) || r->granularity < GW_BITMAP_SECTOR)
        return gw_in_fail(in, -EPROTO, err, "byte %" PRIu64 ": a dirty bitmap with a granularity of %u bytes", r->at,
                          r->granularity);
    if (r->flags & ~(unsigned)(GW_BITMAP_ENABLED | GW_BITMAP_PERSISTENT | IGNORED))
        return gw_in_fail(in, -EPROTO, err,
                          "byte %" PRIu64 ": a dirty bitmap with flags 0x%x, of which some are unknown", r->at,
                          r->flags);
    r->flags &= (uint8_t)~IGNORED;
    return 0;
}

static int take_bits(struct gw_in *in, struct gw_bitmap_record *r, struct gw_error *err)
{
    uint64_t bytes = 0;
    int e = gw_get_u64(in, &r->sector, err);

    if (e >= 0)
        e = gw_get_u32(in, &r->sectors, err);
    if (e >= 0 && !r->zeros)
        e = gw_get_u64(in, &bytes, err);
    if (e >= 0 && bytes > GW_BITMAP_BUFFER_MAX)
        return gw_in_fail(in, -EPROTO, err, "byte %" PRIu64 ": %" PRIu64 " bytes of a dirty bitmap at once", r->at,
                          bytes);
    r->buffer_bytes = (uint32_t)bytes;
    return e;
}

int gw_bitmap_record_get(struct gw_in *in, struct gw_bitmap_record *r, struct gw_error *err)
{
    int e;

    *r = (struct gw_bitmap_record){.at = gw_in_offset(in)};
    e = take_flags(in, r, err);
    if (e >= 0 && r->has_node)
        e = gw_get_str8(in, r->node, err);
    if (e >= 0 && r->has_name)
        e = gw_get_str8(in, r->name, err);
    if (e >= 0 && r->kind == GW_BITMAP_RECORD_START)
        e = take_start(in, r, err);
    if (e >= 0 && r->kind == GW_BITMAP_RECORD_BITS)
        e = take_bits(in, r, err);
    return e;
}
