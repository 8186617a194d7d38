/* SPDX-License-Identifier: MIT */
#include "ram/tracker/tracker.h"

static int explicit_start(struct gw_tracker *t, struct gw_error *err)
{
    return 0;
}

static int explicit_sync(struct gw_tracker *t, struct gw_ram_block *b, uint64_t *ret_new, struct gw_error *err)
{
    *ret_new += gw_marks_take(&t->marks, t, b);
    return 0;
}

static int explicit_clean(struct gw_tracker *t, struct gw_ram_block *b, uint64_t first, uint64_t pages,
                          uint64_t *ret_new, struct gw_error *err)
{
    /* Marks are always armed: a later write is found by the next sync. */
    *ret_new += gw_marks_take_chunks(&t->marks, t, b, first, pages);
    return 0;
}

static void explicit_stop(struct gw_tracker *t)
{
}

static struct gw_tracker *explicit_free(struct gw_tracker *t)
{
    free(t);
    return NULL;
}

static const struct gw_tracker_ops explicit_ops = {
    .name = "explicit",
    .start = explicit_start,
    .sync = explicit_sync,
    .clean = explicit_clean,
    .stop = explicit_stop,
    .free = explicit_free,
};

int gw_tracker_explicit_new(struct gw_ram *ram, struct gw_tracker **ret, struct gw_error *err)
{
    struct gw_tracker *t = calloc(1, sizeof *t);

    if (!t)
        return gw_nomem(err, "dirty tracker");
    t->ops = &explicit_ops;
    t->ram = ram;
    *ret = t;
    return 0;
}
