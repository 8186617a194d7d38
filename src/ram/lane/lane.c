/* SPDX-License-Identifier: MIT */
#include "ram/lane/lane.h"

struct gw_lane {
    struct gw_codec *codec[GW_LANE_CODECS];
    unsigned codecs;
    struct gw_layout *layout;
    struct gw_batch batch;
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
        if (l->codec[i]->free)
            l->codec[i]->free(l->codec[i]);
    l->layout->free(l->layout);
    free(l);
    return NULL;
}

int gw_lane_add(struct gw_lane *l, struct gw_codec *codec, struct gw_error *err)
{
    if (l->codecs < GW_LANE_CODECS) {
        l->codec[l->codecs++] = codec;
        return 0;
    }
    if (codec->free)
        codec->free(codec);
    return gw_fail(err, -ENOSPC, GW_BLAME_LOCAL, "more than %u codecs in a chain", GW_LANE_CODECS);
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

int gw_lane_step(struct gw_lane *l, struct gw_source *source, struct gw_writer *w, unsigned max, unsigned *ret_count,
                 struct gw_error *err)
{
    int r = source->next(source, &l->batch, max, err);

    if (r < 0)
        return r;
    *ret_count = l->batch.count;
    if (!l->batch.count)
        return 0;
    for (unsigned i = 0; r >= 0 && i < l->codecs; i++)
        r = l->codec[i]->encode(l->codec[i], &l->batch, err);
    if (r < 0)
        return r;
    l->layout->put(l->layout, &l->batch, w);
    return w->error.code ? gw_writer_flush(w, err) : 0;
}

uint64_t gw_lane_pages(const struct gw_lane *l, enum gw_form form)
{
    return l->layout->pages[form];
}
