/* SPDX-License-Identifier: MIT
 *
 * Pages of a parked file: the index says which number a page has, a frame has the pages of neighbouring numbers.
 */
#include "image/parked/reader.h"

/* ---- the index ----------------------------------------------------------------------------------------------------
 */

static uint32_t group_pages(const struct gw_image_block *b, uint64_t group)
{
    return (uint32_t)GW_MIN(b->pages - group * GW_PARKED_GROUP_PAGES, GW_PARKED_GROUP_PAGES);
}

/* After this check the runs can be trusted: they cover exactly the group's pages, and all their numbers exist. */
static int check_runs(const struct gw_parked *p, const struct gw_parked_group *g, const uint8_t *runs, uint32_t pages,
                      struct gw_error *err)
{
    struct gw_parked_runs_reader r = {runs, runs + g->bytes, g->next};
    uint32_t done = 0;

    while (r.p < r.end) {
        struct gw_parked_run run;
        int e = gw_parked_runs_get(&r, &run, err);

        if (e < 0)
            return e;
        if (run.pages > pages - done)
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "its runs cover more than its %u pages", pages);
        done += run.pages;
        if (run.kind != GW_PARKED_ZERO &&
            (run.number >= p->trailer.numbers ||
             (run.kind != GW_PARKED_REPEAT && run.pages > p->trailer.numbers - run.number)))
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "it names stored pages from %u on, but there are only %" PRIu64, run.number,
                           p->trailer.numbers);
    }
    return done == pages
               ? 0
               : gw_fail(err, -EPROTO, GW_BLAME_PEER, "its runs cover only %u of its %u pages", done, pages);
}

static int find_group(struct gw_image *image, unsigned block, uint64_t group, const uint8_t **ret, struct gw_error *err)
{
    struct gw_parked *p = image->own;
    struct gw_parked_group *g = &p->groups[block][group];
    const struct gw_image_block *b = &image->blocks[block];
    uint8_t *data = NULL;
    int r;

    *ret = atomic_load(&g->runs);
    if (*ret)
        return 0;
    r = gw_parked_load(p, g->at, g->bytes, g->crc, &data, err);
    if (r >= 0)
        r = check_runs(p, g, data, group_pages(b, group), err);
    if (r < 0) {
        free(data);
        gw_context(err, "%s: page index of RAM block %s from page %" PRIu64 " on, at byte %" PRIu64, p->name, b->name,
                   group * GW_PARKED_GROUP_PAGES, g->at);
        return r;
    }
    *ret = gw_parked_publish(&g->runs, data);
    return 0;
}

/* The numbers of pages [first, first + count) of a group, GW_PARKED_NO_NUMBER for zeros. */
static void lookup(const struct gw_parked_group *g, const uint8_t *runs, uint32_t first, uint32_t count,
                   uint32_t *numbers)
{
    struct gw_parked_runs_reader r = {runs, runs + g->bytes, g->next};
    uint32_t at = 0, end = first + count;

    while (at < end) {
        struct gw_parked_run run = {0};
        uint32_t from, to;

        if (gw_parked_runs_get(&r, &run, NULL) < 0)
            return; /* checked before; cannot happen */
        from = GW_MAX(at, first);
        to = GW_MIN(at + run.pages, end);
        for (uint32_t i = from; i < to; i++)
            numbers[i - first] = run.kind == GW_PARKED_ZERO     ? GW_PARKED_NO_NUMBER
                                 : run.kind == GW_PARKED_REPEAT ? run.number
                                                                : run.number + (i - at);
        at += run.pages;
    }
}

/* Finds the numbers of the pages that lie in the same group as the first, at most GW_PARKED_SLICE; returns how many. */
static int find_numbers(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint32_t *numbers,
                        uint32_t *ret_count, struct gw_error *err)
{
    struct gw_parked *p = image->own;
    uint64_t group = first / GW_PARKED_GROUP_PAGES;
    uint32_t in_group = (uint32_t)(first % GW_PARKED_GROUP_PAGES);
    uint32_t n = (uint32_t)GW_MIN(GW_MIN(count, GW_PARKED_SLICE), GW_PARKED_GROUP_PAGES - in_group);
    const struct gw_parked_group *g = &p->groups[block][group];
    const uint8_t *runs;
    int r = 0;

    *ret_count = n;
    for (uint32_t i = 0; i < n; i++)
        numbers[i] = GW_PARKED_NO_NUMBER;
    if (!g->bytes)
        return 0;
    r = find_group(image, block, group, &runs, err);
    if (r >= 0)
        lookup(g, runs, in_group, n, numbers);
    return r;
}

static int parked_numbers(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint32_t *numbers,
                          struct gw_error *err)
{
    int r = 0;

    for (uint32_t n; r >= 0 && count; first += n, count -= n, numbers += n)
        r = find_numbers(image, block, first, count, numbers, &n, err);
    return r;
}

static int parked_map(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *kinds,
                      struct gw_error *err)
{
    uint32_t numbers[GW_PARKED_SLICE], n;

    for (uint64_t done = 0; done < count; done += n) {
        int r = find_numbers(image, block, first + done, count - done, numbers, &n, err);

        if (r < 0)
            return r;
        for (uint32_t i = 0; i < n; i++)
            kinds[done + i] = numbers[i] != GW_PARKED_NO_NUMBER;
    }
    return 0;
}

/* ---- pages -------------------------------------------------------------------------------------------------------
 */

/* kinds NULL: zeros are written to dst. */
static int read_pages(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *kinds,
                      uint8_t *dst, struct gw_error *err)
{
    struct gw_parked *p = image->own;
    uint32_t numbers[GW_PARKED_SLICE], n;

    for (uint64_t done = 0; done < count; done += n) {
        int r = find_numbers(image, block, first + done, count - done, numbers, &n, err);

        if (r < 0)
            return r;
        for (uint32_t i = 0; kinds && i < n; i++)
            kinds[done + i] = numbers[i] != GW_PARKED_NO_NUMBER;
        r = gw_parked_pages(p, numbers, n, !kinds, dst + done * image->page_bytes, err);
        if (r < 0) {
            gw_context(err, "%s: RAM block %s", p->name, image->blocks[block].name);
            return r;
        }
    }
    return 0;
}

static int parked_read(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *dst,
                       struct gw_error *err)
{
    return read_pages(image, block, first, count, NULL, dst, err);
}

static int parked_fetch(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *kinds,
                        uint8_t *dst, struct gw_error *err)
{
    return read_pages(image, block, first, count, kinds, dst, err);
}

/* A frame that is stored uncompressed consists of its pages as they are. */
static int parked_places(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint64_t *at, struct gw_error *err)
{
    struct gw_parked *p = image->own;
    uint32_t per = p->trailer.frame_pages, numbers[GW_PARKED_SLICE], n, frame = GW_PARKED_NO_NUMBER;
    struct gw_parked_extent x = {0};
    int r = 0;

    for (uint64_t done = 0; done < count && r >= 0; done += n) {
        r = find_numbers(image, block, first + done, count - done, numbers, &n, err);
        for (uint32_t i = 0; i < n && r >= 0; i++) {
            at[done + i] = GW_IMAGE_NOWHERE;
            if (numbers[i] == GW_PARKED_NO_NUMBER)
                continue;
            if (numbers[i] / per != frame)
                r = gw_parked_find_frame(p, frame = numbers[i] / per, &x, err);
            if (r >= 0 && x.bytes == x.raw_bytes)
                at[done + i] = x.at + (uint64_t)(numbers[i] % per) * image->page_bytes;
        }
    }
    return r;
}

static void parked_close(struct gw_image *image)
{
    struct gw_parked *p = image->own;

    gw_parked_frames_close(p);
    gw_bulk_close(&p->bulk);
    for (unsigned i = 0; p->groups && i < image->block_count; i++) {
        for (uint64_t g = 0; p->groups[i] && g < gw_div_up(image->blocks[i].pages, GW_PARKED_GROUP_PAGES); g++)
            free(atomic_load(&p->groups[i][g].runs));
        free(p->groups[i]);
    }
    free(p->groups);
    for (uint32_t g = 0; p->frames && g < p->frames_groups; g++)
        free(atomic_load(&p->frames[g].table));
    free(p->frames);
    gw_bytes_free(p->bytes);
    free(p);
}

_Static_assert(GW_IMAGE_ZEROS == GW_PARKED_NO_NUMBER, "zeros have no number");
_Static_assert(GW_IMAGE_GROUP == GW_PARKED_GROUP_PAGES, "each group has its own entry in the directory");

static bool parked_empty(const struct gw_image *image, unsigned block, uint64_t group)
{
    const struct gw_parked *p = image->own;

    return !p->groups[block][group].bytes;
}

const struct gw_image_ops gw_parked_ops = {parked_map,      parked_read,  parked_close,
                                           gw_parked_check, parked_fetch, parked_empty, parked_numbers,
                                           parked_places,   gw_parked_behind};
