/* SPDX-License-Identifier: MIT */
#include "image/sweep.h"

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
    s->chunk_pages = GW_SWEEP_BYTES / image->page_bytes;
    s->data = malloc(GW_SWEEP_BYTES);
    s->kinds = malloc(s->chunk_pages);
    if (s->data && s->kinds)
        return 0;
    gw_sweep_close(s);
    return gw_nomem(err, "contents of RAM");
}

void gw_sweep_close(struct gw_sweep *s)
{
    free(s->data);
    free(s->kinds);
    s->data = s->kinds = NULL;
}

void gw_sweep_range(struct gw_sweep *s, unsigned block, uint64_t first, uint64_t count)
{
    s->block = block;
    s->first = first;
    s->count = 0;
    s->end = first + count;
}

void gw_sweep_block(struct gw_sweep *s, unsigned block)
{
    gw_sweep_range(s, block, 0, s->image->blocks[block].pages);
}

int gw_sweep_next(struct gw_sweep *s, struct gw_error *err)
{
    int r;

    s->done_bytes += s->count * s->image->page_bytes;
    if (s->progress && s->progress(s->opaque, s->done_bytes, s->total_bytes))
        return gw_fail(err, -ECANCELED, GW_BLAME_CALLER, "canceled");
    s->first += s->count;
    s->count = GW_MIN(s->end - s->first, s->chunk_pages);
    if (!s->count)
        return 0;
    r = gw_image_map(s->image, s->block, s->first, s->count, s->kinds, err);
    if (r < 0)
        return r;
    s->any = !gw_all_zero(s->kinds, (size_t)s->count);
    return 1;
}

int gw_sweep_read(struct gw_sweep *s, struct gw_error *err)
{
    return gw_image_pages(s->image, s->block, s->first, s->count, s->data, err);
}
