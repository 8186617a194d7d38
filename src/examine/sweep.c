/* SPDX-License-Identifier: MIT */
#include "examine/sweep.h"

bool gw_all_zero(const uint8_t *p, size_t bytes)
{
    return !bytes || (!p[0] && !memcmp(p, p + 1, bytes - 1));
}

uint64_t gw_image_ram_bytes(const struct gw_image *image)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < image->block_count; i++)
        if (gw_add_overflows(sum, image->blocks[i].used_bytes, &sum))
            return UINT64_MAX;
    return sum;
}

int gw_sweep_init(struct gw_sweep *s, struct gw_image *image, uint64_t total_bytes, gw_examine_progress_fn progress,
                  void *opaque, struct gw_error *err)
{
    *s = (struct gw_sweep){.image = image, .progress = progress, .opaque = opaque, .total_bytes = total_bytes};
    s->chunk_pages = GW_MIN(GW_SWEEP_BYTES / image->page_bytes, GW_PULL_PAGES);
    s->kinds = malloc(s->chunk_pages);
    return s->kinds ? 0 : gw_nomem(err, "contents of RAM");
}

static void end_pull(struct gw_sweep *s)
{
    gw_pull_free(s->pull);
    s->pull = NULL;
    s->data = NULL;
}

void gw_sweep_close(struct gw_sweep *s)
{
    end_pull(s);
    free(s->kinds);
    s->kinds = NULL;
}

void gw_sweep_range(struct gw_sweep *s, unsigned block, uint64_t first, uint64_t count)
{
    end_pull(s);
    s->block = block;
    s->first = first;
    s->count = 0;
    s->end = first + count;
}

void gw_sweep_block(struct gw_sweep *s, unsigned block)
{
    gw_sweep_range(s, block, 0, s->image->blocks[block].pages);
}

/* Takes the next chunk. 0: no more. */
static int take(struct gw_sweep *s, struct gw_error *err)
{
    struct gw_pull_chunk *c = NULL;
    uint64_t at = s->first;
    int r;

    s->error = (struct gw_error)GW_ERROR_INIT;
    r = gw_pull_next(s->pull, &c, &s->error);
    s->first = r ? c->first : s->end; /* no chunk is held, so memory for the next one is always available */
    s->done_bytes += (s->first - at) * s->image->page_bytes;
    if (!r)
        return 0;
    s->count = c->count;
    s->data = c->data;
    memcpy(s->kinds, c->filled, c->count);
    if (r < 0) {
        s->error.code = r;
        /* Finds out whether only the contents are unreadable, or also which pages have contents. */
        r = gw_image_map(s->image, s->block, s->first, s->count, s->kinds, err);
        if (r < 0)
            return r;
    }
    s->any = !gw_all_zero(s->kinds, (size_t)s->count);
    return 1;
}

static int begin(struct gw_sweep *s, struct gw_error *err)
{
    const struct gw_pull_range range = {s->block, s->first, s->end - s->first};
    const struct gw_pull_config config = {.ranges = &range,
                                          .range_count = 1,
                                          .chunk_pages = (unsigned)s->chunk_pages,
                                          .zeros_as_told = true,
                                          .without_empty = true,
                                          .beside = s->beside,
                                          .beside_block = s->beside_block};

    return gw_pull_new(s->image, &config, &s->pull, err);
}

static int tell(struct gw_sweep *s, struct gw_error *err)
{
    return s->progress && s->progress(s->opaque, s->done_bytes, s->total_bytes)
               ? gw_fail(err, -ECANCELED, GW_BLAME_CALLER, "canceled")
               : 0;
}

int gw_sweep_next(struct gw_sweep *s, struct gw_error *err)
{
    int r;

    s->done_bytes += s->count * s->image->page_bytes;
    s->first += s->count;
    s->count = 0;
    r = tell(s, err);
    if (r >= 0 && s->first != s->end) {
        r = s->pull ? 0 : begin(s, err);
        r = r < 0 ? r : take(s, err);
        if (!r) /* the range ended with empty groups */
            r = tell(s, err);
    }
    if (!r)
        end_pull(s);
    return r;
}

int gw_sweep_read(struct gw_sweep *s, struct gw_error *err)
{
    uint32_t page_bytes = s->image->page_bytes;

    if (s->error.code) {
        if (err)
            *err = s->error;
        return s->error.code;
    }
    for (uint64_t i = 0; i < s->count; i++)
        if (!s->kinds[i])
            memset(s->data + i * page_bytes, 0, page_bytes);
    return 0;
}
