/* SPDX-License-Identifier: MIT
 *
 * Enters pages that a back end has found written into the maps of a block.
 */
#include "ram/tracker/tracker.h"

/* Sets pages that are not discarded. Returns how many were clean. */
static uint64_t set(struct gw_tracker *t, struct gw_ram_block *b, uint64_t first, uint64_t pages)
{
    if (t->counting && b->counted)
        gw_bitmap_set_range(b->counted, first, pages);
    return gw_bitmap_set_range_count(b->dirty, first, pages);
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
    if (!b->discarded)
        found = set(t, b, first, pages);
    while (b->discarded && first <= last) {
        uint64_t from = gw_bitmap_next_clear(b->discarded, b->pages, first);
        uint64_t to = gw_bitmap_next_set(b->discarded, b->pages, from);

        if (from > last)
            break;
        to = GW_MIN(to, last + 1);
        found += set(t, b, from, to - from);
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
        if (t->counting && b->counted)
            b->counted[w] |= v;
        v &= ~b->dirty[w];
        if (v) {
            found += (uint64_t)__builtin_popcountll(v);
            b->dirty[w] |= v;
        }
    }
    t->ram->dirty_pages += found;
    return found;
}
