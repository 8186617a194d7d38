/* SPDX-License-Identifier: MIT */
#include "ram/lane/flight.h"

/* Whether records of the batch reference its bodies. */
static bool is_referenced(const struct gw_batch *b)
{
    for (unsigned i = 0; i < b->count; i++)
        if (b->form[i] != GW_FORM_ZERO && b->form[i] != GW_FORM_SAME)
            return true;
    return false;
}

/* The batch was written: it goes back when the writer has passed its bytes on, or at once. */
static void fly(struct gw_flight *f, struct gw_batch *b, const struct gw_writer *w)
{
    if (!is_referenced(b)) {
        gw_pool_give_back(f->pool, b);
        return;
    }
    b->next = NULL;
    b->end = gw_writer_offset(w);
    if (!f->flying)
        f->flying_end = &f->flying;
    *f->flying_end = b;
    f->flying_end = &b->next;
}

static void land_oldest(struct gw_flight *f)
{
    struct gw_batch *b = f->flying;

    f->flying = b->next;
    gw_pool_give_back(f->pool, b);
}

void gw_flight_land(struct gw_flight *f, const struct gw_writer *w)
{
    uint64_t passed = gw_writer_passed(w);

    while (f->flying && f->flying->end <= passed)
        land_oldest(f);
}

/* Writes the batch that is held, and holds this one instead; NULL: none. */
static int advance(struct gw_flight *f, struct gw_batch *b, struct gw_writer *w, struct gw_error *err)
{
    struct gw_batch *held = f->held;
    int r = b ? gw_lane_start(f->lane, b, err) : 0;

    f->held = b;
    if (!held)
        return r;
    if (r >= 0)
        r = gw_lane_put(f->lane, held, w, err);
    fly(f, held, w);
    return r;
}

int gw_flight_put(struct gw_flight *f, struct gw_batch *b, struct gw_writer *w, struct gw_error *err)
{
    int r;

    if (gw_lane_holds(f->lane))
        return advance(f, b, w, err);
    r = gw_lane_put(f->lane, b, w, err);
    fly(f, b, w);
    return r;
}

int gw_flight_finish(struct gw_flight *f, struct gw_writer *w, struct gw_error *err)
{
    return advance(f, NULL, w, err);
}

int gw_flight_barrier(struct gw_flight *f, enum gw_barrier kind, struct gw_writer *w, struct gw_error *err)
{
    int r = advance(f, NULL, w, err);

    return r < 0 ? r : gw_lane_barrier(f->lane, kind, w, err);
}

int gw_flight_flush(struct gw_flight *f, struct gw_writer *w, struct gw_error *err)
{
    int r = gw_writer_flush(w, err);

    gw_flight_land(f, w);
    return r;
}

int gw_flight_await(struct gw_flight *f, struct gw_writer *w, struct gw_error *err)
{
    int r = gw_writer_await(w, f->flying->end, err);

    gw_flight_land(f, w);
    return r;
}

void gw_flight_end(struct gw_flight *f)
{
    while (f->flying)
        land_oldest(f);
    gw_lane_end(f->lane);
    if (f->held) /* no codec thread works on it any more */
        gw_pool_give_back(f->pool, f->held);
    f->held = NULL;
}
