/* SPDX-License-Identifier: MIT */
#include "ram/layout/packet.h"

#include "ram/layout/stream.h"
#include "wire/ram_record.h"

struct packets {
    struct gw_layout layout;
    const struct gw_ram *ram;
    struct gw_packet_config config;
    uint64_t number;
    uint8_t *coded; /* room for the contents of one packet */
    /* the packet that is being assembled */
    struct gw_packet head;
    const uint8_t *page[GW_PACKET_PAGES_MAX];
    uint64_t offset[GW_PACKET_PAGES_MAX], zero[GW_PACKET_PAGES_MAX];
};

/* Compresses the contents; false: the writer has an error now. */
static bool pack(struct packets *l, struct gw_writer *w)
{
    struct gw_packing *p = l->config.take_packing;
    size_t bytes = 0;

    l->head.flags |= p->coding;
    if (!l->head.pages)
        return true;
    if (p->pack(p, l->page, l->head.pages, l->ram->page_bytes, l->coded, GW_PACKET_CODED_MAX, &bytes, &w->out.error) < 0)
        return false;
    if (bytes)
        l->head.bytes = (uint32_t)bytes;
    else
        l->head.flags |= GW_PACKET_AS_IS;
    return true;
}

/* Writes the packet, if it has pages. */
static void put_packet(struct packets *l, struct gw_writer *w)
{
    struct gw_packet *p = &l->head;
    struct gw_packing *packing = l->config.take_packing;
    uint32_t page_bytes = l->ram->page_bytes;
    bool coded;

    if (w->out.error.code || !(p->pages + p->zeros + p->flags))
        return;
    memcpy(l->offset + p->pages, l->zero, p->zeros * sizeof *l->zero);
    p->bytes = p->pages * page_bytes;
    p->number = l->number;
    l->number += l->config.count;
    coded = packing;
    if (!packing || pack(l, w)) {
        coded &= !(p->flags & GW_PACKET_AS_IS);
        gw_writer_cause(w, p->pages ? GW_CAUSE_RAM_META : GW_CAUSE_RAM_ZERO);
        gw_packet_put(&w->out, page_bytes, p, l->offset);
        gw_writer_cause(w, coded ? GW_CAUSE_RAM_CODED : GW_CAUSE_RAM_PAGE);
        for (uint32_t i = 0; i < p->pages && !coded; i++)
            gw_put_ref(w, l->page[i], page_bytes);
        if (p->pages && coded)
            gw_put_ref(w, l->coded, p->bytes);
        if (p->pages && packing)
            gw_writer_flush(w, NULL); /* the buffer is reused; the writer keeps an error */
        if (p->pages && packing && packing->sent)
            packing->sent(packing);
    }
    atomic_fetch_add_explicit(&l->layout.pages[GW_FORM_ZERO], p->zeros, memory_order_relaxed);
    atomic_fetch_add_explicit(&l->layout.pages[GW_FORM_PLAIN], p->pages, memory_order_relaxed);
    if (coded)
        atomic_fetch_add_explicit(&l->layout.packed, p->pages, memory_order_relaxed);
    *p = (struct gw_packet){0};
}

static void put(struct gw_layout *layout, const struct gw_batch *batch, struct gw_writer *w)
{
    struct packets *l = GW_CONTAINER(layout, struct packets, layout);
    enum gw_cause old = gw_writer_cause(w, GW_CAUSE_RAM_META);
    uint32_t capacity = gw_packet_capacity(l->ram->page_bytes);

    for (unsigned i = 0; i < batch->count; i++) {
        uint64_t offset = batch->page[i] << l->ram->page_bits;

        if (batch->form[i] == GW_FORM_ZERO && l->config.zeros) {
            l->zero[l->head.zeros++] = offset;
        } else if (batch->form[i] == GW_FORM_PLAIN) {
            l->page[l->head.pages] = batch->body[i].data;
            l->offset[l->head.pages++] = offset;
        } else {
            continue;
        }
        gw_strcopy(l->head.name, sizeof l->head.name, batch->block->name);
        if (l->head.pages + l->head.zeros == capacity)
            put_packet(l, w);
    }
    put_packet(l, w);
    gw_writer_cause(w, old);
}

static void barrier(struct gw_layout *layout, enum gw_barrier kind, struct gw_writer *w)
{
    struct packets *l = GW_CONTAINER(layout, struct packets, layout);
    enum gw_cause old = gw_writer_cause(w, GW_CAUSE_RAM_META);

    l->head.flags = gw_sync_at(l->config.rule, kind) ? GW_PACKET_SYNC : 0;
    put_packet(l, w);
    gw_writer_cause(w, old);
}

static struct gw_layout *layout_free(struct gw_layout *layout)
{
    struct packets *l = GW_CONTAINER(layout, struct packets, layout);

    if (l->config.take_packing)
        l->config.take_packing->free(l->config.take_packing);
    free(l->coded);
    free(l);
    return NULL;
}

int gw_layout_packet_new(const struct gw_ram *ram, const struct gw_packet_config *config, struct gw_layout **ret,
                         struct gw_error *err)
{
    struct packets *l = calloc(1, sizeof *l);
    bool coded = config->take_packing;

    if (l)
        *l = (struct packets){.layout = {.put = put, .barrier = barrier, .free = layout_free},
                              .ram = ram,
                              .config = *config,
                              .number = config->index,
                              .coded = coded ? malloc(GW_PACKET_CODED_MAX) : NULL};
    if (!l || (coded && !l->coded)) {
        if (coded)
            config->take_packing->free(config->take_packing);
        free(l);
        return gw_nomem(err, "multifd packets");
    }
    *ret = &l->layout;
    return 0;
}

/* ---- the lane in front --------------------------------------------------------------------------------------------
 */

struct front {
    struct gw_layout layout;
    unsigned page_bits;
    enum gw_sync_rule rule;
    bool zeros;
    struct gw_ram_block *last;
};

static void put_front(struct gw_layout *layout, const struct gw_batch *batch, struct gw_writer *w)
{
    struct front *l = GW_CONTAINER(layout, struct front, layout);

    if (l->zeros)
        atomic_fetch_add_explicit(&layout->pages[GW_FORM_ZERO], gw_stream_put_zeros(batch, l->page_bits, &l->last, w),
                                  memory_order_relaxed);
}

/* The peer processes the bytes after this only when the lanes have reached the barrier there. */
static void barrier_front(struct gw_layout *layout, enum gw_barrier kind, struct gw_writer *w)
{
    struct front *l = GW_CONTAINER(layout, struct front, layout);

    if (l->rule != GW_SYNC_ROUNDS || kind == GW_BARRIER_POSTCOPY || !gw_sync_at(l->rule, kind))
        return;
    gw_ram_put_flush(&w->out);
    gw_writer_flush(w, NULL); /* the writer keeps an error */
}

static struct gw_layout *front_free(struct gw_layout *layout)
{
    free(GW_CONTAINER(layout, struct front, layout));
    return NULL;
}

int gw_layout_front_new(const struct gw_ram *ram, enum gw_sync_rule rule, bool zeros, struct gw_layout **ret,
                        struct gw_error *err)
{
    struct front *l = calloc(1, sizeof *l);

    if (!l)
        return gw_nomem(err, "zero pages of the main stream");
    *l = (struct front){.layout = {.put = put_front, .barrier = barrier_front, .free = front_free},
                        .page_bits = ram->page_bits,
                        .rule = rule,
                        .zeros = zeros};
    *ret = &l->layout;
    return 0;
}
