/* SPDX-License-Identifier: MIT
 *
 * Contents are read once, each stored page for all of its places; only their hashes are kept. Later walks over the
 * pages read only the index of the file.
 */
#include "godwit/ram_map.h"

#include <math.h>

#include "base/bitmap.h"
#include "examine/hashes.h"
#include "examine/pages.h"
#include "image/image.h"
#include "image/once.h"
#include "image/pull.h"

#define LOG_TABLE 4097u

/* A unit is a stored page of an image that numbers them, else a page that may have contents, in the order of the image. */
struct gw_ram_map {
    struct gw_image *image;
    uint64_t units;
    uint64_t *hash;    /* hash of each unit; 0: zeros */
    uint64_t *entropy; /* a byte for each unit, 255 means 8 bits per byte; NULL: not requested */
    uint64_t *first;   /* the first unit of each block, in an image without page numbers */
    struct gw_hashes hashes; /* hashes of all places */
    uint64_t (*bytes)[GW_RAM_KINDS]; /* bytes of each kind, for each block */
    uint64_t histogram[GW_RAM_ENTROPY_STEPS];
    double *log; /* n * log2(n) */
};

const char *gw_ram_kind_name(enum gw_ram_kind kind)
{
    static const char *const names[GW_RAM_KINDS] = {"zero", "data", "shared", "missing"};

    return kind < GW_RAM_KINDS ? names[kind] : "unknown";
}

/* ---- units ------------------------------------------------------------------------------------------------------- */

/* Sets the units of a chunk's pages; NONE: zeros. next: the next unit, in an image without page numbers. */
#define NONE UINT64_MAX
static int units_of(const struct gw_ram_map *m, unsigned block, uint64_t first, unsigned count, uint64_t *next, uint64_t *units,
                    struct gw_error *err)
{
    uint32_t numbers[GW_PULL_PAGES];
    uint8_t kinds[GW_PULL_PAGES];
    int r;

    if (m->image->ops->numbers) {
        r = m->image->ops->numbers(m->image, block, first, count, numbers, err);
        for (unsigned i = 0; i < count && r >= 0; i++)
            units[i] = numbers[i] == GW_IMAGE_ZEROS ? NONE : numbers[i];
        return r;
    }
    r = gw_image_map(m->image, block, first, count, kinds, err);
    for (unsigned i = 0; i < count && r >= 0; i++)
        units[i] = kinds[i] ? (*next)++ : NONE;
    return r;
}

struct span {
    uint64_t first, count; /* pages */
    uint64_t unit;         /* NONE: zeros, or missing */
    bool missing;
    uint64_t place;        /* file offset; NONE: not stored as it is */
};
typedef int (*span_fn)(void *opaque, const struct span *span);

static bool is_missing(const struct gw_image *image, unsigned block, uint64_t page)
{
    return image->received && (!image->received[block] || !gw_bitmap_test(image->received[block], page));
}

static int walk_chunk(const struct gw_ram_map *m, unsigned block, uint64_t first, unsigned count, bool places, uint64_t *next, span_fn fn,
                      void *opaque, struct gw_error *err)
{
    struct gw_image *image = m->image;
    uint64_t units[GW_PULL_PAGES], at[GW_PULL_PAGES];
    int r = units_of(m, block, first, count, next, units, err);

    places = places && image->ops->places && !image->unpacked;
    if (r >= 0 && places)
        r = image->ops->places(image, block, first, count, at, err);
    for (unsigned i = 0; i < count && r >= 0; i++) {
        struct span s = {first + i, 1, units[i], false, places && units[i] != NONE ? at[i] : NONE};

        s.missing = is_missing(image, block, first + i);
        r = fn(opaque, &s);
    }
    return r;
}

/* Visits all pages of a block in order; groups of zeros in one step. */
static int walk(const struct gw_ram_map *m, unsigned block, bool places, span_fn fn, void *opaque, struct gw_error *err)
{
    uint64_t pages = m->image->blocks[block].pages, next = m->first[block], n;
    int r = 0;

    for (uint64_t at = 0; at < pages && r >= 0; at += n) {
        bool whole = at % GW_IMAGE_GROUP == 0 && !m->image->received && gw_image_empty(m->image, block, at / GW_IMAGE_GROUP);

        n = GW_MIN(pages - at, whole ? GW_IMAGE_GROUP : GW_PULL_PAGES);
        if (whole)
            r = fn(opaque, &(struct span){at, n, NONE, false, NONE});
        else
            r = walk_chunk(m, block, at, (unsigned)n, places, &next, fn, opaque, err);
    }
    return r;
}

static enum gw_ram_kind kind_of(const struct gw_ram_map *m, const struct span *s)
{
    if (s->missing)
        return GW_RAM_IS_MISSING;
    if (s->unit == NONE || !m->hash[s->unit])
        return GW_RAM_IS_ZERO;
    return gw_hashes_is_repeated(&m->hashes, m->hash[s->unit]) ? GW_RAM_IS_SHARED : GW_RAM_IS_DATA;
}

static uint8_t entropy_of(const struct gw_ram_map *m, const struct span *s)
{
    return m->entropy && s->unit != NONE ? ((const uint8_t *)m->entropy)[s->unit] : 0;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static double n_log_n(const struct gw_ram_map *m, uint32_t n)
{
    return n < LOG_TABLE ? m->log[n] : (double)n * log2(n);
}

/* In 255ths of 8 bits. */
static uint8_t measure(const struct gw_ram_map *m, const uint8_t *page, uint32_t bytes)
{
    uint32_t counts[256] = {0};
    double sum = 0;

    for (uint32_t i = 0; i < bytes; i++)
        counts[page[i]]++;
    for (unsigned i = 0; i < 256; i++)
        sum += n_log_n(m, counts[i]);
    return (uint8_t)lround(GW_MAX(log2(bytes) - sum / bytes, 0) * 255 / 8);
}

static int take_chunk(struct gw_ram_map *m, const struct gw_pull_chunk *c, uint64_t *next, struct gw_error *err)
{
    uint32_t bytes = m->image->page_bytes;
    uint64_t units[GW_PULL_PAGES];
    int r = units_of(m, c->block, c->first, c->count, next, units, err);

    for (unsigned i = 0; i < c->count && r >= 0; i++) {
        const uint8_t *page = c->data + (size_t)i * bytes;

        if (!c->filled[i] || units[i] >= m->units)
            continue;
        m->hash[units[i]] = gw_page_hash(page, bytes);
        if (m->entropy)
            ((uint8_t *)m->entropy)[units[i]] = measure(m, page, bytes);
    }
    return r;
}

static int read_contents(struct gw_ram_map *m, gw_examine_progress_fn progress, void *opaque, struct gw_error *err)
{
    const struct gw_pull_config config = {.zeros_as_told = true, .without_empty = true};
    struct gw_pull_chunk *chunk = NULL;
    struct gw_pull *pull = NULL;
    struct gw_image *once = NULL;
    uint64_t filled, done = 0, next = 0;
    int r = m->image->ops->numbers ? gw_once_new(m->image, &once, &filled, err) : 0;

    if (r >= 0)
        r = gw_pull_new(once ? once : m->image, &config, &pull, err);
    while (r >= 0 && (r = gw_pull_next(pull, &chunk, err)) > 0) {
        r = take_chunk(m, chunk, &next, err);
        done += (uint64_t)chunk->count * m->image->page_bytes;
        if (r >= 0 && progress && progress(opaque, done, 0))
            r = gw_fail(err, -ECANCELED, GW_BLAME_CALLER, "cancelled");
    }
    gw_pull_free(pull);
    gw_once_free(once);
    return r;
}

/* ---- counting ---------------------------------------------------------------------------------------------------- */

struct counting {
    struct gw_ram_map *m;
    unsigned block;
};

static int count_unit(void *opaque, const struct span *s)
{
    struct counting *c = opaque;

    c->m->units += s->unit != NONE;
    return 0;
}

static int count_hash(void *opaque, const struct span *s)
{
    const struct counting *c = opaque;
    uint64_t hash = s->unit == NONE ? 0 : c->m->hash[s->unit];

    return hash && !s->missing ? gw_hashes_add(&c->m->hashes, hash) : 0;
}

static int count_kind(void *opaque, const struct span *s)
{
    struct counting *c = opaque;
    enum gw_ram_kind kind = kind_of(c->m, s);

    c->m->bytes[c->block][kind] += s->count * c->m->image->page_bytes;
    if (c->m->entropy && (kind == GW_RAM_IS_DATA || kind == GW_RAM_IS_SHARED))
        c->m->histogram[GW_MIN(entropy_of(c->m, s) * GW_RAM_ENTROPY_STEPS / 255, GW_RAM_ENTROPY_STEPS - 1)]++;
    return 0;
}

static int count_all(struct gw_ram_map *m, span_fn fn, struct gw_error *err)
{
    struct counting c = {m, 0};
    int r = 0;

    for (; c.block < m->image->block_count && r >= 0; c.block++)
        r = walk(m, c.block, false, fn, &c, err);
    return r == -ENOMEM ? gw_nomem(err, "map of RAM") : r;
}

/* Counts the units, and sets each block's first one. */
static int number_units(struct gw_ram_map *m, struct gw_error *err)
{
    struct counting c = {m, 0};
    int r = 0;

    if (m->image->ops->numbers) {
        m->units = m->image->stored_pages;
        return 0;
    }
    for (; c.block < m->image->block_count && r >= 0; c.block++) {
        m->first[c.block] = m->units;
        r = walk(m, c.block, false, count_unit, &c, err);
    }
    return r;
}

static int make_tables(struct gw_ram_map *m, bool entropy, struct gw_error *err)
{
    m->hash = gw_bitmap_new(m->units * 64);
    if (entropy) {
        m->entropy = gw_bitmap_new(m->units * 8);
        m->log = malloc(LOG_TABLE * sizeof *m->log);
    }
    if (!m->hash || (entropy && (!m->entropy || !m->log)))
        return gw_nomem(err, "map of RAM");
    for (unsigned i = 0; entropy && i < LOG_TABLE; i++)
        m->log[i] = i ? i * log2(i) : 0;
    return 0;
}

int gw_ram_map_new(struct gw_image *image, bool entropy, gw_examine_progress_fn progress, void *opaque, struct gw_ram_map **ret_map,
                   struct gw_error *err)
{
    struct gw_ram_map *m = calloc(1, sizeof *m);
    size_t blocks = GW_MAX(image->block_count, 1u);
    int r = 0;

    if (m) {
        m->image = image;
        m->first = calloc(blocks, sizeof *m->first);
        m->bytes = calloc(blocks, sizeof *m->bytes);
    }
    if (!m || !m->first || !m->bytes)
        r = gw_nomem(err, "map of RAM");
    if (r >= 0)
        r = number_units(m, err);
    if (r >= 0)
        r = make_tables(m, entropy, err);
    if (r >= 0)
        r = read_contents(m, progress, opaque, err);
    if (r >= 0)
        r = count_all(m, count_hash, err);
    if (r >= 0)
        r = count_all(m, count_kind, err);
    if (r < 0) {
        gw_ram_map_free(m);
        return r;
    }
    *ret_map = m;
    return 0;
}

struct gw_ram_map *gw_ram_map_free(struct gw_ram_map *m)
{
    if (!m)
        return NULL;
    gw_bitmap_free(m->hash, m->units * 64);
    gw_bitmap_free(m->entropy, m->units * 8);
    gw_hashes_close(&m->hashes);
    free(m->first);
    free(m->bytes);
    free(m->log);
    free(m);
    return NULL;
}

uint64_t gw_ram_map_bytes(const struct gw_ram_map *m, unsigned block, enum gw_ram_kind kind)
{
    return block < m->image->block_count && kind < GW_RAM_KINDS ? m->bytes[block][kind] : 0;
}

void gw_ram_map_entropy(const struct gw_ram_map *m, uint64_t ret_pages[GW_RAM_ENTROPY_STEPS])
{
    memcpy(ret_pages, m->histogram, sizeof m->histogram);
}

/* ---- runs -------------------------------------------------------------------------------------------------------- */

struct running {
    const struct gw_ram_map *m;
    struct gw_ram_run run; /* bytes 0: no run yet */
    uint64_t last;         /* place of its last page */
    void (*fn)(void *opaque, const struct gw_ram_run *run);
    void *opaque;
};

/* Whether the page continues the run. The second page sets the distance between pages. */
static bool goes_on(struct running *r, enum gw_ram_kind kind, uint64_t place)
{
    uint64_t page = r->m->image->page_bytes;

    if (!r->run.bytes || r->run.kind != kind || r->run.has_place != (place != NONE))
        return false;
    if (place == NONE)
        return true;
    if (place < r->last + page || (r->run.bytes > page && place - r->last != r->run.stride))
        return false;
    if (r->run.bytes == page && place - r->last > 2 * page) /* the page is somewhere else */
        return false;
    r->run.stride = place - r->last;
    return true;
}

static int add_to_run(void *opaque, const struct span *s)
{
    struct running *r = opaque;
    enum gw_ram_kind kind = kind_of(r->m, s);
    uint64_t page = r->m->image->page_bytes, place = kind == GW_RAM_IS_ZERO || kind == GW_RAM_IS_MISSING ? NONE : s->place;

    if (!goes_on(r, kind, place)) {
        if (r->run.bytes)
            r->fn(r->opaque, &r->run);
        r->run = (struct gw_ram_run){.block = r->run.block, .kind = kind, .offset = s->first * page, .has_place = place != NONE,
                                     .place = place != NONE ? place : 0, .stride = place != NONE ? page : 0};
    }
    r->run.bytes += s->count * page;
    r->last = place;
    return 0;
}

static int check_block(const struct gw_ram_map *m, unsigned block, struct gw_error *err)
{
    return block < m->image->block_count ? 0 : gw_fail(err, -EINVAL, GW_BLAME_CALLER, "there is no RAM block number %u", block);
}

int gw_ram_map_runs(const struct gw_ram_map *m, unsigned block, bool places, void (*run)(void *opaque, const struct gw_ram_run *run),
                    void *opaque, struct gw_error *err)
{
    struct running running = {.m = m, .run.block = block, .fn = run, .opaque = opaque};
    int r = check_block(m, block, err);

    if (r >= 0)
        r = walk(m, block, places, add_to_run, &running, err);
    if (r >= 0 && running.run.bytes)
        run(opaque, &running.run);
    return r < 0 ? r : 0;
}

/* ---- cells ------------------------------------------------------------------------------------------------------- */

struct filling {
    const struct gw_ram_map *m;
    uint64_t cell_pages;
    struct gw_ram_cell *cells;
    size_t count;
};

static int add_to_cells(void *opaque, const struct span *s)
{
    struct filling *f = opaque;
    enum gw_ram_kind kind = kind_of(f->m, s);
    uint64_t end = s->first + s->count;

    for (uint64_t at = s->first, to; at < end && at / f->cell_pages < f->count; at = to) {
        struct gw_ram_cell *c = &f->cells[at / f->cell_pages];

        to = GW_MIN(end, (at / f->cell_pages + 1) * f->cell_pages);
        c->pages[kind] += to - at;
        if (kind == GW_RAM_IS_DATA || kind == GW_RAM_IS_SHARED)
            c->bits += entropy_of(f->m, s) * 8 / 255.0;
    }
    return 0;
}

int gw_ram_map_cells(const struct gw_ram_map *m, unsigned block, uint64_t cell_pages, struct gw_ram_cell *cells, size_t count,
                     struct gw_error *err)
{
    struct filling f = {m, cell_pages, cells, count};
    int r = check_block(m, block, err);

    if (r >= 0 && !cell_pages)
        r = gw_fail(err, -EINVAL, GW_BLAME_CALLER, "a piece of no pages");
    if (r < 0)
        return r;
    memset(cells, 0, count * sizeof *cells);
    r = walk(m, block, false, add_to_cells, &f, err);
    for (size_t i = 0; i < count && r >= 0; i++) {
        uint64_t filled = cells[i].pages[GW_RAM_IS_DATA] + cells[i].pages[GW_RAM_IS_SHARED];

        if (filled)
            cells[i].bits /= (double)filled;
    }
    return r < 0 ? r : 0;
}
