/* SPDX-License-Identifier: MIT */
#include "ram/source/dirty.h"

/* The first dirty page at or after the position; false at the end of the pass. Under ram->lock. */
static bool find(struct gw_source_dirty *s)
{
    for (; s->block < s->ram->count; s->block++, s->page = 0) {
        const struct gw_ram_block *b = s->ram->blocks[s->block];

        if (!b->dirty)
            continue;
        s->page = gw_bitmap_next_set(b->dirty, b->pages, s->page);
        if (s->page < b->pages)
            return true;
    }
    return false;
}

/* Takes dirty pages of the chunk at the position, which is clean. Under ram->lock. */
static void gather(struct gw_source_dirty *s, struct gw_batch *batch, unsigned max)
{
    struct gw_ram_block *b = s->ram->blocks[s->block];
    uint64_t end = GW_MIN(b->pages, (s->page / GW_CHUNK_PAGES + 1) * GW_CHUNK_PAGES);

    batch->block = b;
    /* A hint may have taken the page away while the chunk was being cleaned. */
    s->page = gw_bitmap_next_set(b->dirty, end, s->page);
    while (batch->count < max && s->page < end) {
        gw_bitmap_clear(b->dirty, s->page);
        batch->form[batch->count] = GW_FORM_OPEN;
        batch->page[batch->count++] = s->page;
        s->page = gw_bitmap_next_set(b->dirty, end, s->page + 1);
    }
    s->ram->dirty_pages -= batch->count;
}

static int next(struct gw_source *source, struct gw_batch *batch, unsigned max, struct gw_error *err)
{
    struct gw_source_dirty *s = GW_CONTAINER(source, struct gw_source_dirty, source);

    batch->count = 0;
    while (!batch->count) {
        uint64_t fresh;
        bool found;
        int r;

        pthread_mutex_lock(&s->ram->lock);
        found = find(s);
        pthread_mutex_unlock(&s->ram->lock);
        if (!found)
            return 0;
        r = gw_tracker_clean(s->tracker, s->ram->blocks[s->block], s->page, &fresh, err);
        if (r < 0)
            return r;
        pthread_mutex_lock(&s->ram->lock);
        gather(s, batch, GW_MIN(max, GW_BATCH_PAGES));
        pthread_mutex_unlock(&s->ram->lock);
    }
    return 0;
}

void gw_source_dirty_init(struct gw_source_dirty *s, struct gw_ram *ram, struct gw_tracker *tracker)
{
    *s = (struct gw_source_dirty){.source = {.next = next}, .ram = ram, .tracker = tracker};
}

int gw_source_dirty_sync(struct gw_source_dirty *s, uint64_t *ret_new, struct gw_error *err)
{
    int r = gw_tracker_sync(s->tracker, ret_new, err);

    s->block = 0;
    s->page = 0;
    return r;
}

uint64_t gw_source_dirty_pages(const struct gw_source_dirty *s)
{
    uint64_t n;

    pthread_mutex_lock(&s->ram->lock);
    n = s->ram->dirty_pages;
    pthread_mutex_unlock(&s->ram->lock);
    return n;
}
