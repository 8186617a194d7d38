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

/* Makes the maps and starts the back end. Under lock. */
static int arm(struct gw_tracker *t, const bool *goes, struct gw_error *err)
{
    struct gw_ram *ram = t->ram;
    int r = 0;

    for (unsigned i = 0; i < ram->count && r == 0; i++)
        if (ram->blocks[i]->dirty)
            return gw_fail(err, -EBUSY, GW_BLAME_CALLER, "RAM block %s: its writes are tracked already",
                           ram->blocks[i]->name);
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
        t->armed = true;
    return r;
}

/* Under lock. */
static void disarm(struct gw_tracker *t)
{
    if (!t->armed)
        return;
    t->ops->stop(t);
    gw_marks_shut(&t->marks);
    drop_maps(t);
    t->armed = false;
}

/* Of all blocks. Under lock. */
static int sync_locked(struct gw_tracker *t, uint64_t *found, struct gw_error *err)
{
    int r = 0;

    for (unsigned i = 0; i < t->ram->count && r == 0; i++) {
        struct gw_ram_block *b = t->ram->blocks[i];
        bool traced = gw_trace_wants(t->ram->trace, GW_TRACE_ram_sync);
        uint64_t before = *found, began = traced ? gw_now_ns(&gw_clock_real) : 0;

        if (!b->dirty)
            continue;
        if (gw_ram_logged(b)) {
            r = t->ops->sync(t, b, found, err);
        } else {
            *found += gw_marks_take(&t->marks, t, b);
            gw_bitmap_clear_range(b->unclean, 0, chunks_of(b)); /* nothing is armed in this block */
        }
        if (r < 0)
            gw_context(err, "dirty sync (%s) of RAM block %s", t->ops->name, b->name);
        else if (traced)
            gw_trace_ram_sync(t->ram->trace, b->name, *found - before, gw_now_ns(&gw_clock_real) - began);
    }
    return r;
}

/* Without lock: the embedder's vCPUs may need it before they can flush. */
static void flush(struct gw_tracker *t)
{
    if (!t->ops->flush)
        return;
    pthread_mutex_lock(&t->ram->flush);
    t->ops->flush(t);
    pthread_mutex_unlock(&t->ram->flush);
}

int gw_tracker_sync(struct gw_tracker *t, uint64_t *ret_new, struct gw_error *err)
{
    uint64_t found = 0;
    int r;

    if (!t->started)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "dirty sync before dirty tracking was started");
    flush(t);
    pthread_mutex_lock(&t->ram->lock);
    r = sync_locked(t, &found, err);
    if (r == 0) {
        *ret_new = found + t->found_before;
        t->found_before = 0;
    }
    pthread_mutex_unlock(&t->ram->lock);
    return r;
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

/* ---- counting ----------------------------------------------------------------------------------------------------
 *
 * A session may start and stop the tracker while pages are counted. The maps are its own then; for the count the back end is
 * armed again at once, so that no write is missed but those between the two calls.
 */

/* Cleans every chunk: a later write is found by a sync. Under lock. */
static int clean_all(struct gw_tracker *t, struct gw_error *err)
{
    uint64_t found = 0;
    int r = 0;

    for (unsigned i = 0; i < t->ram->count; i++) {
        struct gw_ram_block *b = t->ram->blocks[i];

        for (uint64_t p = 0; r == 0 && b->counted && gw_ram_logged(b) && p < b->pages; p += GW_CHUNK_PAGES)
            r = clean_locked(t, b, p, &found, err);
    }
    t->found_before += found;
    return r;
}

/* Sync for the count. Under lock. */
static void sync_counted(struct gw_tracker *t)
{
    uint64_t found = 0;

    if (t->counting && t->armed && t->count_error.code == 0)
        sync_locked(t, &found, &t->count_error);
    t->found_before += found;
}

/* The maps are new. Pages that the first clean finds were perhaps never armed before: they do not count. Under lock. */
static void count_on(struct gw_tracker *t)
{
    bool before = t->counting, counting = before && t->count_error.code == 0;

    t->counting = false;
    if (counting && !t->armed)
        arm(t, NULL, &t->count_error);
    if (counting && t->count_error.code == 0)
        clean_all(t, &t->count_error);
    t->counting = before;
}

static void drop_counted(struct gw_tracker *t)
{
    for (unsigned i = 0; i < t->ram->count; i++) {
        gw_bitmap_free(t->ram->blocks[i]->counted, t->ram->blocks[i]->pages);
        t->ram->blocks[i]->counted = NULL;
    }
    t->counting = false;
    if (!t->started)
        disarm(t);
}

static int begin_locked(struct gw_tracker *t, struct gw_error *err)
{
    int r = t->counting ? gw_fail(err, -EBUSY, GW_BLAME_CALLER, "dirty pages are counted already") : 0;

    if (r == 0 && !t->armed)
        r = arm(t, NULL, err);
    if (r < 0)
        return r;
    t->counting = true;
    t->count_error = (struct gw_error)GW_ERROR_INIT;
    for (unsigned i = 0; r == 0 && i < t->ram->count; i++) {
        struct gw_ram_block *b = t->ram->blocks[i];

        if (gw_ram_writable(b) && !(b->counted = gw_bitmap_new(b->pages)))
            r = gw_nomem(err, "map of counted pages");
    }
    if (r == 0)
        r = clean_all(t, err);
    if (r < 0)
        drop_counted(t);
    return r;
}

int gw_tracker_count_begin(struct gw_tracker *t, struct gw_error *err)
{
    int r;

    pthread_mutex_lock(&t->ram->lock);
    r = begin_locked(t, err);
    pthread_mutex_unlock(&t->ram->lock);
    if (r < 0)
        return r;
    /* Arming a large guest for the first time takes long. Writes meanwhile are not counted; the second time is fast. */
    flush(t);
    pthread_mutex_lock(&t->ram->lock);
    sync_counted(t);
    for (unsigned i = 0; i < t->ram->count; i++)
        if (t->ram->blocks[i]->counted)
            gw_bitmap_clear_range(t->ram->blocks[i]->counted, 0, t->ram->blocks[i]->pages);
    if (t->ops->ring_count)
        t->ops->ring_count(t, UINT32_MAX);
    if (t->count_error.code == 0)
        clean_all(t, &t->count_error);
    pthread_mutex_unlock(&t->ram->lock);
    return 0;
}

int gw_tracker_count_end(struct gw_tracker *t, uint64_t *ret_pages, uint64_t *ret_total, struct gw_error *err)
{
    uint64_t pages = 0, total = 0;
    int r;

    flush(t);
    pthread_mutex_lock(&t->ram->lock);
    sync_counted(t);
    for (unsigned i = 0; i < t->ram->count; i++) {
        const struct gw_ram_block *b = t->ram->blocks[i];

        if (!b->counted)
            continue;
        pages += gw_bitmap_count(b->counted, b->pages);
        total += b->pages;
    }
    r = t->count_error.code;
    if (r < 0 && err)
        *err = t->count_error;
    drop_counted(t);
    pthread_mutex_unlock(&t->ram->lock);
    if (r < 0)
        return r;
    *ret_pages = pages;
    *ret_total = total;
    return 0;
}

/* ---- a session ---------------------------------------------------------------------------------------------------- */

/* Adds the pages written until now to the count. */
static void lock_and_count(struct gw_tracker *t)
{
    bool counting;

    pthread_mutex_lock(&t->ram->lock);
    counting = t->counting;
    pthread_mutex_unlock(&t->ram->lock);
    if (counting)
        flush(t);
    pthread_mutex_lock(&t->ram->lock);
    sync_counted(t);
}

int gw_tracker_start(struct gw_tracker *t, const bool *goes, struct gw_error *err)
{
    int r;

    lock_and_count(t);
    if (!t->started)
        disarm(t);
    r = arm(t, goes, err);
    t->started = t->started || r == 0;
    t->found_before = 0;
    count_on(t);
    t->found_before = 0; /* all pages are due anyway */
    pthread_mutex_unlock(&t->ram->lock);
    return r;
}

void gw_tracker_stop(struct gw_tracker *t)
{
    if (!t->started)
        return;
    lock_and_count(t);
    disarm(t);
    t->started = false;
    count_on(t);
    pthread_mutex_unlock(&t->ram->lock);
}

struct gw_tracker *gw_tracker_free(struct gw_tracker *t)
{
    if (!t)
        return NULL;
    gw_tracker_stop(t);
    disarm(t);
    gw_marks_close(&t->marks);
    return t->ops->free(t);
}
