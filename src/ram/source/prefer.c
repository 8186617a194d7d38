/* SPDX-License-Identifier: MIT */
#include "ram/source/prefer.h"

#include "ram/source/around.h"

struct gw_prefer {
    struct gw_around around;
    struct gw_ram *ram;
    const struct gw_working_set *set;
    struct gw_ram_block **blocks; /* by block of the set; NULL: it is not sent, or does not exist */
    bool beside;                  /* all runs that were requested were given: now those that were sent beside them */
    size_t run;                   /* the current run */
    uint64_t at;                  /* given up to this page; UINT64_MAX: the run was not begun */
};

static struct gw_prefer *of(struct gw_source *source)
{
    return GW_CONTAINER(source, struct gw_prefer, around.source);
}

/* The rest of the run, in whole host pages. false: nothing is left of it. */
static bool rest(struct gw_prefer *p, struct gw_ram_block *b, uint64_t *ret_first, uint64_t *ret_count)
{
    const struct gw_working_run *run = &p->set->runs[p->run];
    uint64_t host = GW_MAX(b->page_bytes >> p->ram->page_bits, UINT64_C(1));
    uint64_t end = GW_MIN(gw_div_up(run->first + run->count, host) * host, b->pages);

    if (p->at == UINT64_MAX)
        p->at = run->first - run->first % host;
    *ret_first = p->at;
    *ret_count = p->at < end ? GW_MIN(end - p->at, (uint64_t)GW_BATCH_PAGES) : 0;
    return *ret_count;
}

/* The next pages to give, in one run; NULL: all were given. */
static struct gw_ram_block *current(struct gw_prefer *p, uint64_t *ret_first, uint64_t *ret_count)
{
    for (;;) {
        const struct gw_working_run *run = p->run < p->set->run_count ? &p->set->runs[p->run] : NULL;
        struct gw_ram_block *b = run ? p->blocks[run->block] : NULL;

        if (b && run->beside == p->beside && rest(p, b, ret_first, ret_count))
            return b;
        if (!run && p->beside)
            return NULL;
        p->beside |= !run;
        p->run = run ? p->run + 1 : 0;
        p->at = UINT64_MAX;
    }
}

static void rewind_runs(struct gw_prefer *p)
{
    p->beside = false;
    p->run = 0;
    p->at = UINT64_MAX;
}

/* Tells the inner source all pages that will be given, in that order. */
static int expect(struct gw_prefer *p, struct gw_error *err)
{
    struct gw_source_range *ranges = NULL;
    size_t count = 0, room = 0;
    struct gw_ram_block *b;
    uint64_t first, n;
    int r = 0;

    while (r >= 0 && (b = current(p, &first, &n))) {
        if (count == room) {
            struct gw_source_range *grown = reallocarray(ranges, room = room ? room * 2 : 64, sizeof *ranges);

            r = grown ? 0 : gw_nomem(err, "working set");
            ranges = grown ? grown : ranges;
        }
        if (r >= 0)
            ranges[count++] = (struct gw_source_range){b, first, n};
        p->at += n;
    }
    if (r >= 0)
        r = p->around.inner->expect(p->around.inner, ranges, count, err);
    free(ranges);
    return r;
}

static int begin(struct gw_source *source, const bool *goes, struct gw_error *err)
{
    struct gw_prefer *p = of(source);
    int r;

    for (uint32_t i = 0; i < p->set->block_count; i++) {
        struct gw_ram_block *b = gw_ram_find(p->ram, p->set->blocks[i].name);

        p->blocks[i] = b && goes[b->index] ? b : NULL;
    }
    rewind_runs(p);
    r = p->around.inner->expect ? expect(p, err) : 0;
    rewind_runs(p);
    return r < 0 ? r : p->around.inner->begin(p->around.inner, goes, err);
}

static int next(struct gw_source *source, struct gw_batch *batch, unsigned max, struct gw_error *err)
{
    struct gw_prefer *p = of(source);
    struct gw_ram_block *b;
    uint64_t first, count;
    int r = 0;

    batch->count = 0;
    while (r >= 0 && !batch->count && (b = current(p, &first, &count))) {
        count = GW_MIN(count, (uint64_t)max);
        r = (p->around.inner->expect ? p->around.inner->take_expected : p->around.inner->take)(p->around.inner, batch, b, first, count, err);
        p->at += count;
    }
    if (r < 0 || batch->count)
        return r;
    return p->around.inner->next(p->around.inner, batch, max, err);
}

static struct gw_source *source_free(struct gw_source *source)
{
    struct gw_prefer *p = of(source);

    p->around.inner->free(p->around.inner);
    free(p->blocks);
    free(p);
    return NULL;
}

int gw_source_prefer_new(struct gw_source *take_inner, struct gw_ram *ram, const struct gw_working_set *set, struct gw_source **ret,
                         struct gw_prefer **ret_prefer, struct gw_error *err)
{
    struct gw_prefer *p = calloc(1, sizeof *p);
    struct gw_ram_block **blocks = calloc(GW_MAX(set->block_count, 1u), sizeof(struct gw_ram_block *));

    if (!p || !blocks) {
        free(p);
        free(blocks);
        take_inner->free(take_inner);
        return gw_nomem(err, "working set");
    }
    gw_around_init(&p->around, take_inner);
    p->around.source.begin = begin;
    p->around.source.next = next;
    p->around.source.free = source_free;
    p->ram = ram;
    p->set = set;
    p->blocks = blocks;
    *ret = &p->around.source;
    *ret_prefer = p;
    return 0;
}

bool gw_prefer_wanted(struct gw_prefer *p)
{
    uint64_t first, count;

    return current(p, &first, &count) && !p->beside;
}

uint64_t gw_prefer_dropped(struct gw_ram *ram, const struct gw_working_set *set)
{
    uint64_t dropped = 0;

    for (size_t i = 0; i < set->run_count; i++) {
        const struct gw_working_run *run = &set->runs[i];
        const struct gw_ram_block *b = gw_ram_find(ram, set->blocks[run->block].name);
        uint64_t pages = b && gw_ram_migrates(b) ? b->pages : 0;

        dropped += run->first >= pages ? run->count : run->count - GW_MIN(run->count, pages - run->first);
    }
    return dropped;
}
