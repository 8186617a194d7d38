/* SPDX-License-Identifier: MIT */
#include "image/parked/tail.h"

#include <endian.h>

#include "base/bitmap.h"
#include "base/cursor.h"

static int reserve(struct gw_parked_buffer *b, size_t more, struct gw_error *err)
{
    size_t room = GW_MAX(b->room * 2, 4096u);
    uint8_t *grown;

    if (more <= b->room - b->bytes)
        return 0;
    while (room - b->bytes < more)
        room *= 2;
    grown = realloc(b->data, room);
    if (!grown)
        return gw_nomem(err, "index of a parked file");
    b->data = grown;
    b->room = room;
    return 0;
}

/* Extends the buffer within its reserved size. */
static uint8_t *extend(struct gw_parked_buffer *b, size_t bytes)
{
    uint8_t *p = b->data + b->bytes;

    b->bytes += bytes;
    return p;
}

int gw_parked_tail_put(struct gw_parked_tail *t, const void *src, size_t bytes, struct gw_error *err)
{
    int r = t->put(t->opaque, src, bytes, err);

    if (r >= 0)
        t->at += bytes;
    return r;
}

/* ---- the index ----------------------------------------------------------------------------------------------------
 */

int gw_parked_tail_group(struct gw_parked_tail *t, const struct gw_parked_runs *runs, uint32_t first,
                         struct gw_error *err)
{
    int r = reserve(&t->pages, runs->bytes, err);
    uint8_t *entry;

    if (r >= 0)
        r = reserve(&t->page_directory, GW_PARKED_PAGE_ENTRY, err);
    if (r < 0)
        return r;
    if (runs->bytes)
        memcpy(extend(&t->pages, runs->bytes), runs->out, runs->bytes);
    entry = extend(&t->page_directory, GW_PARKED_PAGE_ENTRY);
    gw_store_be32(entry, runs->bytes);
    gw_store_be32(entry + 4, gw_crc32c(0, runs->out, runs->bytes));
    gw_store_be32(entry + 8, first);
    return 0;
}

int gw_parked_tail_frame(struct gw_parked_tail *t, uint32_t bytes, uint32_t crc, struct gw_error *err)
{
    int r = reserve(&t->frames, GW_PARKED_FRAME_ENTRY, err);
    uint8_t *entry;

    if (r < 0)
        return r;
    entry = extend(&t->frames, GW_PARKED_FRAME_ENTRY);
    gw_store_be32(entry, bytes);
    gw_store_be32(entry + 4, crc);
    return 0;
}

/* ---- parts --------------------------------------------------------------------------------------------------------
 */

/* packer NULL: not compressed. */
static int write_part(struct gw_parked_tail *t, uint32_t kind, const void *data, size_t bytes, struct gw_packer *packer,
                      struct gw_error *err)
{
    struct gw_parked_part *part = &t->trailer.parts[t->trailer.part_count++];
    GW_AUTOFREE uint8_t *packed = NULL;
    size_t n = 0;
    int r;

    if (packer && bytes && bytes <= GW_PARKED_UNPACKED_MAX) {
        packed = malloc(bytes);
        if (!packed)
            return gw_nomem(err, gw_parked_part_name(kind));
        n = gw_packer_pack(packer, data, bytes, packed, bytes - 1);
    }
    *part = (struct gw_parked_part){.kind = kind, .at = t->at, .bytes = n ? n : bytes, .raw_bytes = bytes};
    part->flags = n ? GW_PARKED_PART_ZSTD : 0;
    part->crc = gw_crc32c(0, n ? packed : data, part->bytes);
    r = gw_parked_tail_put(t, n ? packed : data, part->bytes, err);
    if (r < 0)
        gw_context(err, "%s", gw_parked_part_name(kind));
    return r;
}

static void put_text(struct gw_parked_buffer *b, const char *text)
{
    size_t n = strlen(text);

    gw_store_be16(extend(b, 2), (uint16_t)n);
    memcpy(extend(b, n), text, n);
}

static int put_head(const struct gw_image *image, struct gw_parked_buffer *b, struct gw_error *err)
{
    int r = reserve(b, 1 + 4 + 16 + 2 + sizeof image->machine, err);

    if (r < 0)
        return r;
    *extend(b, 1) = (uint8_t)(image->has_uuid | image->footers << 1);
    gw_store_be32(extend(b, 4), image->ram_id);
    memcpy(extend(b, 16), image->uuid, 16);
    put_text(b, image->machine);
    return 0;
}

static int put_blocks(const struct gw_image *image, struct gw_parked_buffer *b, struct gw_error *err)
{
    int r = reserve(b, 4, err);

    if (r >= 0)
        gw_store_be32(extend(b, 4), image->block_count);
    for (unsigned i = 0; i < image->block_count && r >= 0; i++) {
        const struct gw_image_block *block = &image->blocks[i];

        r = reserve(b, 2 + sizeof block->name + 1 + 3 * 8, err);
        if (r < 0)
            break;
        put_text(b, block->name);
        *extend(b, 1) = block->has_gpa;
        gw_store_be64(extend(b, 8), block->used_bytes);
        gw_store_be64(extend(b, 8), block->host_page_bytes);
        gw_store_be64(extend(b, 8), block->gpa);
    }
    return r;
}

static int put_frame_directory(struct gw_parked_tail *t, struct gw_parked_buffer *b, struct gw_error *err)
{
    const size_t step = (size_t)GW_PARKED_GROUP_FRAMES * GW_PARKED_FRAME_ENTRY;
    uint64_t at = GW_PARKED_HEADER_BYTES;

    for (size_t i = 0; i < t->frames.bytes; i += step) {
        size_t n = GW_MIN(step, t->frames.bytes - i);
        int r = reserve(b, GW_PARKED_FRAMES_ENTRY, err);

        if (r < 0)
            return r;
        gw_store_be64(extend(b, 8), at);
        gw_store_be32(extend(b, 4), gw_crc32c(0, t->frames.data + i, n));
        for (size_t k = 0; k < n; k += GW_PARKED_FRAME_ENTRY)
            at += gw_load_be32(t->frames.data + i + k);
    }
    return 0;
}

/* The cookie is valid only with the image's own XML. */
static int put_libvirt_state(const struct gw_image *image, const char *xml, struct gw_parked_buffer *b,
                             struct gw_error *err)
{
    const char *cookie = xml == image->libvirt_xml && image->libvirt_cookie ? image->libvirt_cookie : "";
    size_t n = strlen(cookie);
    int r = image->libvirt_saved ? reserve(b, 1 + n, err) : 0;

    if (r < 0 || !image->libvirt_saved)
        return r;
    *extend(b, 1) = image->libvirt_was_running;
    memcpy(extend(b, n), cookie, n);
    return 0;
}

static const uint8_t *pack_others(const struct gw_image *image, struct gw_out *out, size_t *ret_bytes)
{
    gw_out_memory(out);
    gw_image_pack_others(image, out);
    return gw_out_data(out, ret_bytes);
}

/* A bit for each page of each block, the first page in the lowest bit of a byte; each block begins with a word of its own. */
static int put_received(const struct gw_image *image, struct gw_parked_buffer *b, struct gw_error *err)
{
    for (unsigned i = 0; image->received && i < image->block_count; i++) {
        size_t words = gw_bitmap_words(image->blocks[i].pages);
        int r = reserve(b, words * 8, err);

        if (r < 0)
            return r;
        for (size_t w = 0; w < words; w++) {
            uint64_t word = htole64(image->received[i] ? image->received[i][w] : 0);

            memcpy(extend(b, sizeof word), &word, sizeof word);
        }
    }
    return 0;
}

static int write_parts(struct gw_parked_tail *t, const struct gw_image *image, const char *xml,
                       struct gw_packer *packer, struct gw_error *err)
{
    struct gw_parked_buffer head = {0}, blocks = {0}, directory = {0}, state = {0}, received = {0};
    struct gw_out live;
    size_t live_bytes;
    uint8_t split[8];
    const uint8_t *live_data = pack_others(image, &live, &live_bytes);
    const struct {
        uint32_t kind;
        const void *data;
        size_t bytes;
    } blobs[] = {
        {GW_PARKED_EARLY, image->early, image->early_bytes},
        {GW_PARKED_DEVICES, image->devices, image->devices_bytes},
        {GW_PARKED_DESCRIPTION, image->description, image->description_bytes},
        {GW_PARKED_LIBVIRT_XML, xml, xml ? strlen(xml) : 0},
        {GW_PARKED_EARLY_SPLIT, split, image->early_before < image->early_bytes ? sizeof split : 0},
        {GW_PARKED_CONFIGURATION, image->head ? image->head->raw : NULL, image->head ? image->head->raw_bytes : 0},
        {GW_PARKED_LIVE, live_data, live_bytes},
        {GW_PARKED_DICTIONARY, t->dictionary, t->dictionary_bytes},
    };
    int r = gw_out_error(&live, err);

    if (r >= 0)
        r = put_head(image, &head, err);
    gw_store_be64(split, image->early_before);
    if (r >= 0)
        r = put_libvirt_state(image, xml, &state, err);
    if (r >= 0)
        r = put_received(image, &received, err);
    if (r >= 0)
        r = put_blocks(image, &blocks, err);
    if (r >= 0)
        r = put_frame_directory(t, &directory, err);
    if (r >= 0)
        r = write_part(t, GW_PARKED_HEAD, head.data, head.bytes, NULL, err);
    if (r >= 0)
        r = write_part(t, GW_PARKED_BLOCKS, blocks.data, blocks.bytes, packer, err);
    if (r >= 0)
        r = write_part(t, GW_PARKED_PAGE_DIRECTORY, t->page_directory.data, t->page_directory.bytes, packer, err);
    if (r >= 0)
        r = write_part(t, GW_PARKED_PAGES, t->pages.data, t->pages.bytes, NULL, err);
    if (r >= 0)
        r = write_part(t, GW_PARKED_FRAME_DIRECTORY, directory.data, directory.bytes, packer, err);
    if (r >= 0)
        r = write_part(t, GW_PARKED_FRAMES, t->frames.data, t->frames.bytes, NULL, err);
    for (size_t i = 0; i < GW_ARRAY_LEN(blobs) && r >= 0; i++)
        if (blobs[i].bytes)
            r = write_part(t, blobs[i].kind, blobs[i].data, blobs[i].bytes, packer, err);
    if (r >= 0 && state.bytes)
        r = write_part(t, GW_PARKED_LIBVIRT_STATE, state.data, state.bytes, packer, err);
    if (r >= 0 && received.bytes)
        r = write_part(t, GW_PARKED_RECEIVED, received.data, received.bytes, packer, err);
    free(received.data);
    gw_out_free(&live);
    free(state.data);
    free(head.data);
    free(blocks.data);
    free(directory.data);
    return r;
}

int gw_parked_tail_write(struct gw_parked_tail *t, const struct gw_image *image, const char *xml,
                         struct gw_packer *packer, struct gw_error *err)
{
    uint8_t bytes[GW_PARKED_TRAILER_BYTES];
    int r;

    t->trailer.frames_end = t->at;
    r = write_parts(t, image, xml ? xml : image->libvirt_xml, packer, err);
    if (r < 0)
        return r;
    t->trailer.file_bytes = t->at + sizeof bytes;
    gw_parked_put_trailer(bytes, &t->trailer);
    return gw_parked_tail_put(t, bytes, sizeof bytes, err);
}

void gw_parked_tail_close(struct gw_parked_tail *t)
{
    free(t->pages.data);
    free(t->page_directory.data);
    free(t->frames.data);
    t->pages = t->page_directory = t->frames = (struct gw_parked_buffer){0};
}
