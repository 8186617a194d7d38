/* SPDX-License-Identifier: MIT */
#include "ram/layout/stream.h"

#include "wire/ram_record.h"

#define SMALL 512u /* bytes */

struct stream {
    struct gw_layout layout;
    unsigned page_bits;
    struct gw_ram_block *last; /* block of the previous record, for CONTINUE */
    bool in_order;             /* pages are written in their order, so that large host pages are consecutive */
};

static void put_head(struct gw_ram_block **last, struct gw_writer *w, struct gw_ram_block *b, uint64_t offset, uint32_t flag)
{
    gw_ram_record_put(&w->out, offset, flag, b == *last ? NULL : b->name);
    *last = b;
}

static void put_coded(struct stream *l, const struct gw_batch *batch, unsigned i, struct gw_writer *w)
{
    gw_writer_cause(w, GW_CAUSE_RAM_META);
    if (batch->form[i] == GW_FORM_XBZRLE) {
        put_head(&l->last, w, batch->block, batch->page[i] << l->page_bits, GW_RAMF_XBZRLE);
        gw_ram_put_xbzrle(&w->out, (uint16_t)batch->body[i].bytes);
    } else {
        put_head(&l->last, w, batch->block, batch->page[i] << l->page_bits, GW_RAMF_COMPRESS);
        gw_ram_put_compressed(&w->out, batch->body[i].bytes);
    }
    gw_writer_cause(w, GW_CAUSE_RAM_CODED);
    if (batch->body[i].bytes < SMALL) /* a copy is cheaper than a vector */
        gw_put_bytes(w, batch->body[i].data, batch->body[i].bytes);
    else
        gw_put_ref(w, batch->body[i].data, batch->body[i].bytes);
}

static void put_plain(struct stream *l, const struct gw_batch *batch, unsigned i, struct gw_writer *w)
{
    gw_writer_cause(w, GW_CAUSE_RAM_META);
    put_head(&l->last, w, batch->block, batch->page[i] << l->page_bits, GW_RAMF_PAGE);
    gw_writer_cause(w, GW_CAUSE_RAM_PAGE);
    gw_put_ref(w, batch->body[i].data, batch->body[i].bytes);
}

static void put_zero(struct gw_ram_block **last, const struct gw_batch *batch, unsigned i, unsigned page_bits, struct gw_writer *w)
{
    gw_writer_cause(w, GW_CAUSE_RAM_ZERO);
    put_head(last, w, batch->block, batch->page[i] << page_bits, GW_RAMF_ZERO);
    gw_ram_put_zero(&w->out);
}

unsigned gw_stream_put_zeros(const struct gw_batch *batch, unsigned page_bits, struct gw_ram_block **last, struct gw_writer *w)
{
    enum gw_cause old = gw_writer_cause(w, GW_CAUSE_RAM_ZERO);
    unsigned n = 0;

    for (unsigned i = 0; i < batch->count; i++) {
        if (batch->form[i] != GW_FORM_ZERO)
            continue;
        put_zero(last, batch, i, page_bits, w);
        n++;
    }
    gw_writer_cause(w, old);
    return n;
}

static void put(struct gw_layout *layout, const struct gw_batch *batch, struct gw_writer *w)
{
    struct stream *l = GW_CONTAINER(layout, struct stream, layout);
    enum gw_cause old = gw_writer_cause(w, GW_CAUSE_RAM_META);
    unsigned put[GW_FORM_COUNT] = {0};

    /* Zeros first, so that the rest is one run of records of equal size. */
    if (!l->in_order)
        put[GW_FORM_ZERO] = gw_stream_put_zeros(batch, l->page_bits, &l->last, w);
    for (unsigned i = 0; i < batch->count; i++) {
        enum gw_form form = batch->form[i];

        if (form == GW_FORM_SAME || (form == GW_FORM_ZERO && !l->in_order))
            continue;
        put[form]++;
        if (form == GW_FORM_ZERO)
            put_zero(&l->last, batch, i, l->page_bits, w);
        else if (form == GW_FORM_PLAIN)
            put_plain(l, batch, i, w);
        else
            put_coded(l, batch, i, w);
    }
    gw_writer_cause(w, old);
    for (unsigned i = 0; i < GW_FORM_COUNT; i++)
        if (put[i])
            atomic_fetch_add_explicit(&layout->pages[i], put[i], memory_order_relaxed);
}

static void barrier(struct gw_layout *layout, enum gw_barrier kind, struct gw_writer *w)
{
    GW_CONTAINER(layout, struct stream, layout)->in_order |= kind == GW_BARRIER_POSTCOPY;
}

static struct gw_layout *layout_free(struct gw_layout *layout)
{
    free(GW_CONTAINER(layout, struct stream, layout));
    return NULL;
}

int gw_layout_stream_new(const struct gw_ram *ram, struct gw_layout **ret, struct gw_error *err)
{
    struct stream *l = calloc(1, sizeof *l);

    if (!l)
        return gw_nomem(err, "stream layout");
    *l = (struct stream){.layout = {.put = put, .barrier = barrier, .free = layout_free},
                         .page_bits = ram->page_bits};
    *ret = &l->layout;
    return 0;
}
