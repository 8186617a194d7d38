/* SPDX-License-Identifier: MIT */
#include "ram/codec/xbzrle.h"

#include "ram/codec/xbzrle_cache.h"
#include "ram/codec/xbzrle_delta.h"

#define RECORD_BYTES 3u /* bytes of a record between its head and the delta */
#define AHEAD        8u /* index entries are prefetched so many pages ahead */
#define PERIOD_NS    GW_NS_PER_S

struct xbzrle {
    struct gw_codec codec;
    const struct gw_ram *ram;
    struct gw_clock clock;
    const struct gw_xbzrle *delta;
    struct gw_xbzrle_cache *cache;
    uint64_t *first;   /* key of the first page of each block */
    uint8_t *copy;     /* of the page that is being encoded */
    bool started;      /* the first pass is over */
    bool last;         /* the machine is stopped */
    bool off;          /* the machine runs at the destination: pages are sent whole */
    uint64_t handled;  /* pages of all forms in this accounting period */
    uint64_t began_ns; /* start of the period */
    struct gw_xbzrle_counters counters;
};

static struct xbzrle *of(struct gw_codec *codec)
{
    return GW_CONTAINER(codec, struct xbzrle, codec);
}

/* ---- sending ------------------------------------------------------------------------------------------------------
 */

/* Copies the page into the cache, and sends the cached copy. */
static int send_whole(struct xbzrle *x, struct gw_batch *batch, unsigned i, uint8_t *cached, struct gw_error *err)
{
    uint32_t bytes = x->ram->page_bytes;
    uint8_t *room = gw_batch_room(batch, i, bytes);

    if (!room)
        return gw_nomem(err, "copy of a page");
    memcpy(room, x->copy, bytes);
    if (!x->last)
        memcpy(cached, x->copy, bytes);
    batch->body[i] = (struct gw_body){room, bytes};
    return 0;
}

static int encode_miss(struct xbzrle *x, struct gw_batch *batch, unsigned i, uint64_t key, struct gw_error *err)
{
    uint8_t *slot = x->last ? NULL : gw_xbzrle_cache_put(x->cache, key);

    gw_xbzrle_counters_add(&x->counters, GW_XBZRLE_MISSED, 0);
    if (!slot)
        return 0;
    memcpy(x->copy, batch->body[i].data, x->ram->page_bytes);
    return send_whole(x, batch, i, slot, err);
}

static int encode_hit(struct xbzrle *x, struct gw_batch *batch, unsigned i, uint8_t *cached, struct gw_error *err)
{
    uint32_t bytes = x->ram->page_bytes;
    uint8_t *room = gw_batch_room(batch, i, bytes);
    int n;

    if (!room)
        return gw_nomem(err, "difference of a page");
    memcpy(x->copy, batch->body[i].data, bytes);
    n = x->delta->encode(cached, x->copy, bytes, room, bytes - 1);
    if (n == GW_XBZRLE_OVERFLOW) {
        gw_xbzrle_counters_add(&x->counters, GW_XBZRLE_OVERFLOWED, bytes);
        return send_whole(x, batch, i, cached, err);
    }
    if (!n) {
        gw_xbzrle_counters_add(&x->counters, GW_XBZRLE_UNCHANGED, 0);
        batch->form[i] = GW_FORM_SAME;
        return 0;
    }
    gw_xbzrle_counters_add(&x->counters, GW_XBZRLE_CODED, RECORD_BYTES + (uint32_t)n);
    batch->form[i] = GW_FORM_XBZRLE;
    batch->body[i] = (struct gw_body){room, (uint32_t)n};
    /* Applying the delta gives the same as copying the page, and is cheaper if little changed. */
    return x->last ? 0 : gw_xbzrle_decode(room, (uint32_t)n, cached, bytes, err);
}

static int encode(struct gw_codec *codec, struct gw_batch *batch, struct gw_error *err)
{
    struct xbzrle *x = of(codec);
    uint64_t first = x->first[batch->block->index];
    int r = 0;

    x->handled += batch->count;
    if (!x->started || x->off)
        return 0;
    for (unsigned i = 0; i < batch->count && i < AHEAD; i++)
        gw_xbzrle_cache_prefetch(x->cache, first + batch->page[i]);
    for (unsigned i = 0; r >= 0 && i < batch->count; i++) {
        uint64_t key = first + batch->page[i];
        uint8_t *cached;

        if (i + AHEAD < batch->count)
            gw_xbzrle_cache_prefetch(x->cache, first + batch->page[i + AHEAD]);
        if (batch->form[i] == GW_FORM_ZERO && !x->last)
            gw_xbzrle_cache_zero(x->cache, key);
        if (batch->form[i] != GW_FORM_OPEN)
            continue;
        cached = gw_xbzrle_cache_find(x->cache, key);
        r = cached ? encode_hit(x, batch, i, cached, err) : encode_miss(x, batch, i, key, err);
    }
    return r;
}

static int barrier(struct gw_codec *codec, enum gw_barrier kind, struct gw_error *err)
{
    struct xbzrle *x = of(codec);
    uint64_t now;

    x->off |= kind == GW_BARRIER_POSTCOPY; /* after this the destination accepts only whole pages */
    if (kind != GW_BARRIER_ROUND && kind != GW_BARRIER_SWITCH)
        return 0;
    x->started = true;
    x->last = kind == GW_BARRIER_SWITCH;
    gw_xbzrle_cache_sync(x->cache);
    gw_xbzrle_cache_adopt(x->cache);
    now = gw_now_ns(&x->clock);
    if (now - x->began_ns >= PERIOD_NS) {
        gw_xbzrle_counters_period(&x->counters, x->handled, x->ram->page_bytes);
        x->handled = 0;
        x->began_ns = now;
    }
    return 0;
}

static int begin(struct gw_codec *codec, struct gw_error *err)
{
    struct xbzrle *x = of(codec);
    uint64_t key = 0;

    free(x->first);
    x->first = calloc(GW_MAX(x->ram->count, 1u), sizeof *x->first);
    if (!x->first)
        return gw_nomem(err, "XBZRLE");
    for (unsigned i = 0; i < x->ram->count; i++) {
        x->first[i] = key;
        key += x->ram->blocks[i]->max_bytes >> x->ram->page_bits;
    }
    gw_xbzrle_cache_clear(x->cache);
    x->started = x->last = x->off = false;
    x->handled = 0;
    x->began_ns = gw_now_ns(&x->clock);
    return 0;
}

static void end(struct gw_codec *codec)
{
    gw_xbzrle_cache_clear(of(codec)->cache);
}

static void progress(struct gw_codec *codec, struct gw_progress *sum)
{
    struct xbzrle *x = of(codec);
    struct gw_xbzrle_counters c;

    gw_xbzrle_counters_get(&x->counters, &c);
    sum->xbzrle = (struct gw_xbzrle_stats){.cache_bytes = gw_xbzrle_cache_bytes(x->cache),
                                           .bytes = c.bytes,
                                           .pages = c.pages,
                                           .misses = c.cache_miss,
                                           .overflows = c.overflow,
                                           .miss_rate = c.cache_miss_rate,
                                           .encoding_rate = c.encoding_rate};
}

static struct gw_codec *codec_free(struct gw_codec *codec)
{
    struct xbzrle *x = of(codec);

    gw_xbzrle_cache_free(x->cache);
    free(x->first);
    free(x->copy);
    free(x);
    return NULL;
}

int gw_xbzrle_resize(struct gw_codec *codec, uint64_t cache_bytes, struct gw_error *err)
{
    return gw_xbzrle_cache_resize(of(codec)->cache, cache_bytes, err);
}

int gw_codec_xbzrle_new(const struct gw_ram *ram, uint64_t cache_bytes, const struct gw_clock *clock,
                        struct gw_codec **ret, struct gw_error *err)
{
    struct xbzrle *x = calloc(1, sizeof *x);
    int r;

    if (!x)
        return gw_nomem(err, "XBZRLE");
    *x = (struct xbzrle){.codec = {.begin = begin,
                                   .encode = encode,
                                   .barrier = barrier,
                                   .progress = progress,
                                   .end = end,
                                   .free = codec_free},
                         .ram = ram,
                         .clock = *clock,
                         .delta = gw_xbzrle_pick()};
    x->copy = aligned_alloc(GW_RAM_ALIGNMENT, ram->page_bytes);
    r = x->copy ? gw_xbzrle_cache_new(cache_bytes, ram->page_bytes, &x->cache, err) : gw_nomem(err, "XBZRLE");
    if (r < 0) {
        free(x->copy);
        free(x);
        return r;
    }
    *ret = &x->codec;
    return 0;
}

/* ---- receiving ----------------------------------------------------------------------------------------------------
 */

struct decoder {
    struct gw_codec codec;
    const struct gw_ram *ram;
};

static int decode(struct gw_codec *codec, struct gw_ram_block *b, uint64_t page, const uint8_t *coded, size_t bytes,
                  uint8_t *dst, struct gw_error *err)
{
    return gw_xbzrle_decode(coded, (uint32_t)bytes, dst, GW_CONTAINER(codec, struct decoder, codec)->ram->page_bytes, err);
}

static struct gw_codec *decoder_free(struct gw_codec *codec)
{
    free(GW_CONTAINER(codec, struct decoder, codec));
    return NULL;
}

int gw_codec_xbzrle_decoder_new(const struct gw_ram *ram, struct gw_codec **ret, struct gw_error *err)
{
    struct decoder *d = calloc(1, sizeof *d);

    if (!d)
        return gw_nomem(err, "XBZRLE");
    *d = (struct decoder){.codec = {.decode = decode, .free = decoder_free}, .ram = ram};
    *ret = &d->codec;
    return 0;
}
