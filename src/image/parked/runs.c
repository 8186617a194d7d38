/* SPDX-License-Identifier: MIT
 *
 * The page index of a parked file: one group of pages as runs.
 */
#include "image/parked/parked.h"

static void put_varint(struct gw_parked_runs *w, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        w->out[w->bytes++] = (uint8_t)(v | 0x80);
    w->out[w->bytes++] = (uint8_t)v;
}

static void put_run(struct gw_parked_runs *w)
{
    const struct gw_parked_run *r = &w->run;
    int64_t away;

    if (!r->pages)
        return;
    put_varint(w, (uint64_t)(r->pages - 1) << 2 | r->kind);
    if (r->kind == GW_PARKED_FRESH) {
        w->base += r->pages;
    } else if (r->kind != GW_PARKED_ZERO) {
        /* Zigzag: pages are mostly copies of what was stored not long ago. */
        away = (int64_t)r->number - (int64_t)w->base;
        put_varint(w, (uint64_t)away << 1 ^ (uint64_t)(away >> 63));
    }
    w->run.pages = 0;
}

void gw_parked_runs_begin(struct gw_parked_runs *w, uint32_t next)
{
    w->run.pages = 0;
    w->next = w->base = next;
    w->pages = w->bytes = 0;
}

static void add(struct gw_parked_runs *w, enum gw_parked_run_kind kind, uint32_t pages, uint32_t number)
{
    if (!w->run.pages)
        w->run = (struct gw_parked_run){kind, 0, number};
    w->run.pages += pages;
    w->pages += pages;
}

void gw_parked_runs_zero(struct gw_parked_runs *w, uint32_t pages)
{
    if (w->run.kind != GW_PARKED_ZERO)
        put_run(w);
    add(w, GW_PARKED_ZERO, pages, 0);
}

void gw_parked_runs_page(struct gw_parked_runs *w, uint32_t number)
{
    struct gw_parked_run *r = &w->run;

    if (number == w->next) {
        if (r->kind != GW_PARKED_FRESH)
            put_run(w);
        add(w, GW_PARKED_FRESH, 1, number);
        w->next++;
        return;
    }
    /* A run of one page can still become AGAIN or REPEAT. */
    if (r->pages == 1 && r->kind == GW_PARKED_AGAIN && number == r->number)
        r->kind = GW_PARKED_REPEAT;
    if (!(r->kind == GW_PARKED_AGAIN && number == r->number + r->pages) &&
        !(r->kind == GW_PARKED_REPEAT && number == r->number))
        put_run(w);
    add(w, GW_PARKED_AGAIN, 1, number);
}

void gw_parked_runs_end(struct gw_parked_runs *w)
{
    if (!w->bytes && w->run.kind == GW_PARKED_ZERO)
        return; /* the group has nothing else */
    put_run(w);
}

static bool get_varint(struct gw_parked_runs_reader *r, uint64_t *ret)
{
    uint64_t v = 0;

    /* Values have at most 35 bits. */
    for (unsigned shift = 0; shift < 35 && r->p < r->end; shift += 7) {
        uint8_t byte = *r->p++;

        v |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *ret = v;
            return byte || !shift; /* a last byte of 0 is refused: each value has one encoding */
        }
    }
    return false;
}

int gw_parked_runs_get(struct gw_parked_runs_reader *r, struct gw_parked_run *ret, struct gw_error *err)
{
    uint64_t head, away;
    int64_t number;

    if (!get_varint(r, &head) || head >> 2 >= GW_PARKED_GROUP_PAGES)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "it is not a list of runs");
    *ret = (struct gw_parked_run){(enum gw_parked_run_kind)(head & 3), (uint32_t)(head >> 2) + 1, 0};
    if (ret->kind == GW_PARKED_FRESH) {
        ret->number = r->next;
        r->next += ret->pages;
    } else if (ret->kind != GW_PARKED_ZERO) {
        if (!get_varint(r, &away))
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "it is not a list of runs");
        number = (int64_t)r->next + (int64_t)(away >> 1 ^ -(away & 1));
        if (number < 0 || number > (int64_t)GW_PARKED_NUMBERS_MAX)
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "a run names stored pages that no file can have");
        ret->number = (uint32_t)number;
    }
    return 0;
}
