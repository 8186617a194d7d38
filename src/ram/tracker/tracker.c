/* SPDX-License-Identifier: MIT */
#include "ram/tracker/tracker.h"

#include <stdio.h>

#include "trace/trace.h"

static uint64_t chunks_of(const struct gw_ram_block *b)
{
    return gw_div_up(b->pages, GW_CHUNK_PAGES);
}

/* What is cleaned at once: a chunk, or the host page if that is larger (1 GiB pages). A power of two. */
static uint64_t unit_pages(const struct gw_tracker *t, const struct gw_ram_block *b)
{
    return GW_MAX((uint64_t)GW_CHUNK_PAGES, b->page_bytes >> t->ram->page_bits);
}

uint64_t gw_tracker_found(struct gw_tracker *t, struct gw_ram_block *b, uint64_t first, uint64_t pages, bool unclean)
{
    uint64_t found = 0, last;

    if (first >= b->pages || !pages)
        return 0;
    pages = GW_MIN(pages, b->pages - first);
    last = first + pages - 1;
    if (unclean)
        gw_bitmap_set_range(b->unclean, first / GW_CHUNK_PAGES, last / GW_CHUNK_PAGES - first / GW_CHUNK_PAGES + 1);
    if (!b->discarded) {
        found = gw_bitmap_set_range_count(b->dirty, first, pages);
        t->ram->dirty_pages += found;
        return found;
    }
    while (first <= last) {
        uint64_t from = gw_bitmap_next_clear(b->discarded, b->pages, first);
        uint64_t to = gw_bitmap_next_set(b->discarded, b->pages, from);

        if (from > last)
            break;
        to = GW_MIN(to, last + 1);
        found += gw_bitmap_set_range_count(b->dirty, from, to - from);
        first = to;
    }
    t->ram->dirty_pages += found;
    return found;
}

uint64_t gw_tracker_found_map(struct gw_tracker *t, struct gw_ram_block *b, uint64_t first, uint64_t pages,
                              const uint64_t *map, bool unclean)
{
    uint64_t found = 0;

    if (first >= b->pages)
        return 0;
    pages = GW_MIN(pages, b->pages - first);
    for (size_t i = 0, w = first / 64; i < gw_bitmap_words(pages); i++, w++) {
        uint64_t v = map[i];

        if (!v)
            continue;
        if (i == pages / 64)
            v &= ~(~0ull << (pages % 64));
        if (v && unclean)
            gw_bitmap_set(b->unclean, w * 64 / GW_CHUNK_PAGES);
        if (b->discarded)
            v &= ~b->discarded[w];
        v &= ~b->dirty[w];
        if (v) {
            found += (uint64_t)__builtin_popcountll(v);
            b->dirty[w] |= v;
        }
    }
    t->ram->dirty_pages += found;
    return found;
}

int gw_tracker_new(struct gw_ram *ram, const struct gw_tracker_config *config, struct gw_tracker **ret,
                   struct gw_error *err)
{
    struct gw_error why = GW_ERROR_INIT;
    struct gw_tracker *t = NULL;
    const char *reason = "asked for";
    char text[sizeof t->reason];
    int r;

    switch (config->kind) {
    case GW_TRACKER_AUTO:
        r = gw_tracker_pagemap_new(ram, &t, &why);
        reason = "works here for any process memory";
        if (r == 0 || r == -ENOMEM || !config->slot_count)
            break;
        r = gw_tracker_kvm_log_new(ram, config, &t, err);
        if (r < 0) {
            gw_context(err, "no dirty tracking: pagemap (%s), kvm-log", why.text);
            return r;
        }
        snprintf(text, sizeof text, "no pagemap (%s)", why.text);
        reason = text;
        break;
    case GW_TRACKER_PAGEMAP:
        r = gw_tracker_pagemap_new(ram, &t, &why);
        break;
    case GW_TRACKER_KVM_LOG:
        r = gw_tracker_kvm_log_new(ram, config, &t, &why);
        break;
    case GW_TRACKER_KVM_RING:
        r = gw_tracker_kvm_ring_new(ram, config, &t, &why);
        break;
    case GW_TRACKER_EXPLICIT:
        r = gw_tracker_explicit_new(ram, &t, &why);
        break;
    default:
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "no dirty tracker of kind %d", (int)config->kind);
    }
    if (r < 0) {
        if (err)
            *err = why;
        return r;
    }
    gw_strcopy(t->reason, sizeof t->reason, reason);
    *ret = t;
    return 0;
}

struct gw_tracker *gw_tracker_free(struct gw_tracker *t)
{
    if (!t)
        return NULL;
    gw_tracker_stop(t);
    gw_marks_close(&t->marks);
    return t->ops->free(t);
}

static void drop_maps(struct gw_tracker *t)
{
    for (unsigned i = 0; i < t->ram->count; i++) {
        struct gw_ram_block *b = t->ram->blocks[i];

        gw_bitmap_free(b->dirty, b->pages);
        gw_bitmap_free(b->unclean, chunks_of(b));
        b->dirty = b->unclean = NULL;
    }
    t->ram->dirty_pages = 0;
}

static void fill_maps(struct gw_tracker *t, struct gw_ram_block *b)
{
    gw_bitmap_set_range(b->dirty, 0, b->pages);
    for (size_t w = 0; b->discarded && w < gw_bitmap_words(b->pages); w++)
        b->dirty[w] &= ~b->discarded[w];
    t->ram->dirty_pages += gw_bitmap_count(b->dirty, b->pages);
    if (gw_ram_logged(b))
        gw_bitmap_set_range(b->unclean, 0, chunks_of(b));
}

int gw_tracker_start(struct gw_tracker *t, const bool *goes, struct gw_error *err)
{
    struct gw_ram *ram = t->ram;
    int r = 0;

    pthread_mutex_lock(&ram->lock);
    for (unsigned i = 0; i < ram->count && r == 0; i++)
        if (ram->blocks[i]->dirty)
            r = gw_fail(err, -EBUSY, GW_BLAME_CALLER, "RAM block %s: its writes are tracked already",
                        ram->blocks[i]->name);
    if (r < 0) {
        pthread_mutex_unlock(&ram->lock);
        return r;
    }
    for (unsigned i = 0; i < ram->count && r == 0; i++) {
        struct gw_ram_block *b = ram->blocks[i];

        if (goes ? !goes[i] : !gw_ram_migrates(b))
            continue;
        b->dirty = gw_bitmap_new(b->pages);
        b->unclean = gw_bitmap_new(chunks_of(b));
        if (b->dirty && b->unclean)
            fill_maps(t, b);
        else
            r = gw_nomem(err, "dirty map");
    }
    if (r == 0)
        r = gw_marks_open(&t->marks, ram, err);
    if (r == 0) {
        r = t->ops->start(t, err);
        if (r < 0) {
            t->ops->stop(t);
            gw_context(err, "dirty tracking (%s)", t->ops->name);
        }
    }
    if (r < 0)
        gw_marks_shut(&t->marks);
    if (r < 0)
        drop_maps(t);
    else
        t->started = true;
    pthread_mutex_unlock(&ram->lock);
    return r;
}

int gw_tracker_sync(struct gw_tracker *t, uint64_t *ret_new, struct gw_error *err)
{
    uint64_t found = 0;
    int r = 0;

    if (!t->started)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "dirty sync before dirty tracking was started");
    if (t->ops->flush)
        t->ops->flush(t);
    pthread_mutex_lock(&t->ram->lock);
    for (unsigned i = 0; i < t->ram->count && r == 0; i++) {
        struct gw_ram_block *b = t->ram->blocks[i];
        bool traced = gw_trace_wants(t->ram->trace, GW_TRACE_ram_sync);
        uint64_t before = found, began = traced ? gw_now_ns(&gw_clock_real) : 0;

        if (!b->dirty)
            continue;
        if (gw_ram_logged(b)) {
            r = t->ops->sync(t, b, &found, err);
        } else {
            found += gw_marks_take(&t->marks, t, b);
            gw_bitmap_clear_range(b->unclean, 0, chunks_of(b)); /* nothing is armed there */
        }
        if (r < 0)
            gw_context(err, "dirty sync (%s) of RAM block %s", t->ops->name, b->name);
        else if (traced)
            gw_trace_ram_sync(t->ram->trace, b->name, found - before, gw_now_ns(&gw_clock_real) - began);
    }
    pthread_mutex_unlock(&t->ram->lock);
    if (r < 0)
        return r;
    *ret_new = found;
    return 0;
}

static int clean_locked(struct gw_tracker *t, struct gw_ram_block *b, uint64_t page, uint64_t *found,
                        struct gw_error *err)
{
    uint64_t unit = unit_pages(t, b), first, pages, before = *found;
    int r;

    if (page >= b->pages || !b->unclean)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "cleaning page %" PRIu64 " of RAM block %s, which is not tracked",
                       page, b->name);
    if (!gw_bitmap_test(b->unclean, page / GW_CHUNK_PAGES))
        return 0;
    first = page & ~(unit - 1);
    pages = GW_MIN(unit, b->pages - first);
    r = t->ops->clean(t, b, first, pages, found, err);
    if (r < 0) {
        gw_context(err, "cleaning (%s) pages %" PRIu64 "+%" PRIu64 " of RAM block %s", t->ops->name, first, pages,
                   b->name);
        return r;
    }
    gw_bitmap_clear_range(b->unclean, first / GW_CHUNK_PAGES, gw_div_up(pages, GW_CHUNK_PAGES));
    gw_trace_ram_clean(t->ram->trace, b->name, first, pages, *found - before);
    return 0;
}

int gw_tracker_clean(struct gw_tracker *t, struct gw_ram_block *b, uint64_t page, uint64_t *ret_new,
                     struct gw_error *err)
{
    uint64_t found = 0;
    int r;

    pthread_mutex_lock(&t->ram->lock);
    r = clean_locked(t, b, page, &found, err);
    pthread_mutex_unlock(&t->ram->lock);
    if (r < 0)
        return r;
    *ret_new = found;
    return 0;
}

int gw_tracker_drop(struct gw_tracker *t, struct gw_ram_block *b, uint64_t first, uint64_t pages, uint64_t *ret_dropped,
                    struct gw_error *err)
{
    uint64_t found = 0, dropped = 0;
    int r = 0;

    pthread_mutex_lock(&t->ram->lock);
    if (!b->dirty || first > b->pages || pages > b->pages - first)
        r = gw_fail(err, -EINVAL, GW_BLAME_CALLER, "pages %" PRIu64 "+%" PRIu64 " of RAM block %s are not tracked",
                    first, pages, b->name);
    for (uint64_t p = first, n; r == 0 && p < first + pages; p += n) {
        n = GW_MIN(first + pages - p, GW_CHUNK_PAGES - p % GW_CHUNK_PAGES);
        r = clean_locked(t, b, p, &found, err);
        if (r == 0) {
            dropped += gw_bitmap_count_range(b->dirty, p, n);
            gw_bitmap_clear_range(b->dirty, p, n);
        }
    }
    t->ram->dirty_pages -= dropped;
    pthread_mutex_unlock(&t->ram->lock);
    if (r < 0)
        return r;
    *ret_dropped = dropped;
    return 0;
}

void gw_tracker_mark(struct gw_tracker *t, struct gw_ram_block *b, uint64_t first, uint64_t pages)
{
    if (t)
        gw_marks_set(&t->marks, b, first, pages);
}

int gw_tracker_ring_full(struct gw_tracker *t, struct gw_error *err)
{
    return t && t->ops->ring_full ? t->ops->ring_full(t, err) : 0;
}

void gw_tracker_stop(struct gw_tracker *t)
{
    if (!t->started)
        return;
    pthread_mutex_lock(&t->ram->lock);
    t->ops->stop(t);
    gw_marks_shut(&t->marks);
    drop_maps(t);
    t->started = false;
    pthread_mutex_unlock(&t->ram->lock);
}
