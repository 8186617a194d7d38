/* SPDX-License-Identifier: MIT */
#include "image/expected.h"

struct gw_expected {
    struct gw_image *image;
    struct gw_pull *pull;
    struct gw_pull_chunk *chunk; /* the last chunk; NULL: none, or it could not be read */
    bool ended;
};

int gw_expected_new(struct gw_image *image, const struct gw_pull_range *ranges, unsigned count,
                    struct gw_expected **ret, struct gw_error *err)
{
    const struct gw_pull_config config = {
        .ranges = ranges, .range_count = count, .chunk_pages = GW_EXPECTED_PAGES, .ahead = GW_EXPECTED_AHEAD};
    struct gw_expected *e = calloc(1, sizeof *e);
    int r;

    if (!e)
        return gw_nomem(err, "working set");
    e->image = image;
    r = gw_pull_new(image, &config, &e->pull, err);
    if (r < 0) {
        free(e);
        return r;
    }
    *ret = e;
    return 0;
}

static bool has(const struct gw_pull_chunk *c, unsigned block, uint64_t page)
{
    return c && c->block == block && page >= c->first && page - c->first < c->count;
}

/* The chunk with this page; NULL: it is not read ahead any more, or could not be read. */
static const struct gw_pull_chunk *find(struct gw_expected *e, unsigned block, uint64_t page)
{
    while (!e->ended && !has(e->chunk, block, page)) {
        struct gw_pull_chunk *c = NULL;
        int r = gw_pull_next(e->pull, &c, NULL);

        e->ended = !r || (r < 0 && !c);
        e->chunk = r > 0 ? c : NULL;
        if (r < 0 && has(c, block, page))
            break; /* the page is read again directly, which reports the error */
    }
    return has(e->chunk, block, page) ? e->chunk : NULL;
}

int gw_expected_fetch(struct gw_expected *e, unsigned block, uint64_t first, uint64_t count, uint8_t *kinds,
                      uint8_t *dst, struct gw_error *err)
{
    uint32_t bytes = e->image->page_bytes;
    uint64_t n;
    int r = 0;

    for (uint64_t at = 0; at < count && r >= 0; at += n) {
        const struct gw_pull_chunk *c = find(e, block, first + at);
        uint64_t in = c ? first + at - c->first : 0;

        n = c ? GW_MIN(count - at, c->count - in) : 1;
        for (uint64_t i = 0; c && i < n; i++) {
            kinds[at + i] = c->filled[in + i];
            if (c->filled[in + i])
                memcpy(dst + (at + i) * bytes, c->data + (in + i) * bytes, bytes);
        }
        if (!c)
            r = gw_image_fetch(e->image, block, first + at, n, kinds + at, dst + at * bytes, err);
    }
    return r;
}

struct gw_expected *gw_expected_free(struct gw_expected *e)
{
    if (e)
        gw_pull_free(e->pull);
    free(e);
    return NULL;
}
