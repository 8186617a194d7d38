/* SPDX-License-Identifier: MIT
 *
 * Combines the requests of several guests to one working set (godwit/working_set.h: gw_working_tally_*).
 *
 * Memory: 32 bytes for each page that any of them requested.
 */
#include "ram/source/working_set.h"

struct entry {
    uint64_t page;
    uint64_t places; /* sum over the guests that requested it: the number of pages that each has requested before */
    uint32_t block;  /* number of the block in `names` */
    uint32_t guests;
    /* at least one guest has requested it; in the others it may only have been sent beside another page */
    bool asked;
    bool common;     /* half of the guests have it. Used by `rank` */
};

struct gw_working_tally {
    struct gw_working_set names; /* has only blocks, no runs */
    struct entry *entries;       /* sorted by block and page */
    size_t count;
    uint32_t guests;
};

int gw_working_tally_new(struct gw_working_tally **ret_tally, struct gw_error *err)
{
    *ret_tally = calloc(1, sizeof **ret_tally);
    return *ret_tally ? 0 : gw_nomem(err, "working sets of many guests");
}

struct gw_working_tally *gw_working_tally_free(struct gw_working_tally *tally)
{
    if (tally) {
        free(tally->names.blocks);
        free(tally->entries);
    }
    free(tally);
    return NULL;
}

static int compare_places(const struct entry *a, const struct entry *b)
{
    return a->block != b->block ? (a->block < b->block ? -1 : 1) : a->page != b->page ? (a->page < b->page ? -1 : 1) : 0;
}

static int by_page(const void *a, const void *b)
{
    return compare_places(a, b);
}

/* Lists the pages of one guest, in the order of its requests. */
static int expand(struct gw_working_tally *t, const struct gw_working_set *set, struct entry *to, struct gw_error *err)
{
    GW_AUTOFREE uint32_t *block = calloc(GW_MAX(set->block_count, 1u), sizeof *block);
    size_t n = 0;
    int r = block ? 0 : gw_nomem(err, "working sets of many guests");

    for (uint32_t i = 0; r >= 0 && i < set->block_count; i++)
        r = gw_working_set_block(&t->names, set->blocks[i].name, set->blocks[i].pages, &block[i], err);
    for (size_t i = 0; r >= 0 && i < set->run_count; i++)
        for (uint64_t k = 0; k < set->runs[i].count; k++, n++)
            to[n] = (struct entry){.page = set->runs[i].first + k, .places = n, .block = block[set->runs[i].block], .guests = 1,
                                   .asked = !set->runs[i].beside};
    return r;
}

/* A page that a guest has twice counts once, at its first place: it may occur again after a resume. Returns how many
 * are left. */
static size_t once(struct entry *e, size_t count)
{
    size_t kept = 0;

    qsort(e, count, sizeof *e, by_page);
    for (size_t i = 0; i < count; i++) {
        struct entry *last = kept ? &e[kept - 1] : NULL;

        if (!last || compare_places(last, &e[i])) {
            e[kept++] = e[i];
            continue;
        }
        last->places = GW_MIN(last->places, e[i].places);
        last->asked |= e[i].asked;
    }
    return kept;
}

/* Both inputs are sorted by block and page. Returns the number of entries in `to`. */
static size_t merge(struct entry *to, const struct entry *a, size_t a_count, const struct entry *b, size_t b_count)
{
    size_t n = 0;

    for (size_t i = 0, k = 0; i < a_count || k < b_count;) {
        int order = i == a_count ? 1 : k == b_count ? -1 : compare_places(&a[i], &b[k]);

        to[n] = order <= 0 ? a[i++] : b[k++];
        if (!order) {
            to[n].places += b[k].places;
            to[n].guests += b[k].guests;
            to[n].asked |= b[k].asked;
            k++;
        }
        n++;
    }
    return n;
}

int gw_working_tally_add(struct gw_working_tally *t, const struct gw_working_set *set, struct gw_error *err)
{
    uint64_t pages = gw_working_set_pages(set);
    GW_AUTOFREE struct entry *own = NULL;
    struct entry *all;
    int r;

    if (!pages)
        return 0;
    if (t->names.page_bytes && t->names.page_bytes != set->page_bytes)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "its pages have %u bytes, and those of the other guests %u", set->page_bytes,
                       t->names.page_bytes);
    own = pages > SIZE_MAX / sizeof *own - t->count ? NULL : reallocarray(NULL, pages, sizeof *own);
    if (!own)
        return gw_nomem(err, "working sets of many guests");
    r = expand(t, set, own, err);
    if (r < 0)
        return r;
    pages = once(own, pages);
    all = reallocarray(NULL, t->count + pages, sizeof *all);
    if (!all)
        return gw_nomem(err, "working sets of many guests");
    t->count = merge(all, t->entries, t->count, own, pages);
    free(t->entries);
    t->entries = all;
    t->names.page_bytes = set->page_bytes;
    t->guests++;
    return 0;
}

/* Common pages come first, in the order of the requests. The guests agree little about the others: the more guests have
 * requested a page, the earlier it comes. */
static int by_rank(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    double x_place = (double)x->places / x->guests, y_place = (double)y->places / y->guests;

    if (x->asked != y->asked)
        return x->asked ? -1 : 1;
    if (x->common != y->common)
        return x->common ? -1 : 1;
    if (!x->common && x->guests != y->guests)
        return x->guests > y->guests ? -1 : 1;
    return x_place < y_place ? -1 : x_place > y_place ? 1 : compare_places(x, y);
}

int gw_working_tally_set(const struct gw_working_tally *t, struct gw_working_set *set, struct gw_error *err)
{
    GW_AUTOFREE struct entry *e = reallocarray(NULL, GW_MAX(t->count, (size_t)1), sizeof *e);
    int r = e ? 0 : gw_nomem(err, "working sets of many guests");

    for (size_t i = 0; r >= 0 && i < t->count; i++) {
        e[i] = t->entries[i];
        e[i].common = e[i].guests >= t->guests - t->guests / 2;
    }
    if (r >= 0)
        qsort(e, t->count, sizeof *e, by_rank);
    for (size_t i = 0; r >= 0 && i < t->count; i++) {
        const struct gw_working_block *b = &t->names.blocks[e[i].block];

        r = gw_working_set_add(set, t->names.page_bytes, b->name, b->pages, !e[i].asked, e[i].page, 1, err);
    }
    return r;
}
