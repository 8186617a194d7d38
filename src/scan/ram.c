/* SPDX-License-Identifier: MIT */
#include "base/endian.h"
#include "scan/parts.h"
#include "wire/mapped.h"
#include "wire/ram_list.h"
#include "wire/ram_record.h"

static struct gw_scan_block *block_find(struct gw_scan *s, const char *name)
{
    if (s->last && !strcmp(s->last->name, name))
        return s->last;
    for (unsigned i = 0; i < s->block_count; i++)
        if (!strcmp(s->blocks[i]->name, name))
            return s->blocks[i];
    return NULL;
}

static struct gw_scan_block *block_add(struct gw_scan *s, struct gw_error *err)
{
    struct gw_scan_block **grown = realloc(s->blocks, (s->block_count + 1) * sizeof *grown), *b;

    if (grown)
        s->blocks = grown;
    b = grown ? calloc(1, sizeof *b) : NULL;
    if (!b) {
        gw_nomem(err, "RAM blocks");
        return NULL;
    }
    b->index = s->block_count;
    s->blocks[s->block_count++] = b;
    return b;
}

/* ---- mapped-ram -------------------------------------------------------------------------------------------------- */

/* Holes of the file and pages that are not valid need not be read. */
static int skip_to(struct gw_scan *s, uint64_t to, struct gw_error *err)
{
    uint64_t n = to - gw_reader_offset(s->r);
    int r;

    if (n <= gw_reader_buffered(s->r)) {
        gw_reader_skip(s->r, (size_t)n);
        return 0;
    }
    if (!s->r->channel || !(s->r->channel->features & GW_CHANNEL_SEEKABLE) || n < GW_READER_CAP || to > INT64_MAX)
        return gw_get_discard(s->r, n, err);
    /* Reads the last byte, so that a truncated file is detected. */
    r = gw_reader_seek(s->r, to - 1, err);
    return r < 0 ? r : gw_get_discard(s->r, 1, err);
}

static int get_pages(struct gw_scan *s, struct gw_scan_block *b, const uint8_t *map, struct gw_error *err)
{
    uint64_t pages = b->used_bytes / s->page_bytes;
    int r = 0;

    for (uint64_t i = 0; i < pages && r >= 0; i++) {
        struct gw_scan_page page = {.block = b, .offset = i * s->page_bytes, .kind = GW_SCAN_MAPPED,
                                    .at = b->pages_at + i * s->page_bytes, .payload_bytes = s->page_bytes};

        if (i % 8 == 0 && !map[i / 8]) {
            i += 7;
            continue;
        }
        if (!(map[i / 8] >> (i % 8) & 1))
            continue;
        r = skip_to(s, b->pages_at + page.offset, err);
        if (r >= 0)
            r = gw_reader_need(s->r, s->page_bytes, &page.data, err);
        if (r >= 0) {
            r = GW_SCAN_TELL(s, page, &page);
            gw_reader_skip(s->r, s->page_bytes);
        }
    }
    return r < 0 ? r : skip_to(s, b->pages_at + b->used_bytes, err);
}

/* One byte per eight pages; the map's size comes from the stream, so zeros must take no memory. */
static int get_map(struct gw_scan *s, uint64_t bytes, uint8_t **ret, struct gw_error *err)
{
    uint8_t *map = calloc(1, (size_t)bytes);
    int r = map ? 0 : gw_nomem(err, "map of a RAM block");

    for (uint64_t have = 0; r >= 0 && have < bytes;) {
        size_t n = (size_t)GW_MIN(bytes - have, GW_READER_CAP);
        const uint8_t *p = NULL;

        r = gw_reader_need(s->r, n, &p, err);
        if (r < 0)
            break;
        if (p[0] || memcmp(p, p + 1, n - 1) != 0)
            memcpy(map + have, p, n);
        gw_reader_skip(s->r, n);
        have += n;
    }
    if (r < 0)
        free(map);
    else
        *ret = map;
    return r;
}

/* Checked before anything is allocated: the file must reach to the last page. */
static int check_end(struct gw_scan *s, const struct gw_scan_block *b, struct gw_error *err)
{
    struct gw_channel *ch = s->r->channel;
    struct gw_error why = GW_ERROR_INIT;
    uint64_t end = b->pages_at + b->used_bytes;
    uint8_t last;
    int r = ch && ch->features & GW_CHANNEL_SEEKABLE ? gw_channel_pread_full(ch, &last, 1, end - 1, &why) : 0;

    return r < 0 ? gw_reader_fail(s->r, r, err, "RAM block %s goes to byte %" PRIu64 ": %s", b->name, end, why.text) : 0;
}

static int get_mapped(struct gw_scan *s, struct gw_scan_block *b, struct gw_error *err)
{
    GW_AUTOFREE uint8_t *map = NULL;
    struct gw_wire_mapped m;
    int r = gw_mapped_get(&s->r->in, b->name, b->used_bytes, s->page_bytes, gw_reader_offset(s->r), &m, err);

    if (r < 0)
        return r;
    b->mapped = true;
    b->bitmap_at = m.map_at;
    b->bitmap_bytes = m.map_bytes;
    b->pages_at = m.pages_at;
    r = check_end(s, b, err);
    if (r >= 0)
        r = GW_SCAN_TELL(s, block, b);
    if (r >= 0)
        r = skip_to(s, b->bitmap_at, err);
    if (r >= 0)
        r = get_map(s, b->bitmap_bytes, &map, err);
    if (r >= 0 && s->v->map) {
        r = s->v->map(s->opaque, b, map);
        return r < 0 ? r : skip_to(s, b->pages_at + b->used_bytes, err);
    }
    return r < 0 ? r : get_pages(s, b, map, err);
}

/* ---- the list of blocks ------------------------------------------------------------------------------------------ */

/* Only blocks with an unusual page size have this field, and no flag announces it. No name begins with a zero byte. */
static int get_host_page(struct gw_scan *s, struct gw_scan_block *b, struct gw_error *err)
{
    const uint8_t *p = NULL;
    int r = s->host_pages ? gw_reader_need(s->r, 8, &p, err) : 0;
    uint64_t v;

    if (r < 0 || !s->host_pages)
        return r;
    v = gw_load_be64(p);
    if (gw_is_pow2(v) && v > GW_RAMF_MULTIFD_FLUSH && v & s->host_pages) {
        b->host_page_bytes = v;
        gw_reader_skip(s->r, 8);
    }
    return 0;
}

static int get_block(struct gw_scan *s, uint64_t *left, struct gw_error *err)
{
    uint64_t at = gw_reader_offset(s->r);
    struct gw_wire_block entry;
    struct gw_scan_block *b;
    int r = gw_ram_list_get(&s->r->in, left, &entry, err);

    if (r < 0)
        return r;
    if (!entry.used_bytes || entry.used_bytes % s->page_bytes)
        return gw_reader_fail(s->r, -EPROTO, err, "byte %" PRIu64 ": RAM block %s has %" PRIu64 " bytes, which is not a "
                                               "whole number of pages", at, entry.name, entry.used_bytes);
    if (block_find(s, entry.name))
        return gw_reader_fail(s->r, -EPROTO, err, "byte %" PRIu64 ": RAM block %s is listed twice", at, entry.name);
    if (s->block_count == GW_SCAN_BLOCKS_MAX)
        return gw_reader_fail(s->r, -EPROTO, err, "byte %" PRIu64 ": more than %u RAM blocks", at, GW_SCAN_BLOCKS_MAX);
    b = block_add(s, err);
    if (!b)
        return -ENOMEM;
    memcpy(b->name, entry.name, sizeof entry.name);
    b->used_bytes = entry.used_bytes;
    r = get_host_page(s, b, err);
    if (r >= 0 && s->ignore_shared) {
        b->has_gpa = true;
        r = gw_get_u64(s->r, &b->gpa, err);
    }
    if (r < 0)
        return r;
    return s->mapped ? get_mapped(s, b, err) : GW_SCAN_TELL(s, block, b);
}

static int get_list(struct gw_scan *s, struct gw_error *err)
{
    uint64_t left, at = gw_reader_offset(s->r);
    int r;

    if (s->listed)
        return gw_reader_fail(s->r, -EPROTO, err, "a second RAM block list at byte %" PRIu64, at);
    r = gw_ram_list_get_total(&s->r->in, s->page_bytes, GW_SCAN_RAM_MAX, &left, err);
    s->listed = r >= 0;
    while (r >= 0 && left)
        r = get_block(s, &left, err);
    return r;
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

/* Leaves the record's payload in the reader. */
static int get_payload(struct gw_scan *s, const struct gw_ram_record *record, struct gw_scan_page *page,
                       struct gw_error *err)
{
    struct gw_in *in = &s->r->in;
    uint8_t fill;
    int r;

    switch (page->kind) {
    case GW_SCAN_ZERO:
        page->payload_bytes = 1;
        return gw_get_u8(in, &fill, err);
    case GW_SCAN_XBZRLE:
    case GW_SCAN_COMPRESSED:
        r = gw_ram_coded_get(in, record, s->page_bytes, &page->coded_bytes, err);
        page->payload_bytes = (page->kind == GW_SCAN_XBZRLE ? 3 : 4) + page->coded_bytes;
        return r < 0 ? r : gw_in_need(in, page->coded_bytes, &page->coded, err);
    default:
        page->payload_bytes = s->page_bytes;
        return gw_in_need(in, s->page_bytes, &page->data, err);
    }
}

static int get_page(struct gw_scan *s, const struct gw_ram_record *record, enum gw_scan_page_kind kind,
                    struct gw_error *err)
{
    struct gw_scan_page page = {.kind = kind, .offset = record->offset};
    int r;

    if (s->mapped)
        return gw_ram_record_wrong(&s->r->in, record, "not in a mapped-ram file", err);
    if (record->named) {
        s->last = block_find(s, record->name);
        if (!s->last)
            return gw_reader_fail(s->r, -EPROTO, err, "byte %" PRIu64 ": a page of RAM block %s, which is not listed",
                                  record->at, record->name);
    }
    if (!s->last)
        return gw_ram_record_wrong(&s->r->in, record, "it continues a RAM block, but none was named before", err);
    if (page.offset >= s->last->used_bytes)
        return gw_ram_record_wrong(&s->r->in, record, "beyond the end of its RAM block", err);
    page.block = s->last;
    page.head_bytes = (uint32_t)(gw_reader_offset(s->r) - record->at);
    r = get_payload(s, record, &page, err);
    if (r < 0)
        return r;
    page.at = gw_reader_offset(s->r);
    r = GW_SCAN_TELL(s, page, &page);
    gw_reader_skip(s->r, page.data ? s->page_bytes : page.coded_bytes);
    return r;
}

int gw_scan_ram(struct gw_scan *s, uint8_t element, struct gw_error *err)
{
    int r = element == GW_ELEMENT_START ? get_list(s, err) : 0;

    while (r >= 0) {
        struct gw_ram_record record;

        r = gw_ram_record_get(&s->r->in, s->page_bytes, &record, err);
        if (r < 0)
            break;
        switch (record.kind) {
        case GW_RAMF_EOS:
            return 0;
        case GW_RAMF_MULTIFD_FLUSH:
            r = s->v->flush ? s->v->flush(s->opaque) : 0;
            break;
        case GW_RAMF_ZERO:
            r = get_page(s, &record, GW_SCAN_ZERO, err);
            break;
        case GW_RAMF_PAGE:
            r = get_page(s, &record, GW_SCAN_PLAIN, err);
            break;
        case GW_RAMF_XBZRLE:
            r = get_page(s, &record, GW_SCAN_XBZRLE, err);
            break;
        default:
            r = get_page(s, &record, GW_SCAN_COMPRESSED, err);
        }
    }
    return r;
}
