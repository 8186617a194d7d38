/* SPDX-License-Identifier: MIT
 *
 * Opening a parked file: from the trailer to the parts. The index of pages and the frames are read on demand (read.c).
 */
#include "base/bitmap.h"
#include "image/parked/reader.h"

#include <endian.h>

#define PART_MAX (1u << 30) /* bytes of a part that is kept in memory */

/* Reads values from a part; `bad` stays set once a read went past its end. */
struct cursor {
    const uint8_t *p;
    size_t left;
    bool bad;
};

static const uint8_t *take(struct cursor *c, size_t bytes)
{
    static const uint8_t nothing[16];
    const uint8_t *p = c->p;

    if (bytes > c->left) {
        c->bad = true;
        return nothing;
    }
    c->p += bytes;
    c->left -= bytes;
    return p;
}

static uint64_t take_be64(struct cursor *c)
{
    return gw_load_be64(take(c, 8));
}

static uint32_t take_be32(struct cursor *c)
{
    return gw_load_be32(take(c, 4));
}

/* A text of up to 255 bytes without NUL. */
static void take_text(struct cursor *c, char dst[256])
{
    uint16_t n = gw_load_be16(take(c, 2));

    if (n > 255 || n > c->left || memchr(c->p, 0, n)) {
        c->bad = true;
        return;
    }
    memcpy(dst, take(c, n), n);
    dst[n] = 0;
    for (const char *p = dst; *p; p++) /* as in a stream: base/cursor.h */
        c->bad |= *p < 0x20 || *p > 0x7e;
}

static int load_part(struct gw_parked *p, const struct gw_parked_part *part, uint8_t **ret, struct gw_error *err)
{
    GW_AUTOFREE uint8_t *stored = NULL, *raw = NULL;
    struct gw_unpacker *u = NULL;
    uint32_t is;
    int r;

    if (part->bytes > PART_MAX)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "it has more than %u bytes", PART_MAX);
    /* One byte more: texts end with NUL in memory. */
    stored = malloc(part->bytes + 1);
    if (!stored)
        return gw_nomem(err, "part of a parked file");
    stored[part->bytes] = 0;
    r = gw_parked_pread(p, part->at, stored, part->bytes, err);
    if (r >= 0 && (is = gw_crc32c(0, stored, part->bytes)) != part->crc)
        r = gw_fail(err, -EPROTO, GW_BLAME_PEER, "its checksum is 0x%08x and should be 0x%08x", is, part->crc);
    if (r < 0 || !part->flags) {
        if (r >= 0) {
            *ret = stored;
            stored = NULL;
        }
        return r;
    }
    raw = malloc(part->raw_bytes + 1);
    r = raw ? gw_unpacker_new(NULL, &u, err) : gw_nomem(err, "part of a parked file");
    if (r >= 0 && !gw_unpacker_unpack(u, stored, part->bytes, raw, part->raw_bytes))
        r = gw_fail(err, -EPROTO, GW_BLAME_PEER, "it is not a zstd frame of %" PRIu64 " bytes", part->raw_bytes);
    gw_unpacker_free(u);
    if (r >= 0) {
        raw[part->raw_bytes] = 0;
        *ret = raw;
        raw = NULL;
    }
    return r;
}

/* ---- what the parts say -------------------------------------------------------------------------------------------
 */

static int malformed(struct gw_error *err)
{
    return gw_fail(err, -EPROTO, GW_BLAME_PEER, "its layout is invalid");
}

static int read_head(struct gw_image *image, struct cursor c, struct gw_error *err)
{
    uint8_t flags = *take(&c, 1);

    image->has_uuid = flags & 1;
    image->footers = flags >> 1 & 1;
    image->ram_id = take_be32(&c);
    memcpy(image->uuid, take(&c, 16), 16);
    take_text(&c, image->machine);
    return c.bad || c.left || flags > 3 ? malformed(err) : 0;
}

static int read_blocks(struct gw_image *image, struct cursor c, struct gw_error *err)
{
    uint32_t count = take_be32(&c);

    for (uint32_t i = 0; i < count && !c.bad; i++) {
        uint64_t used_bytes, host_page_bytes, gpa;
        struct gw_image_block *b;
        uint8_t flags;
        char name[256];
        int r;

        take_text(&c, name);
        flags = *take(&c, 1);
        used_bytes = take_be64(&c);
        host_page_bytes = take_be64(&c);
        gpa = take_be64(&c);
        if (c.bad || flags > 1)
            break;
        r = gw_image_add_block(image, name, used_bytes, &b, err);
        if (r < 0)
            return r;
        b->host_page_bytes = host_page_bytes;
        b->gpa = gpa;
        b->has_gpa = flags & 1;
    }
    return c.bad || c.left || image->block_count != count ? malformed(err) : 0;
}

static int read_page_directory(struct gw_image *image, struct cursor c, struct gw_error *err)
{
    struct gw_parked *p = image->own;
    uint64_t at = p->part[GW_PARKED_PAGES]->at, end = at + p->part[GW_PARKED_PAGES]->bytes;

    p->groups = calloc(image->block_count + 1, sizeof *p->groups);
    if (!p->groups)
        return gw_nomem(err, "page directory");
    for (unsigned i = 0; i < image->block_count; i++) {
        uint64_t groups = gw_div_up(image->blocks[i].pages, GW_PARKED_GROUP_PAGES);

        if (groups > c.left / GW_PARKED_PAGE_ENTRY)
            return malformed(err);
        p->groups[i] = calloc(groups + 1, sizeof **p->groups);
        if (!p->groups[i])
            return gw_nomem(err, "page directory");
        for (uint64_t g = 0; g < groups; g++) {
            struct gw_parked_group *to = &p->groups[i][g];

            to->at = at;
            to->bytes = take_be32(&c);
            to->crc = take_be32(&c);
            to->next = take_be32(&c);
            if (to->bytes > end - at || to->bytes > GW_PARKED_GROUP_PAGES * GW_PARKED_RUN_BYTES_MAX ||
                to->next > p->trailer.numbers)
                return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                               "RAM block %s from page %" PRIu64 " on: %u bytes of index, next page %u",
                               image->blocks[i].name, g * GW_PARKED_GROUP_PAGES, to->bytes, to->next);
            at += to->bytes;
        }
    }
    return c.left || at != end ? malformed(err) : 0;
}

static int read_frame_directory(struct gw_image *image, struct cursor c, struct gw_error *err)
{
    struct gw_parked *p = image->own;
    uint64_t before = GW_PARKED_HEADER_BYTES;

    p->frame_count = (uint32_t)gw_div_up(p->trailer.numbers, p->trailer.frame_pages);
    p->frames_groups = (uint32_t)gw_div_up(p->frame_count, GW_PARKED_GROUP_FRAMES);
    if (c.left != (uint64_t)p->frames_groups * GW_PARKED_FRAMES_ENTRY ||
        p->part[GW_PARKED_FRAMES]->bytes != (uint64_t)p->frame_count * GW_PARKED_FRAME_ENTRY ||
        (!p->frame_count && p->trailer.frames_end != before))
        return malformed(err);
    p->frames = calloc((size_t)p->frames_groups + 1, sizeof *p->frames);
    if (!p->frames)
        return gw_nomem(err, "frame directory");
    for (uint32_t i = 0; i < p->frames_groups; i++) {
        p->frames[i].at = take_be64(&c);
        p->frames[i].crc = take_be32(&c);
        if ((i ? p->frames[i].at <= before : p->frames[i].at != before) || p->frames[i].at >= p->trailer.frames_end)
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "frame %u cannot be at byte %" PRIu64,
                           i * GW_PARKED_GROUP_FRAMES, p->frames[i].at);
        before = p->frames[i].at;
    }
    return 0;
}

static int read_xml(struct gw_image *image, char *text, size_t bytes, struct gw_error *err)
{
    image->libvirt_xml = text;
    return strlen(text) == bytes ? 0 : malformed(err);
}

/* The number of bytes of the early devices that came before the RAM's START. */
static int read_early_split(struct gw_image *image, struct cursor c, struct gw_error *err)
{
    uint64_t before = take_be64(&c);

    if (c.bad || c.left || before > image->early_bytes)
        return malformed(err);
    image->early_before = (size_t)before;
    return 0;
}

/* Must be the machine of the head; has more details. */
static int read_configuration(struct gw_image *image, const uint8_t *data, size_t bytes, struct gw_error *err)
{
    struct gw_wire_head *head = malloc(sizeof *head);
    int r = head ? gw_head_get_raw(data, bytes, head, err) : gw_nomem(err, "configuration");

    if (r >= 0 && (strcmp(head->machine, image->machine) || (head->page_bits && head->page_bits != image->page_bits) ||
                   head->has_uuid != image->has_uuid || memcmp(head->uuid, image->uuid, sizeof head->uuid)))
        r = gw_fail(err, -EPROTO, GW_BLAME_PEER, "its head describes another machine");
    if (r >= 0)
        r = gw_image_keep_head(image, head, err);
    free(head);
    return r;
}

/* Whether it ran, and the cookie, if any. */
static int read_libvirt_state(struct gw_image *image, char *data, size_t bytes, struct gw_error *err)
{
    if (!bytes || data[0] & ~1 || strlen(data + 1) != bytes - 1)
        return malformed(err);
    image->libvirt_saved = true;
    image->libvirt_was_running = data[0];
    if (bytes == 1)
        return 0;
    image->libvirt_cookie = malloc(bytes);
    if (!image->libvirt_cookie)
        return gw_nomem(err, "libvirt's cookie");
    memcpy(image->libvirt_cookie, data + 1, bytes); /* includes the NUL that always follows a part */
    return 0;
}

/* The pages that have arrived, of an incomplete machine. */
static int read_received(struct gw_image *image, const uint8_t *data, size_t bytes, struct gw_error *err)
{
    size_t words = 0, at = 0;

    for (unsigned i = 0; i < image->block_count; i++)
        words += gw_bitmap_words(image->blocks[i].pages);
    if (bytes / 8 != words || bytes % 8)
        return malformed(err);
    for (unsigned i = 0; i < image->block_count; i++) {
        uint64_t pages = image->blocks[i].pages, *map = calloc(GW_MAX(gw_bitmap_words(pages), 1u), sizeof *map);
        int r;

        for (size_t w = 0; map && w < gw_bitmap_words(pages); w++, at += 8) {
            memcpy(&map[w], data + at, 8);
            map[w] = le64toh(map[w]);
        }
        if (map && pages % 64 && map[pages / 64] >> pages % 64) {
            free(map);
            return malformed(err);
        }
        r = map ? gw_image_lacks(image, i, map, err) : gw_nomem(err, "map of received pages");
        if (r < 0)
            return r;
    }
    return 0;
}

/* Reads a required part, or an empty one. */
static int read_part(struct gw_image *image, uint32_t kind, struct gw_error *err)
{
    struct gw_parked *p = image->own;
    const struct gw_parked_part *part = p->part[kind];
    uint8_t *data = NULL;
    struct cursor c;
    int r;

    if (!part)
        return 0;
    r = load_part(p, part, &data, err);
    if (r >= 0) {
        c = (struct cursor){data, part->raw_bytes, false};
        switch (kind) {
        case GW_PARKED_HEAD:
            r = read_head(image, c, err);
            break;
        case GW_PARKED_BLOCKS:
            r = read_blocks(image, c, err);
            break;
        case GW_PARKED_PAGE_DIRECTORY:
            r = read_page_directory(image, c, err);
            break;
        case GW_PARKED_FRAME_DIRECTORY:
            r = read_frame_directory(image, c, err);
            break;
        case GW_PARKED_EARLY:
            image->early = data;
            image->early_bytes = image->early_before = part->raw_bytes;
            data = NULL;
            break;
        case GW_PARKED_DEVICES:
            image->devices = data;
            image->devices_bytes = part->raw_bytes;
            data = NULL;
            break;
        case GW_PARKED_DESCRIPTION:
            image->description = (char *)data;
            image->description_bytes = part->raw_bytes;
            data = NULL;
            break;
        case GW_PARKED_LIBVIRT_XML:
            r = read_xml(image, (char *)data, part->raw_bytes, err);
            data = NULL;
            break;
        case GW_PARKED_LIBVIRT_STATE:
            r = read_libvirt_state(image, (char *)data, part->raw_bytes, err);
            break;
        case GW_PARKED_EARLY_SPLIT:
            r = read_early_split(image, c, err);
            break;
        case GW_PARKED_CONFIGURATION:
            r = read_configuration(image, data, part->raw_bytes, err);
            break;
        case GW_PARKED_LIVE:
            r = gw_image_unpack_others(image, data, part->raw_bytes, err);
            break;
        case GW_PARKED_RECEIVED:
            r = read_received(image, data, part->raw_bytes, err);
            break;
        case GW_PARKED_DICTIONARY:
            r = gw_dictionary_new(data, part->raw_bytes, 0, &p->dictionary, err);
            break;
        default:
            break;
        }
    }
    free(data);
    if (r < 0)
        gw_context(err, "%s, %" PRIu64 " bytes at byte %" PRIu64, gw_parked_part_name(kind), part->bytes, part->at);
    return r;
}

/* ---- the file -----------------------------------------------------------------------------------------------------
 */

static int read_trailer(struct gw_parked *p, struct gw_error *err)
{
    uint8_t bytes[GW_PARKED_TRAILER_BYTES], header[GW_PARKED_HEADER_BYTES] = {0};
    struct gw_parked_trailer *t = &p->trailer;
    uint64_t at, end;
    int r = p->bytes->size < sizeof header ? 0 : gw_parked_pread(p, 0, header, sizeof header, err);

    if (r < 0)
        return r;
    end = gw_parked_find_end(p, header);
    if (end < GW_PARKED_HEADER_BYTES + GW_PARKED_TRAILER_BYTES)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "byte %" PRIu64 ": the file ends, too short to have a trailer",
                       end);
    at = end - sizeof bytes;
    r = gw_parked_pread(p, at, bytes, sizeof bytes, err);
    if (r >= 0)
        r = gw_parked_get_trailer(bytes, end, t, err);
    if (r < 0) {
        gw_context(err, "trailer at byte %" PRIu64, at);
        return r;
    }
    /* The parts are contiguous: one access instead of ten on a slow disk, and the index is read ahead too. */
    gw_bytes_ahead(p->bytes, t->frames_end, at - t->frames_end);
    return gw_parked_check_header(header, t, err);
}

static int take_parts(struct gw_parked *p, struct gw_error *err)
{
    const struct gw_parked_trailer *t = &p->trailer;
    bool packed = t->needs & GW_PARKED_NEEDS_ZSTD;

    if (packed && !gw_pack_known())
        return gw_fail(err, -ENOTSUP, GW_BLAME_LOCAL,
                       "it is compressed with zstd, which this godwit was built without");
    for (uint32_t i = 0; i < t->part_count; i++) {
        const struct gw_parked_part *part = &t->parts[i];

        if (part->kind >= GW_PARKED_PART_KINDS)
            continue; /* of a later version of godwit, and optional */
        if (part->flags && !packed)
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "%s: it is marked as compressed, in a file that is not compressed",
                           gw_parked_part_name(part->kind));
        p->part[part->kind] = part;
    }
    for (uint32_t kind = GW_PARKED_HEAD; kind <= GW_PARKED_FRAMES; kind++)
        if (!p->part[kind])
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "it has no %s", gw_parked_part_name(kind));
    if (!(t->needs & GW_PARKED_NEEDS_RECEIVED) != !p->part[GW_PARKED_RECEIVED])
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "it needs 0x%x, and has %s map of received pages", t->needs,
                       p->part[GW_PARKED_RECEIVED] ? "a" : "no");
    if (!(t->needs & GW_PARKED_NEEDS_DICTIONARY) != !p->part[GW_PARKED_DICTIONARY] ||
        (t->needs & GW_PARKED_NEEDS_DICTIONARY && !packed))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "it needs 0x%x, and has %s dictionary", t->needs,
                       p->part[GW_PARKED_DICTIONARY] ? "a" : "no");
    return 0;
}

int gw_parked_open(int fd, const char *name, struct gw_image *image, struct gw_error *err)
{
    struct gw_bytes *bytes;
    int r = gw_bytes_file_new(fd, &bytes, err);

    if (r >= 0)
        return gw_parked_open_bytes(bytes, name, image, err);
    gw_context(err, "%s", name);
    return r;
}

int gw_parked_open_bytes(struct gw_bytes *take_bytes, const char *name, struct gw_image *image, struct gw_error *err)
{
    struct gw_parked *p = calloc(1, sizeof *p);
    int r;

    if (!p) {
        gw_bytes_free(take_bytes);
        return gw_nomem(err, "parked file");
    }
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->changed, NULL);
    p->bytes = take_bytes;
    image->depth = take_bytes->depth;
    gw_strcopy(p->name, sizeof p->name, name);
    image->format = GW_IMAGE_PARKED;
    image->ops = &gw_parked_ops; /* from here on gw_image_free frees everything */
    image->own = p;

    r = read_trailer(p, err);
    if (r >= 0)
        r = take_parts(p, err);
    if (r >= 0) {
        image->page_bytes = p->trailer.page_bytes;
        image->page_bits = (unsigned)__builtin_ctz(image->page_bytes);
        image->stored_pages = p->trailer.numbers;
        p->frame_bytes = p->trailer.frame_pages * p->trailer.page_bytes;
        gw_bulk_open(&p->bulk, p->bytes);
        r = gw_parked_frames_open(p, err);
    }
    for (uint32_t kind = GW_PARKED_HEAD; kind < GW_PARKED_PART_KINDS && r >= 0; kind++)
        if (kind != GW_PARKED_PAGES && kind != GW_PARKED_FRAMES)
            r = read_part(image, kind, err);
    if (r < 0)
        gw_context(err, "%s", p->name);
    return r;
}
