/* SPDX-License-Identifier: MIT */
#include "ram/page/holes.h"

#include <fcntl.h>

#include "ram/page/maps.h"
#include "ram/page/pagemap_abi.h"

#define POPULATED (GW_PAGE_IS_PRESENT | GW_PAGE_IS_SWAPPED)

struct gw_holes {
    int fd;
    unsigned page_bits, host_page_bits, count;
    bool anonymous[]; /* by block */
};

int gw_holes_new(const struct gw_ram *ram, struct gw_holes **ret, struct gw_error *err)
{
    struct gw_pm_scan_arg arg = {.size = sizeof arg};
    struct gw_holes *h = calloc(1, sizeof *h + ram->count * sizeof h->anonymous[0]);
    int r = 0;

    if (!h)
        return gw_nomem(err, "holes");
    h->fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    h->page_bits = ram->page_bits;
    h->host_page_bits = (unsigned)__builtin_ctzl((unsigned long)sysconf(_SC_PAGESIZE));
    /* An empty range: only tests whether the call exists. */
    if (h->fd >= 0 && ioctl(h->fd, GW_PAGEMAP_SCAN, &arg) == 0)
        h->count = ram->count;
    for (unsigned i = 0; i < h->count && r == 0; i++) {
        uintptr_t start = (uintptr_t)ram->blocks[i]->host;
        enum gw_maps_kind kind = GW_MAPS_HOLES;

        r = gw_maps_kind(start, start + ram->blocks[i]->used_bytes, &kind, err);
        h->anonymous[i] = kind == GW_MAPS_ANONYMOUS;
    }
    if (r < 0) {
        gw_holes_free(h);
        return r;
    }
    *ret = h;
    return 0;
}

struct gw_holes *gw_holes_free(struct gw_holes *h)
{
    if (h)
        gw_close_fd(&h->fd);
    free(h);
    return NULL;
}

uint64_t gw_holes_find(const struct gw_holes *h, const struct gw_ram_block *b, uint64_t first, uint64_t pages,
                       uint64_t *map)
{
    struct gw_pm_region vec[64];
    uintptr_t base = (uintptr_t)b->host, start, end;
    uint64_t found = 0;

    memset(map, 0, gw_bitmap_words(pages) * 8);
    if (!h || b->index >= h->count || !h->anonymous[b->index] || first >= b->pages)
        return 0;
    pages = GW_MIN(pages, b->pages - first);
    start = (base + (first << h->page_bits)) >> h->host_page_bits << h->host_page_bits;
    end = base + ((first + pages) << h->page_bits);
    end = (end + (1u << h->host_page_bits) - 1) >> h->host_page_bits << h->host_page_bits;
    while (start < end) {
        struct gw_pm_scan_arg arg = {
            .size = sizeof arg,
            .start = start,
            .end = end,
            .vec = (uintptr_t)vec,
            .vec_len = GW_ARRAY_LEN(vec),
            .category_inverted = POPULATED,
            .category_mask = POPULATED,
            .return_mask = POPULATED,
        };
        int n = ioctl(h->fd, GW_PAGEMAP_SCAN, &arg);

        /* If the kernel cannot tell, the pages are read instead. */
        if (n < 0 || arg.walk_end <= start)
            return found;
        for (int i = 0; i < n; i++) {
            uint64_t from = vec[i].start > base ? gw_div_up(vec[i].start - base, 1ull << h->page_bits) : 0;
            uint64_t to = (vec[i].end - base) >> h->page_bits;

            from = GW_MAX(from, first);
            to = GW_MIN(to, first + pages);
            if (from < to)
                found += gw_bitmap_set_range_count(map, from - first, to - from);
        }
        start = arg.walk_end;
    }
    return found;
}
