/* SPDX-License-Identifier: MIT
 *
 * Many pages of a parked file: consecutive frames are read at once, and a frame whose pages are all requested in order
 * is unpacked directly to the destination. A frame of which only a part is requested goes through the cache, since the
 * rest is usually requested next.
 */
#include "image/parked/reader.h"

/* Pages of one frame that are consecutive in `numbers`, except for zeros between them. */
struct piece {
    uint32_t frame, first, count; /* first: index in `numbers`; count: including zeros between */
    bool complete;                /* all of the frame's pages, in order */
    bool whole;                   /* complete, with no zeros between them */
    struct gw_parked_extent x;
    const uint8_t *stored; /* NULL: not read yet */
};

struct slice {
    struct gw_parked *p;
    struct gw_parked_decoder *d;
    const uint32_t *numbers;
    uint8_t *dst;
    unsigned count;
    struct piece pieces[GW_PARKED_SLICE];
};

static uint8_t *place(const struct slice *s, uint32_t page)
{
    return s->dst + (size_t)page * s->p->trailer.page_bytes;
}

static int cut_one(struct slice *s, uint32_t at, uint32_t count, struct gw_error *err)
{
    uint32_t per = s->p->trailer.frame_pages, first = s->numbers[at], pages = 0;
    struct piece *c = &s->pieces[s->count++];
    bool ordered = first % per == 0;
    int r;

    *c = (struct piece){.frame = first / per, .first = at};
    for (uint32_t i = at; i < count; i++) {
        if (s->numbers[i] == GW_PARKED_NO_NUMBER)
            continue;
        if (s->numbers[i] / per != c->frame)
            break;
        ordered = ordered && s->numbers[i] == first + pages;
        pages++;
        c->count = i + 1 - at;
    }
    r = gw_parked_find_frame(s->p, c->frame, &c->x, err);
    c->complete = r >= 0 && ordered && pages * s->p->trailer.page_bytes == c->x.raw_bytes;
    c->whole = c->complete && pages == c->count;
    return r;
}

static int cut(struct slice *s, uint32_t count, struct gw_error *err)
{
    int r = 0;

    s->count = 0;
    for (uint32_t i = 0; i < count && r >= 0;)
        if (s->numbers[i] == GW_PARKED_NO_NUMBER) {
            i++;
        } else {
            r = cut_one(s, i, count, err);
            i += s->pieces[s->count - 1].count;
        }
    return r;
}

static void put_zeros(const struct slice *s, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (s->numbers[i] == GW_PARKED_NO_NUMBER)
            memset(place(s, i), 0, s->p->trailer.page_bytes);
}

/* The number of pieces from the first on whose frames are contiguous and small enough for one read. */
static unsigned run_of(const struct piece *first, const struct piece *end, size_t *ret_bytes)
{
    const struct piece *c = first;

    for (*ret_bytes = 0; c < end && *ret_bytes + c->x.bytes <= GW_PARKED_BULK_BYTES; c++) {
        if (c->x.at != first->x.at + *ret_bytes)
            break;
        *ret_bytes += c->x.bytes;
    }
    return (unsigned)(c - first);
}

/* Reads the pieces' frames into d->bulk; if they are cached, uncompressed pages go directly to the destination. */
static void read_run(struct slice *s, struct piece *first, unsigned count, size_t bytes)
{
    struct gw_bulk *b = &s->p->bulk;
    struct iovec iov[GW_PARKED_SLICE];
    uint8_t *to = s->d->bulk;

    if (gw_bulk_is_direct(b, first->x.at, bytes)) {
        const uint8_t *from = gw_bulk_direct(b, first->x.at, bytes, s->d->bulk);

        for (unsigned i = 0; from && i < count; from += first[i++].x.bytes)
            first[i].stored = from;
        if (from)
            return;
    }
    for (unsigned i = 0; i < count; i++) {
        struct piece *c = &first[i];
        bool there = c->whole && c->x.bytes == c->x.raw_bytes;

        iov[i] = (struct iovec){there ? place(s, c->first) : to, c->x.bytes};
        c->stored = iov[i].iov_base;
        to += there ? 0 : c->x.bytes;
    }
    /* Then each frame is read alone, which reports the error of the bad one. */
    if (!gw_bulk_cached(b, first->x.at, iov, count))
        for (unsigned i = 0; i < count; i++)
            first[i].stored = NULL;
}

/* Pages out of an unpacked frame. */
static void spread(const struct slice *s, const struct piece *c, const uint8_t *pages)
{
    uint32_t per = s->p->trailer.frame_pages, page_bytes = s->p->trailer.page_bytes;

    for (uint32_t i = c->first; i < c->first + c->count; i++)
        if (s->numbers[i] != GW_PARKED_NO_NUMBER)
            memcpy(place(s, i), pages + (size_t)(s->numbers[i] % per) * page_bytes, page_bytes);
}

static int fill(struct slice *s, const struct piece *c, struct gw_error *err)
{
    struct gw_parked_slot *slot;
    int r;

    if (c->whole)
        return gw_parked_unpack(s->p, s->d, c->frame, &c->x, c->stored, place(s, c->first), err);
    if (c->complete && c->stored) { /* no other thread needs it, and this memory is in the CPU's cache */
        r = gw_parked_unpack(s->p, s->d, c->frame, &c->x, c->stored, s->d->stored, err);
        if (r >= 0)
            spread(s, c, s->d->stored);
        return r;
    }
    r = gw_parked_pin(s->p, s->d, c->frame, &c->x, c->stored, &slot, err);
    if (r < 0)
        return r;
    spread(s, c, slot->pages);
    gw_parked_unpin(s->p, slot);
    return 0;
}

static int fill_all(struct slice *s, struct gw_error *err)
{
    int r = 0;

    for (unsigned at = 0, n; at < s->count && r >= 0; at += n) {
        size_t bytes;

        n = GW_MAX(run_of(&s->pieces[at], &s->pieces[s->count], &bytes), 1u);
        if (n > 1 && !s->d->bulk)
            s->d->bulk = aligned_alloc(GW_BULK_ALIGN, gw_bulk_room(GW_PARKED_BULK_BYTES));
        if (n > 1 && s->d->bulk) /* the bulk buffer is optional */
            read_run(s, &s->pieces[at], n, bytes);
        for (unsigned i = 0; i < n && r >= 0; i++)
            r = fill(s, &s->pieces[at + i], err);
    }
    return r;
}

int gw_parked_pages(struct gw_parked *p, const uint32_t *numbers, uint32_t count, bool zeros, uint8_t *dst,
                    struct gw_error *err)
{
    struct slice s; /* large: not zeroed just for one page */
    int r;

    s.p = p;
    s.numbers = numbers;
    s.dst = dst;
    r = cut(&s, count, err);
    if (r < 0)
        return r;
    if (zeros)
        put_zeros(&s, count);
    if (!s.count)
        return 0;
    r = gw_parked_get_decoder(p, &s.d, err);
    if (r < 0)
        return r;
    r = fill_all(&s, err);
    gw_parked_put_decoder(p, s.d);
    return r;
}
