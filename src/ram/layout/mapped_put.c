/* SPDX-License-Identifier: MIT */
#include "ram/layout/mapped.h"

#include "wire/mapped.h"

struct place {
    struct gw_wire_mapped at;
    uint64_t *map, bits; /* atomic: lanes share its words. NULL: the block was not listed */
};

struct gw_mapped {
    const struct gw_ram *ram;
    _Atomic unsigned refs, putting; /* putting: layouts that have not reached END */
    struct place *places;           /* by block number */
    unsigned count;
};

struct mapped {
    struct gw_layout layout;
    struct gw_mapped *m;
};

/* The block's entry was written. */
static int list(struct gw_layout *layout, struct gw_ram_block *b, struct gw_writer *w, struct gw_error *err)
{
    struct gw_mapped *m = GW_CONTAINER(layout, struct mapped, layout)->m;
    struct place *places = gw_ram_table(m->places, &m->count, sizeof *places, b), *p;
    uint64_t at;
    int r = places ? gw_writer_tell(w, &at, err) : gw_nomem(err, "maps of pages");

    if (places)
        m->places = places;
    if (r < 0)
        return r;
    p = &places[b->index];
    r = gw_mapped_lay(b->name, b->used_bytes, m->ram->page_bytes, at, &p->at, err);
    if (r < 0)
        return r;
    gw_bitmap_free(p->map, p->bits);
    p->bits = b->pages;
    p->map = gw_bitmap_new(p->bits);
    if (!p->map)
        return gw_nomem(err, "maps of pages");
    gw_mapped_put(&w->out, m->ram->page_bytes, &p->at);
    return gw_writer_seek(w, p->at.end, err);
}

/* Whether page i of the batch directly follows the one before it. */
static bool follows(const struct gw_batch *b, unsigned i)
{
    return i < b->count && b->form[i] == GW_FORM_PLAIN && b->page[i] == b->page[i - 1] + 1;
}

/* Writes the pages from number i on that are consecutive in the file; returns how many. */
static unsigned put_run(struct gw_mapped *m, const struct gw_batch *b, unsigned i, struct gw_writer *w)
{
    struct place *p = &m->places[b->block->index];
    struct iovec iov[GW_BATCH_PAGES];
    unsigned first = i;
    uint64_t bytes = 0;
    int n = 0;

    do {
        const struct gw_body *body = &b->body[i];

        if (n && (uint8_t *)iov[n - 1].iov_base + iov[n - 1].iov_len == body->data)
            iov[n - 1].iov_len += body->bytes;
        else
            iov[n++] = (struct iovec){(void *)body->data, body->bytes};
        bytes += body->bytes;
        gw_bitmap_set_atomic(p->map, b->page[i]);
    } while (follows(b, ++i));
    gw_writer_place(w, iov, n, bytes, p->at.pages_at + (b->page[first] << m->ram->page_bits));
    return i - first;
}

static void put(struct gw_layout *layout, const struct gw_batch *b, struct gw_writer *w)
{
    struct gw_mapped *m = GW_CONTAINER(layout, struct mapped, layout)->m;
    enum gw_cause old = gw_writer_cause(w, GW_CAUSE_RAM_PAGE);
    unsigned zeros = 0, plain = 0, n;

    for (unsigned i = 0; i < b->count; i += n) {
        bool is_plain = b->form[i] == GW_FORM_PLAIN;

        n = is_plain ? put_run(m, b, i, w) : 1;
        *(is_plain ? &plain : &zeros) += n;
        if (!is_plain) /* the contents in the file are out of date */
            gw_bitmap_clear_atomic(m->places[b->block->index].map, b->page[i]);
    }
    gw_writer_cause(w, old);
    atomic_fetch_add_explicit(&layout->pages[GW_FORM_ZERO], zeros, memory_order_relaxed);
    atomic_fetch_add_explicit(&layout->pages[GW_FORM_PLAIN], plain, memory_order_relaxed);
}

static void barrier(struct gw_layout *layout, enum gw_barrier kind, struct gw_writer *w)
{
    struct gw_mapped *m = GW_CONTAINER(layout, struct mapped, layout)->m;
    enum gw_cause old = gw_writer_cause(w, GW_CAUSE_RAM_META);

    if (kind == GW_BARRIER_END && atomic_fetch_sub(&m->putting, 1) == 1)
        for (unsigned i = 0; i < m->count; i++)
            if (m->places[i].map)
                gw_writer_place(w, &(struct iovec){m->places[i].map, (size_t)m->places[i].at.map_bytes}, 1,
                                m->places[i].at.map_bytes, m->places[i].at.map_at);
    gw_writer_cause(w, old);
}

void gw_mapped_unref(struct gw_mapped *m)
{
    if (!m || atomic_fetch_sub(&m->refs, 1) != 1)
        return;
    for (unsigned i = 0; i < m->count; i++)
        gw_bitmap_free(m->places[i].map, m->places[i].bits);
    free(m->places);
    free(m);
}

static struct gw_layout *layout_free(struct gw_layout *layout)
{
    struct mapped *l = GW_CONTAINER(layout, struct mapped, layout);

    gw_mapped_unref(l->m);
    free(l);
    return NULL;
}

int gw_layout_mapped_new(struct gw_mapped *m, struct gw_layout **ret, struct gw_error *err)
{
    struct mapped *l = calloc(1, sizeof *l);

    if (!l)
        return gw_nomem(err, "mapped-ram layout");
    *l = (struct mapped){.layout = {.list = list, .put = put, .barrier = barrier, .free = layout_free}, .m = m};
    atomic_fetch_add(&m->refs, 1);
    atomic_fetch_add(&m->putting, 1);
    *ret = &l->layout;
    return 0;
}

int gw_mapped_new(const struct gw_ram *ram, struct gw_mapped **ret, struct gw_error *err)
{
    struct gw_mapped *m = calloc(1, sizeof *m);

    if (!m)
        return gw_nomem(err, "mapped-ram layout");
    m->ram = ram;
    m->refs = 1;
    *ret = m;
    return 0;
}
