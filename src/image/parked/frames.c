/* SPDX-License-Identifier: MIT
 *
 * Frames of a parked file: their offsets, their contents, and a cache of unpacked frames.
 *
 * The cache is set-associative: a lookup takes a few comparisons.
 */
#include "image/parked/reader.h"

#define CACHE_BYTES (4u << 20) /* of unpacked frames */
#define WAYS        4u         /* slots of a set */

int gw_parked_pread(struct gw_parked *p, uint64_t at, void *dst, size_t bytes, struct gw_error *err)
{
    return gw_bytes_read(p->bytes, dst, bytes, at, err);
}

int gw_parked_load(struct gw_parked *p, uint64_t at, size_t bytes, uint32_t crc, uint8_t **ret, struct gw_error *err)
{
    uint8_t *data = malloc(bytes);
    uint32_t is;
    int r;

    if (!data)
        return gw_nomem(err, "index");
    r = gw_parked_pread(p, at, data, bytes, err);
    if (r >= 0 && (is = gw_crc32c(0, data, bytes)) != crc)
        r = gw_fail(err, -EPROTO, GW_BLAME_PEER, "its checksum is 0x%08x and should be 0x%08x", is, crc);
    if (r < 0)
        free(data);
    else
        *ret = data;
    return r;
}

const uint8_t *gw_parked_publish(_Atomic(uint8_t *) *where, uint8_t *data)
{
    uint8_t *before = NULL;

    if (atomic_compare_exchange_strong(where, &before, data))
        return data;
    free(data);
    return before;
}

/* ---- one frame ----------------------------------------------------------------------------------------------------
 */

static uint32_t raw_bytes(const struct gw_parked *p, uint32_t frame)
{
    uint64_t first = (uint64_t)frame * p->trailer.frame_pages;

    return (uint32_t)GW_MIN(p->trailer.numbers - first, p->trailer.frame_pages) * p->trailer.page_bytes;
}

int gw_parked_find_frame(struct gw_parked *p, uint32_t frame, struct gw_parked_extent *ret, struct gw_error *err)
{
    uint32_t group = frame / GW_PARKED_GROUP_FRAMES, in_group = frame % GW_PARKED_GROUP_FRAMES;
    uint32_t count = GW_MIN(p->frame_count - group * GW_PARKED_GROUP_FRAMES, GW_PARKED_GROUP_FRAMES);
    struct gw_parked_frames *g = &p->frames[group];
    const uint8_t *table = atomic_load(&g->table);
    uint64_t at = p->part[GW_PARKED_FRAMES]->at + (uint64_t)group * GW_PARKED_GROUP_FRAMES * GW_PARKED_FRAME_ENTRY;
    uint64_t end = group + 1 < p->frames_groups ? p->frames[group + 1].at : p->trailer.frames_end;
    struct gw_parked_extent x = {.at = g->at, .raw_bytes = raw_bytes(p, frame)};
    uint8_t *data;

    if (!table) {
        int r = gw_parked_load(p, at, count * GW_PARKED_FRAME_ENTRY, g->crc, &data, err);

        if (r < 0) {
            gw_context(err, "frame table from frame %u on, at byte %" PRIu64, group * GW_PARKED_GROUP_FRAMES, at);
            return r;
        }
        table = gw_parked_publish(&g->table, data);
    }
    for (uint32_t i = 0; i < in_group; i++)
        x.at += gw_load_be32(table + i * GW_PARKED_FRAME_ENTRY);
    x.bytes = gw_load_be32(table + in_group * GW_PARKED_FRAME_ENTRY);
    x.crc = gw_load_be32(table + in_group * GW_PARKED_FRAME_ENTRY + 4);
    if (!x.bytes || x.bytes > x.raw_bytes || x.at > end || x.bytes > end - x.at ||
        (in_group + 1 == count && x.at + x.bytes != end))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "frame %u: %u bytes at byte %" PRIu64 ", where they do not fit",
                       frame, x.bytes, x.at);
    *ret = x;
    return 0;
}

int gw_parked_get_decoder(struct gw_parked *p, struct gw_parked_decoder **ret, struct gw_error *err)
{
    struct gw_parked_decoder *d;
    int r = 0;

    pthread_mutex_lock(&p->lock);
    d = p->decoders;
    if (d)
        p->decoders = d->next;
    pthread_mutex_unlock(&p->lock);
    if (!d) {
        d = calloc(1, sizeof *d);
        if (d)
            d->stored = malloc(p->frame_bytes);
        if (!d || !d->stored)
            r = gw_nomem(err, "decoder");
        else if (p->trailer.needs & GW_PARKED_NEEDS_ZSTD)
            r = gw_unpacker_new(p->dictionary, &d->unpacker, err);
        if (r < 0) {
            if (d)
                free(d->stored);
            free(d);
            return r;
        }
    }
    *ret = d;
    return 0;
}

void gw_parked_put_decoder(struct gw_parked *p, struct gw_parked_decoder *d)
{
    pthread_mutex_lock(&p->lock);
    d->next = p->decoders;
    p->decoders = d;
    pthread_mutex_unlock(&p->lock);
}

int gw_parked_unpack(struct gw_parked *p, struct gw_parked_decoder *d, uint32_t frame, const struct gw_parked_extent *x,
                     const uint8_t *stored, uint8_t *dst, struct gw_error *err)
{
    bool packed = x->bytes != x->raw_bytes;
    uint32_t is;
    int r = 0;

    if (!stored) {
        r = gw_parked_pread(p, x->at, packed ? d->stored : dst, x->bytes, err);
        stored = packed ? d->stored : dst;
    }
    if (r >= 0 && (is = gw_crc32c(0, stored, x->bytes)) != x->crc)
        r = gw_fail(err, -EPROTO, GW_BLAME_PEER, "its checksum is 0x%08x and should be 0x%08x", is, x->crc);
    else if (r >= 0 && packed &&
             (!d->unpacker || !gw_unpacker_unpack(d->unpacker, stored, x->bytes, dst, x->raw_bytes)))
        r = gw_fail(err, -EPROTO, GW_BLAME_PEER, "it is not a zstd frame of %u bytes", x->raw_bytes);
    else if (r >= 0 && !packed && stored != dst)
        memcpy(dst, stored, x->bytes);
    if (r < 0)
        gw_context(err, "frame %u, bytes %" PRIu64 " to %" PRIu64, frame, x->at, x->at + x->bytes);
    return r;
}

/* ---- those that are kept ------------------------------------------------------------------------------------------
 *
 * All of this under the lock.
 */

/* The frame's slot, or one that can be reused for it; NULL: all slots of its set are in use. */
static struct gw_parked_slot *find_slot(struct gw_parked *p, uint32_t frame)
{
    struct gw_parked_slot *set = &p->slots[frame % (p->slot_count / WAYS) * WAYS], *oldest = NULL;

    for (unsigned i = 0; i < WAYS; i++) {
        struct gw_parked_slot *s = &set[i];

        if (s->state != GW_SLOT_EMPTY && s->frame == frame)
            return s;
        if (s->state == GW_SLOT_BUSY || s->pins)
            continue;
        if (!oldest || s->used < oldest->used)
            oldest = s;
    }
    return oldest;
}

/* Fills a slot that is neither busy nor pinned; the lock is released meanwhile. */
static int fill_slot(struct gw_parked *p, struct gw_parked_decoder *d, struct gw_parked_slot *s, uint32_t frame,
                     const struct gw_parked_extent *x, const uint8_t *stored, struct gw_error *err)
{
    int r;

    s->state = GW_SLOT_BUSY;
    s->frame = frame;
    pthread_mutex_unlock(&p->lock);
    if (!s->pages)
        s->pages = malloc(p->frame_bytes);
    r = s->pages ? gw_parked_unpack(p, d, frame, x, stored, s->pages, err) : gw_nomem(err, "frame");
    pthread_mutex_lock(&p->lock);
    s->state = r < 0 ? GW_SLOT_EMPTY : GW_SLOT_READY;
    s->used = r < 0 ? 0 : ++p->clock;
    pthread_cond_broadcast(&p->changed);
    return r;
}

int gw_parked_pin(struct gw_parked *p, struct gw_parked_decoder *d, uint32_t frame, const struct gw_parked_extent *x,
                  const uint8_t *stored, struct gw_parked_slot **ret, struct gw_error *err)
{
    struct gw_parked_slot *s;
    int r = 0;

    pthread_mutex_lock(&p->lock);
    while (!(s = find_slot(p, frame)) || s->state == GW_SLOT_BUSY)
        pthread_cond_wait(&p->changed, &p->lock);
    if (s->state != GW_SLOT_READY || s->frame != frame)
        r = fill_slot(p, d, s, frame, x, stored, err);
    if (r >= 0) {
        s->pins++;
        s->used = ++p->clock;
        *ret = s;
    }
    pthread_mutex_unlock(&p->lock);
    return r;
}

void gw_parked_unpin(struct gw_parked *p, struct gw_parked_slot *s)
{
    pthread_mutex_lock(&p->lock);
    if (!--s->pins)
        pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

int gw_parked_frames_open(struct gw_parked *p, struct gw_error *err)
{
    unsigned sets = GW_MAX(CACHE_BYTES / p->frame_bytes / WAYS, 1u);

    p->slot_count = sets * WAYS;
    p->slots = calloc(p->slot_count, sizeof *p->slots);
    return p->slots ? 0 : gw_nomem(err, "frames");
}

void gw_parked_frames_close(struct gw_parked *p)
{
    for (unsigned i = 0; p->slots && i < p->slot_count; i++)
        free(p->slots[i].pages);
    free(p->slots);
    while (p->decoders) {
        struct gw_parked_decoder *d = p->decoders;

        p->decoders = d->next;
        gw_unpacker_free(d->unpacker);
        free(d->stored);
        free(d->bulk);
        free(d);
    }
    gw_dictionary_free(p->dictionary);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->changed);
}
