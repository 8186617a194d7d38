/* SPDX-License-Identifier: MIT */
#include "ram/lane/lane.h"

struct gw_lane {
    struct gw_codec *codec[GW_LANE_CODECS];
    unsigned codecs;
    unsigned ahead; /* number of codecs that gw_lane_start calls: up to the last one with threads of its own */
    struct gw_layout *layout;
};

int gw_lane_new(struct gw_layout *take_layout, struct gw_lane **ret, struct gw_error *err)
{
    struct gw_lane *l = take_layout ? calloc(1, sizeof *l) : NULL;

    if (!l) {
        if (take_layout)
            take_layout->free(take_layout);
        return gw_nomem(err, "lane");
    }
    l->layout = take_layout;
    *ret = l;
    return 0;
}

struct gw_lane *gw_lane_free(struct gw_lane *l)
{
    if (!l)
        return NULL;
    for (unsigned i = 0; i < l->codecs; i++)
        l->codec[i]->free(l->codec[i]);
    l->layout->free(l->layout);
    free(l);
    return NULL;
}

int gw_lane_add(struct gw_lane *l, struct gw_codec *take_codec, struct gw_error *err)
{
    if (l->codecs == GW_LANE_CODECS || (take_codec->finish && l->ahead)) {
        take_codec->free(take_codec);
        return gw_fail(err, -ENOSPC, GW_BLAME_LOCAL, "a chain of codecs has at most %u, and one of them with threads of its "
                       "own", GW_LANE_CODECS);
    }
    l->codec[l->codecs++] = take_codec;
    if (take_codec->finish)
        l->ahead = l->codecs;
    return 0;
}

int gw_lane_begin(struct gw_lane *l, struct gw_error *err)
{
    int r = 0;

    for (unsigned i = 0; r >= 0 && i < l->codecs; i++)
        if (l->codec[i]->begin)
            r = l->codec[i]->begin(l->codec[i], err);
    return r;
}

void gw_lane_end(struct gw_lane *l)
{
    for (unsigned i = 0; i < l->codecs; i++)
        if (l->codec[i]->end)
            l->codec[i]->end(l->codec[i]);
}

int gw_lane_list(struct gw_lane *l, struct gw_ram_block *b, struct gw_writer *w, struct gw_error *err)
{
    return l->layout->list ? l->layout->list(l->layout, b, w, err) : 0;
}

bool gw_lane_holds(const struct gw_lane *l)
{
    return l->ahead;
}

int gw_lane_start(struct gw_lane *l, struct gw_batch *batch, struct gw_error *err)
{
    int r = 0;

    for (unsigned i = 0; r >= 0 && i < l->ahead; i++)
        r = l->codec[i]->encode(l->codec[i], batch, err);
    return r;
}

int gw_lane_put(struct gw_lane *l, struct gw_batch *batch, struct gw_writer *w, struct gw_error *err)
{
    struct gw_codec *beside = l->ahead ? l->codec[l->ahead - 1] : NULL;
    int r = beside ? beside->finish(beside, batch, err) : 0;

    for (unsigned i = l->ahead; r >= 0 && i < l->codecs; i++)
        r = l->codec[i]->encode(l->codec[i], batch, err);
    if (r < 0)
        return r;
    l->layout->put(l->layout, batch, w);
    return w->out.error.code ? gw_writer_flush(w, err) : 0;
}

int gw_lane_barrier(struct gw_lane *l, enum gw_barrier kind, struct gw_writer *w, struct gw_error *err)
{
    int r = 0;

    for (unsigned i = 0; r >= 0 && i < l->codecs; i++)
        if (l->codec[i]->barrier)
            r = l->codec[i]->barrier(l->codec[i], kind, err);
    if (r >= 0 && l->layout->barrier)
        l->layout->barrier(l->layout, kind, w);
    return r;
}

void gw_lane_progress(const struct gw_lane *l, struct gw_progress *sum)
{
    gw_progress_add(sum, l->layout->pages);
    sum->packed_pages += atomic_load_explicit(&l->layout->packed, memory_order_relaxed);
    for (unsigned i = 0; i < l->codecs; i++)
        if (l->codec[i]->progress)
            l->codec[i]->progress(l->codec[i], sum);
}
