/* SPDX-License-Identifier: MIT */
#include "ram/layout/packet.h"

struct get {
    struct gw_layout_in layout;
    const struct gw_ram *ram;
    struct gw_packing *packing;
    struct gw_ram_listed listed;
    struct gw_ram_block *last; /* the block that was found last by its name */
    /* of the current packet */
    struct gw_packet head;
    uint64_t offset[GW_PACKET_PAGES_MAX]; /* page numbers, after they were checked */
    uint8_t *dst[GW_PACKET_PAGES_MAX];
    struct iovec iov[GW_PACKET_PAGES_MAX];
};

static void count(struct get *g, enum gw_form form, uint64_t pages)
{
    atomic_fetch_add_explicit(&g->layout.pages[form], pages, memory_order_relaxed);
}

/* Finds the block of the packet, and converts its offsets to page numbers. */
static int check(struct get *g, uint64_t at, struct gw_error *err)
{
    struct gw_packet *p = &g->head;

    if (!g->last || strcmp(g->last->name, p->name))
        g->last = gw_ram_listed_find(&g->listed, g->ram, p->name);
    if (!g->last)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "multifd packet at byte %" PRIu64 ": no RAM block is called %s", at,
                       p->name);
    for (uint32_t i = 0; i < p->pages + p->zeros; i++) {
        if (g->offset[i] >= g->last->used_bytes)
            return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                           "multifd packet at byte %" PRIu64 ": offset 0x%" PRIx64 " is beyond RAM block %s (0x%" PRIx64
                           " bytes)",
                           at, g->offset[i], g->last->name, g->last->used_bytes);
        g->offset[i] >>= g->ram->page_bits;
    }
    return 0;
}

static int read_pages(struct get *g, struct gw_reader *r, struct gw_store *store, struct gw_error *err)
{
    const uint8_t *coded;
    uint32_t n = g->head.pages;
    int e;

    for (uint32_t i = 0; i < n; i++) {
        g->dst[i] = store->where(store, g->last, g->offset[i], GW_STORE_OVERWRITE);
        g->iov[i] = (struct iovec){g->dst[i], g->ram->page_bytes};
    }
    if (!g->packing || g->head.flags & GW_PACKET_AS_IS)
        return gw_reader_direct(r, g->iov, (int)n, err);
    e = gw_reader_need(r, g->head.bytes, &coded, err);
    if (e >= 0)
        e = g->packing->unpack(g->packing, coded, g->head.bytes, g->dst, n, g->ram->page_bytes, err);
    if (e >= 0)
        gw_reader_skip(r, g->head.bytes);
    return e;
}

/* Places all pages of the packet, in the order of the block: where the store assembles large host pages, their target
 * pages come in sequence. */
static int place_all(struct get *g, struct gw_store *store, struct gw_error *err)
{
    uint32_t n = g->head.pages, all = n + g->head.zeros, page = 0, zero = n;
    int e = 0;

    while (e >= 0 && (page < n || zero < all))
        e = zero == all || (page < n && g->offset[page] < g->offset[zero]) ? store->place(store, g->last, g->offset[page++], err)
                                                                           : store->zero(store, g->last, g->offset[zero++], err);
    return e;
}

static int packet(struct get *g, struct gw_reader *r, struct gw_store *store, struct gw_error *err)
{
    uint64_t at = gw_reader_offset(r);
    int e = gw_packet_get(&r->in, g->ram->page_bytes, g->packing ? g->packing->coding : GW_PACKET_PLAIN, &g->head,
                          g->offset, err);

    if (e < 0 || !(g->head.pages + g->head.zeros))
        return e;
    if (atomic_load(&g->layout.over))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "multifd packet at byte %" PRIu64 ": it has pages, but the RAM has ended", at);
    e = check(g, at, err);
    if (e < 0)
        return e;
    if (g->layout.touched)
        atomic_store_explicit(g->layout.touched, true, memory_order_relaxed);
    e = g->head.pages ? read_pages(g, r, store, err) : 0;
    if (e < 0) {
        gw_context(err, "multifd packet at byte %" PRIu64, at);
        return e;
    }
    e = place_all(g, store, err);
    count(g, GW_FORM_PLAIN, g->head.pages);
    count(g, GW_FORM_ZERO, g->head.zeros);
    return e;
}

static int get(struct gw_layout_in *layout, struct gw_reader *r, struct gw_store *store, struct gw_error *err)
{
    struct get *g = GW_CONTAINER(layout, struct get, layout);
    int e;

    r->readahead = 0; /* contents follow, which are read directly to their places */
    do {
        e = packet(g, r, store, err);
    } while (e >= 0 && !(g->head.flags & GW_PACKET_SYNC));
    return e;
}

static int add(struct gw_layout_in *layout, struct gw_ram_block *b, struct gw_error *err)
{
    return gw_ram_listed_add(&GW_CONTAINER(layout, struct get, layout)->listed, b, err);
}

static void reset(struct gw_layout_in *layout)
{
    struct get *g = GW_CONTAINER(layout, struct get, layout);

    gw_ram_listed_clear(&g->listed);
    g->last = NULL;
    if (g->packing)
        g->packing->reset(g->packing, NULL);
}

static struct gw_layout_in *layout_free(struct gw_layout_in *layout)
{
    struct get *g = GW_CONTAINER(layout, struct get, layout);

    if (g->packing)
        g->packing->free(g->packing);
    gw_ram_listed_clear(&g->listed);
    free(g);
    return NULL;
}

int gw_layout_packet_in_new(const struct gw_ram *ram, struct gw_packing *take_packing, struct gw_layout_in **ret,
                            struct gw_error *err)
{
    struct get *g = calloc(1, sizeof *g);

    if (!g) {
        if (take_packing)
            take_packing->free(take_packing);
        return gw_nomem(err, "multifd packets");
    }
    g->layout = (struct gw_layout_in){.add = add, .get = get, .reset = reset, .free = layout_free};
    g->ram = ram;
    g->packing = take_packing;
    *ret = &g->layout;
    return 0;
}
