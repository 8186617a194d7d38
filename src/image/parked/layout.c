/* SPDX-License-Identifier: MIT
 *
 * Header and trailer of a parked file: put next to get.
 */
#include "image/parked/parked.h"

static const char *const names[GW_PARKED_PART_KINDS] = {
    [GW_PARKED_HEAD] = "head",
    [GW_PARKED_BLOCKS] = "RAM blocks",
    [GW_PARKED_PAGE_DIRECTORY] = "page directory",
    [GW_PARKED_PAGES] = "page index",
    [GW_PARKED_FRAME_DIRECTORY] = "frame directory",
    [GW_PARKED_FRAMES] = "frame table",
    [GW_PARKED_EARLY] = "early devices",
    [GW_PARKED_DEVICES] = "devices",
    [GW_PARKED_DESCRIPTION] = "description",
    [GW_PARKED_LIBVIRT_XML] = "libvirt XML",
    [GW_PARKED_LIBVIRT_STATE] = "libvirt state",
    [GW_PARKED_LIVE] = "live sections",
    [GW_PARKED_EARLY_SPLIT] = "place of the early devices",
    [GW_PARKED_CONFIGURATION] = "configuration",
    [GW_PARKED_DICTIONARY] = "dictionary",
    [GW_PARKED_RECEIVED] = "map of received pages",
};

const char *gw_parked_part_name(uint32_t kind)
{
    return kind < GW_PARKED_PART_KINDS && names[kind] ? names[kind] : "part of a kind unknown here";
}

void gw_parked_put_header(uint8_t dst[GW_PARKED_HEADER_BYTES], const struct gw_parked_trailer *t)
{
    memset(dst, 0, GW_PARKED_HEADER_BYTES);
    memcpy(dst, GW_PARKED_MAGIC, 8);
    gw_store_be32(dst + 8, GW_PARKED_VERSION);
    gw_store_be32(dst + 12, t->needs);
    gw_store_be32(dst + 16, t->may);
    gw_store_be32(dst + 20, t->page_bytes);
    gw_store_be32(dst + 24, t->frame_pages);
    if (t->needs & GW_PARKED_NEEDS_END) {
        gw_store_be64(dst + 32, t->file_bytes);
        gw_store_be64(dst + 40, t->frames_end);
    }
    gw_store_be32(dst + 60, gw_crc32c(0, dst, 60));
}

bool gw_parked_header_end(const uint8_t src[GW_PARKED_HEADER_BYTES], uint64_t size, uint64_t *ret_file_bytes,
    uint64_t *ret_frames_end)
{
    uint64_t end = gw_load_be64(src + 32), frames_end = gw_load_be64(src + 40);

    if (memcmp(src, GW_PARKED_MAGIC, 8) || gw_load_be32(src + 60) != gw_crc32c(0, src,
        60) || gw_load_be32(src + 8) != GW_PARKED_VERSION ||
        !(gw_load_be32(src + 12) & GW_PARKED_NEEDS_END))
        return false;
    if (end > size || end < GW_PARKED_HEADER_BYTES + GW_PARKED_TRAILER_BYTES || frames_end < GW_PARKED_HEADER_BYTES ||
        frames_end > end - GW_PARKED_TRAILER_BYTES)
        return false;
    *ret_file_bytes = end;
    *ret_frames_end = frames_end;
    return true;
}

int gw_parked_check_header(const uint8_t src[GW_PARKED_HEADER_BYTES], const struct gw_parked_trailer *t,
                           struct gw_error *err)
{
    uint8_t want[GW_PARKED_HEADER_BYTES];

    gw_parked_put_header(want, t);
    for (unsigned i = 0; i < sizeof want; i++)
        if (src[i] != want[i])
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "byte %u: the header has 0x%02x where the trailer wants 0x%02x",
                           i, src[i], want[i]);
    return 0;
}

void gw_parked_put_trailer(uint8_t dst[GW_PARKED_TRAILER_BYTES], const struct gw_parked_trailer *t)
{
    uint8_t *p = dst + GW_PARKED_PARTS_AT;

    memset(dst, 0, GW_PARKED_TRAILER_BYTES);
    memcpy(dst, GW_PARKED_TRAILER_MAGIC, 8);
    gw_store_be32(dst + 8, GW_PARKED_VERSION);
    gw_store_be32(dst + 12, t->needs);
    gw_store_be32(dst + 16, t->may);
    gw_store_be32(dst + 20, t->page_bytes);
    gw_store_be32(dst + 24, t->frame_pages);
    gw_store_be64(dst + 32, t->file_bytes);
    gw_store_be64(dst + 40, t->frames_end);
    gw_store_be64(dst + 48, t->numbers);
    gw_store_be32(dst + 56, t->part_count);
    for (uint32_t i = 0; i < t->part_count; i++, p += GW_PARKED_PART_BYTES) {
        const struct gw_parked_part *part = &t->parts[i];

        gw_store_be32(p, part->kind);
        gw_store_be32(p + 4, part->flags);
        gw_store_be64(p + 8, part->at);
        gw_store_be64(p + 16, part->bytes);
        gw_store_be64(p + 24, part->raw_bytes);
        gw_store_be32(p + 32, part->crc);
    }
    gw_store_be32(dst + GW_PARKED_TRAILER_BYTES - 4, gw_crc32c(0, dst, GW_PARKED_TRAILER_BYTES - 4));
}

static int get_parts(const uint8_t *p, struct gw_parked_trailer *t, struct gw_error *err)
{
    uint64_t at = t->frames_end, end = t->file_bytes - GW_PARKED_TRAILER_BYTES;
    uint32_t seen = 0;

    for (uint32_t i = 0; i < t->part_count; i++, p += GW_PARKED_PART_BYTES) {
        struct gw_parked_part *part = &t->parts[i];
        const char *name;

        *part = (struct gw_parked_part){
            .kind = gw_load_be32(p),
            .flags = gw_load_be32(p + 4),
            .at = gw_load_be64(p + 8),
            .bytes = gw_load_be64(p + 16),
            .raw_bytes = gw_load_be64(p + 24),
            .crc = gw_load_be32(p + 32),
        };
        name = gw_parked_part_name(part->kind);
        if (part->at != at || part->bytes > end - at)
            return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                           "%s: 0x%" PRIx64 " bytes at byte %" PRIu64 " of the file: not between byte %" PRIu64
                           " and the trailer",
                           name, part->bytes, part->at, at);
        at += part->bytes;
        if (part->kind >= GW_PARKED_PART_KINDS)
            continue;
        if (!part->kind || seen >> part->kind & 1)
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "%s (kind %u): twice", name, part->kind);
        seen |= 1u << part->kind;
        if (part->flags & ~GW_PARKED_PART_ZSTD)
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "%s: unknown flags 0x%x", name, part->flags);
        if (part->flags ? part->raw_bytes > GW_PARKED_UNPACKED_MAX || part->raw_bytes <= part->bytes
                        : part->raw_bytes != part->bytes)
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "%s: %" PRIu64 " bytes cannot be %" PRIu64, name, part->bytes,
                           part->raw_bytes);
        if (part->flags && (part->kind == GW_PARKED_PAGES || part->kind == GW_PARKED_FRAMES))
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "%s: must not be compressed", name);
    }
    if (at != end)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "byte %" PRIu64 ": the bytes from here to the trailer belong to no part", at);
    return 0;
}

int gw_parked_get_trailer(const uint8_t src[GW_PARKED_TRAILER_BYTES], uint64_t file_bytes, struct gw_parked_trailer *t,
                          struct gw_error *err)
{
    uint32_t version = gw_load_be32(src + 8), crc = gw_load_be32(src + GW_PARKED_TRAILER_BYTES - 4), unknown;

    if (memcmp(src, GW_PARKED_TRAILER_MAGIC, 8))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                       "no trailer: the file is truncated, or is still being written");
    if (crc != gw_crc32c(0, src, GW_PARKED_TRAILER_BYTES - 4))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "its checksum is wrong");
    if (version != GW_PARKED_VERSION)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "version %u of the format; known here is %u", version,
                       GW_PARKED_VERSION);
    *t = (struct gw_parked_trailer){
        .needs = gw_load_be32(src + 12),
        .may = gw_load_be32(src + 16),
        .page_bytes = gw_load_be32(src + 20),
        .frame_pages = gw_load_be32(src + 24),
        .file_bytes = gw_load_be64(src + 32),
        .frames_end = gw_load_be64(src + 40),
        .numbers = gw_load_be64(src + 48),
        .part_count = gw_load_be32(src + 56),
    };
    unknown = t->needs & ~GW_PARKED_KNOWN;
    if (unknown)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "the file needs a feature that is not known here (0x%x)", unknown);
    if (!gw_is_pow2(t->page_bytes) || t->page_bytes < 1u << GW_PARKED_PAGE_BITS_MIN ||
        t->page_bytes > 1u << GW_PARKED_PAGE_BITS_MAX)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "pages of %u bytes are not possible", t->page_bytes);
    if (!t->frame_pages || t->frame_pages > GW_PARKED_FRAME_MAX / t->page_bytes)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "frames of %u pages of %u bytes are not "
                       "possible", t->frame_pages, t->page_bytes);
    if (t->file_bytes != file_bytes)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "the file has %" PRIu64 " bytes, and should have %" PRIu64,
                       file_bytes, t->file_bytes);
    if (t->frames_end < GW_PARKED_HEADER_BYTES || t->frames_end > file_bytes - GW_PARKED_TRAILER_BYTES)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "frames cannot end at byte %" PRIu64, t->frames_end);
    if (t->numbers > GW_PARKED_NUMBERS_MAX)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "%" PRIu64 " stored pages", t->numbers);
    if (t->part_count > GW_PARKED_PARTS_MAX)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "%u parts", t->part_count);
    return get_parts(src + GW_PARKED_PARTS_AT, t, err);
}
