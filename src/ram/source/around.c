/* SPDX-License-Identifier: MIT */
#include "ram/source/around.h"

static struct gw_source *inner(struct gw_source *source)
{
    return GW_CONTAINER(source, struct gw_around, source)->inner;
}

static int begin(struct gw_source *s, const bool *goes, struct gw_error *err)
{
    return inner(s)->begin(inner(s), goes, err);
}

static int next(struct gw_source *s, struct gw_batch *batch, unsigned max, struct gw_error *err)
{
    return inner(s)->next(inner(s), batch, max, err);
}

static int sync_inner(struct gw_source *s, uint64_t *ret_fresh, struct gw_error *err)
{
    return inner(s)->sync(inner(s), ret_fresh, err);
}

static uint64_t pending(struct gw_source *s)
{
    return inner(s)->pending(inner(s));
}

static void sent(struct gw_source *s, struct gw_batch *batch)
{
    inner(s)->sent(inner(s), batch);
}

static int wait_inner(struct gw_source *s, uint64_t ns, struct gw_error *err)
{
    return inner(s)->wait(inner(s), ns, err);
}

static void end(struct gw_source *s)
{
    inner(s)->end(inner(s));
}

static bool due(struct gw_source *s, const struct gw_ram_block *b, uint64_t from, uint64_t *ret_first, uint64_t *ret_end)
{
    return inner(s)->due(inner(s), b, from, ret_first, ret_end);
}

static void owe(struct gw_source *s, struct gw_ram_block *b, uint64_t first, uint64_t count)
{
    inner(s)->owe(inner(s), b, first, count);
}

static int settle(struct gw_source *s, struct gw_ram_block *b, uint64_t first, uint64_t count, struct gw_error *err)
{
    return inner(s)->settle(inner(s), b, first, count, err);
}

static int take(struct gw_source *s, struct gw_batch *batch, struct gw_ram_block *b, uint64_t first, uint64_t count,
                struct gw_error *err)
{
    return inner(s)->take(inner(s), batch, b, first, count, err);
}

void gw_around_init(struct gw_around *around, struct gw_source *take_inner)
{
    around->inner = take_inner;
    around->source = (struct gw_source){.begin = begin,
                                        .next = next,
                                        .sync = sync_inner,
                                        .pending = pending,
                                        .sent = take_inner->sent ? sent : NULL,
                                        .wait = take_inner->wait ? wait_inner : NULL,
                                        .once = take_inner->once,
                                        .end = end,
                                        .due = take_inner->due ? due : NULL,
                                        .owe = take_inner->owe ? owe : NULL,
                                        .settle = take_inner->settle ? settle : NULL,
                                        .take = take_inner->take ? take : NULL};
}
