/* SPDX-License-Identifier: MIT */
#include "ram/layout/mapped.h"

#include "base/workers.h"
#include "channel/beside.h"
#include "wire/mapped.h"
#include "wire/ram_record.h"

#define CHUNK 1024u /* pages that one thread reads at a time */
#define AHEAD 4u    /* chunks for each thread */

struct part {
    struct gw_ram_block *block;
    struct gw_wire_mapped at;
    uint64_t *map, bits; /* NULL: the contents are not in the file */
    uint64_t chunk, chunks; /* the number of its first chunk; the number of its chunks */
};

struct get {
    struct gw_layout_in layout;
    const struct gw_ram *ram;
    unsigned threads;
    bool direct, loaded;
    struct part *parts; /* in the order of the list */
    unsigned count;

    /* while pages are read */
    struct gw_channel *channel;
    struct gw_store *store;
};

/* The block's entry was read, and names a block that may be loaded. */
static int list(struct gw_layout_in *layout, struct gw_ram_block *b, uint64_t used_bytes, struct gw_reader *r,
                struct gw_error *err)
{
    struct get *g = GW_CONTAINER(layout, struct get, layout);
    struct part *grown = realloc(g->parts, (g->count + 1) * sizeof *grown), *p;
    uint64_t at;
    int e = grown ? gw_reader_tell(r, &at, err) : gw_nomem(err, "RAM block list");

    if (grown)
        g->parts = grown;
    if (e < 0)
        return e;
    p = &g->parts[g->count];
    *p = (struct part){.block = b, .bits = used_bytes >> g->ram->page_bits};
    e = gw_mapped_get(&r->in, b->name, used_bytes, g->ram->page_bytes, at, &p->at, err);
    if (e < 0)
        return e;
    g->count++;
    return gw_reader_seek(r, p->at.end, err);
}

static int add(struct gw_layout_in *layout, struct gw_ram_block *b, struct gw_error *err)
{
    struct get *g = GW_CONTAINER(layout, struct get, layout);

    for (unsigned i = 0; i < g->count; i++)
        if (g->parts[i].block == b)
            return (g->parts[i].map = gw_bitmap_new(g->parts[i].bits)) ? 0 : gw_nomem(err, "maps of pages");
    return gw_fail(err, -EPROTO, GW_BLAME_PEER, "RAM block %s is not in the list", b->name);
}

/* ---- pages --------------------------------------------------------------------------------------------------------- */

/* The pages of a run are consecutive in the file, and mostly in memory. */
static int read_run(struct get *g, const struct part *p, uint64_t first, uint64_t end, struct gw_error *err)
{
    uint64_t at = p->at.pages_at + (first << g->ram->page_bits);
    struct iovec iov[CHUNK];
    int n = 0, e;

    if (g->store->expect && end - first > 1)
        g->store->expect(g->store, p->block, first, end - first);
    for (uint64_t i = first; i < end; i++) {
        uint8_t *to = g->store->where(g->store, p->block, i, GW_STORE_OVERWRITE);

        if (n && (uint8_t *)iov[n - 1].iov_base + iov[n - 1].iov_len == to)
            iov[n - 1].iov_len += g->ram->page_bytes;
        else
            iov[n++] = (struct iovec){to, g->ram->page_bytes};
    }
    e = gw_channel_preadv_full(g->channel, iov, n, at, err);
    if (e < 0) {
        gw_context(err, "pages 0x%" PRIx64 " to 0x%" PRIx64 " of RAM block %s, at byte %" PRIu64 " of the file", first,
                   end - 1, p->block->name, at);
        return e;
    }
    for (uint64_t i = first; e >= 0 && i < end; i++)
        e = g->store->place(g->store, p->block, i, err);
    return e;
}

static int read_chunk(void *opaque, unsigned thread, uint64_t number, unsigned slot, struct gw_error *err)
{
    struct get *g = opaque;
    const struct part *p = g->parts;
    uint64_t at, end, next, plain = 0, zeros;
    int e = 0;

    while (number >= p->chunk + p->chunks)
        p++;
    at = (number - p->chunk) * CHUNK;
    end = GW_MIN(at + CHUNK, p->bits);
    for (zeros = end - at; e >= 0 && at < end; at = next) {
        next = gw_bitmap_next_set(p->map, end, at);
        for (; e >= 0 && at < next; at++)
            e = g->store->zero(g->store, p->block, at, err);
        next = at < end ? gw_bitmap_next_clear(p->map, end, at) : end;
        if (e >= 0 && at < next)
            e = read_run(g, p, at, next, err);
        plain += next - at;
    }
    zeros -= plain;
    atomic_fetch_add_explicit(&g->layout.pages[GW_FORM_ZERO], zeros, memory_order_relaxed);
    atomic_fetch_add_explicit(&g->layout.pages[GW_FORM_PLAIN], plain, memory_order_relaxed);
    return e;
}

/* Returns the number of chunks. */
static int read_maps(struct get *g, struct gw_channel *channel, uint64_t *ret_chunks, struct gw_error *err)
{
    uint64_t chunks = 0;
    int e = 0;

    for (unsigned i = 0; e >= 0 && i < g->count; i++) {
        struct part *p = &g->parts[i];

        p->chunk = chunks;
        p->chunks = p->map ? gw_div_up(p->bits, CHUNK) : 0;
        chunks += p->chunks;
        if (p->map)
            e = gw_channel_pread_full(channel, p->map, (size_t)p->at.map_bytes, p->at.map_at, err);
        if (e < 0)
            gw_context(err, "map of RAM block %s, at byte %" PRIu64 " of the file", p->block->name, p->at.map_at);
    }
    *ret_chunks = chunks;
    return e;
}

static int load(struct get *g, struct gw_channel *channel, struct gw_error *err)
{
    static const struct gw_workers_ops work = {.work = read_chunk};
    struct gw_channel *beside = NULL;
    struct gw_workers *w = NULL;
    uint64_t chunks;
    int e = read_maps(g, channel, &chunks, err);

    if (e < 0 || !chunks)
        return e;
    e = g->direct ? gw_channel_beside(channel, true, &beside, err) : 0;
    g->channel = beside ? beside : channel;
    if (e >= 0)
        e = gw_workers_new(&work, g, g->threads, g->threads * AHEAD, &w, err);
    if (e >= 0)
        gw_workers_submit(w, chunks);
    for (uint64_t i = 0; e >= 0 && i < chunks; i++)
        e = gw_workers_take(w, i, err);
    gw_workers_free(w);
    gw_channel_free(beside);
    return e;
}

static int get(struct gw_layout_in *layout, struct gw_reader *r, struct gw_store *store, struct gw_error *err)
{
    struct get *g = GW_CONTAINER(layout, struct get, layout);
    struct gw_ram_record record;
    int e = 0;

    if (!g->loaded) {
        if (layout->touched)
            atomic_store_explicit(layout->touched, true, memory_order_relaxed);
        g->loaded = true;
        g->store = store;
        e = load(g, r->channel, err);
    }
    if (e >= 0)
        e = gw_ram_word_get(&r->in, g->ram->page_bytes, &record, err);
    if (e >= 0 && record.kind != GW_RAMF_EOS)
        e = gw_ram_record_wrong(&r->in, &record, "not in a mapped-ram file", err);
    return e;
}

static void reset(struct gw_layout_in *layout)
{
    struct get *g = GW_CONTAINER(layout, struct get, layout);

    for (unsigned i = 0; i < g->count; i++)
        gw_bitmap_free(g->parts[i].map, g->parts[i].bits);
    free(g->parts);
    g->parts = NULL;
    g->count = 0;
    g->loaded = false;
}

static struct gw_layout_in *layout_free(struct gw_layout_in *layout)
{
    reset(layout);
    free(GW_CONTAINER(layout, struct get, layout));
    return NULL;
}

int gw_layout_mapped_in_new(const struct gw_ram *ram, unsigned threads, bool direct, struct gw_layout_in **ret,
                            struct gw_error *err)
{
    struct get *g = calloc(1, sizeof *g);

    if (!g)
        return gw_nomem(err, "mapped-ram layout");
    *g = (struct get){.layout = {.list = list, .add = add, .get = get, .reset = reset, .free = layout_free},
                      .ram = ram,
                      .threads = threads,
                      .direct = direct};
    *ret = &g->layout;
    return 0;
}
