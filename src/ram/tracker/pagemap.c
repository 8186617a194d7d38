/* SPDX-License-Identifier: MIT
 *
 * Two kinds of memory, two rules for when a page counts as written (armed: see pagemap_abi.h).
 *
 * Private anonymous: written iff populated and not armed. Unpopulated memory reads as zeros and was never written; it
 * is not armed either, so that a guest with many holes costs neither page tables nor time.
 *
 * All other (shared, file, huge TLB): written unless armed. An empty entry may belong to a page that the kernel has
 * removed from the page table (reclaim, a split huge page) together with the information that it was written, so it is
 * never assumed to be unwritten; clean fills such holes with armed markers.
 *
 * In both, a page becomes armed only in the same step that reports it, or after it was ORed into dirty.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>

#include "ram/page/pagemap_abi.h"
#include "ram/page/maps.h"
#include "ram/tracker/tracker.h"
#include "ram/page/uffd.h"

#define VEC_LEN 1024

#define WRITTEN   GW_PAGE_IS_WRITTEN
#define PRESENT   GW_PAGE_IS_PRESENT
#define SWAPPED   GW_PAGE_IS_SWAPPED
#define POPULATED (PRESENT | SWAPPED)

struct area {
    uintptr_t start, end; /* whole host pages; equal: this block is not tracked */
    bool anonymous;
};

struct pagemap {
    struct gw_tracker base;
    int uffd, fd;
    struct area *areas; /* one for each block; NULL: not started */
    unsigned area_count;
    struct gw_pm_region vec[VEC_LEN];
};

struct query {
    uint64_t flags, inverted, mask, anyof;
};

/* Populated and written. With WP_MATCHING: and armed from now on. */
static const struct query anonymous_written = {0, 0, WRITTEN, POPULATED};
static const struct query anonymous_take = {GW_PM_SCAN_WP_MATCHING, 0, WRITTEN, POPULATED};
/* Written or not present. This also matches armed markers, but not armed present pages, which are the majority: that
 * makes it cheap. */
static const struct query other_suspects = {0, PRESENT, 0, WRITTEN | PRESENT};
static const struct query other_take = {GW_PM_SCAN_WP_MATCHING, 0, WRITTEN, 0};
static const struct query other_holes = {0, POPULATED, POPULATED, 0};

/* One call of PAGEMAP_SCAN at *at, which is advanced. Returns the number of regions in p->vec. */
static int scan(struct pagemap *p, const struct query *q, uintptr_t *at, uintptr_t end, struct gw_error *err)
{
    struct gw_pm_scan_arg arg = {
        .size = sizeof arg,
        .flags = q->flags | GW_PM_SCAN_CHECK_WPASYNC,
        .start = *at,
        .end = end,
        .vec = (uintptr_t)p->vec,
        .vec_len = VEC_LEN,
        .category_inverted = q->inverted,
        .category_mask = q->mask,
        .category_anyof_mask = q->anyof,
        .return_mask = WRITTEN | POPULATED | GW_PAGE_IS_PFNZERO,
    };
    int n;

    do
        n = ioctl(p->fd, GW_PAGEMAP_SCAN, &arg);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        int code = errno;

        return gw_fail(err, -code, code == EPERM ? GW_BLAME_EMBEDDER : GW_BLAME_LOCAL, "PAGEMAP_SCAN at %p: %s%s",
                       (void *)*at, strerror(code),
                       code == EPERM ? " (the memory was mapped anew while it was tracked?)" : "");
    }
    if (arg.walk_end <= *at || arg.walk_end > end)
        return gw_fail(err, -EIO, GW_BLAME_EMBEDDER,
                       "PAGEMAP_SCAN makes no progress at %p: if these are huge pages, give their size with the block "
                       "(gw_ram_desc.page_bytes)",
                       (void *)*at);
    *at = arg.walk_end;
    return n;
}

/* ORs [start, end) into dirty. */
static uint64_t found(struct pagemap *p, struct gw_ram_block *b, uintptr_t start, uintptr_t end, bool unclean)
{
    uintptr_t base = (uintptr_t)b->host;
    uint64_t first = (start - base) >> p->base.ram->page_bits;
    uint64_t last = (end - 1 - base) >> p->base.ram->page_bits;

    return gw_tracker_found(&p->base, b, first, last - first + 1, unclean);
}

static int scan_found(struct pagemap *p, struct gw_ram_block *b, const struct query *q, uintptr_t start, uintptr_t end,
                      bool unclean, uint64_t *ret_new, struct gw_error *err)
{
    bool counting = p->base.counting;

    while (start < end) {
        int n = scan(p, q, &start, end, err);

        if (n < 0)
            return n;
        for (int i = 0; i < n; i++) {
            const struct gw_pm_region *v = &p->vec[i];

            if (v->categories & SWAPPED && !(v->categories & WRITTEN))
                continue;
            /* The kernel's page of zeros: a hole that was read. It is sent, but it was not written, and is not
             * counted. */
            p->base.counting = counting && !(v->categories & GW_PAGE_IS_PFNZERO);
            *ret_new += found(p, b, v->start, v->end, unclean);
            p->base.counting = counting;
        }
    }
    return 0;
}

static int protect(struct pagemap *p, uintptr_t start, uintptr_t end, struct gw_error *err)
{
    struct uffdio_writeprotect wp = {.range = {.start = start, .len = end - start},
                                     .mode = UFFDIO_WRITEPROTECT_MODE_WP};

    while (ioctl(p->uffd, UFFDIO_WRITEPROTECT, &wp) < 0)
        if (errno != EAGAIN && errno != EINTR)
            return gw_fail(err, -errno, GW_BLAME_LOCAL, "UFFDIO_WRITEPROTECT of %zu bytes at %p: %s",
                           (size_t)(end - start), (void *)start, strerror(errno));
    return 0;
}

/* Fills holes with armed markers. They are made dirty first, so that a write in between is not lost. */
static int arm_holes(struct pagemap *p, struct gw_ram_block *b, uintptr_t start, uintptr_t end, uint64_t *ret_new,
                     struct gw_error *err)
{
    while (start < end) {
        int n = scan(p, &other_holes, &start, end, err), r;

        if (n < 0)
            return n;
        for (int i = 0; i < n; i++) {
            const struct gw_pm_region *v = &p->vec[i];

            *ret_new += found(p, b, v->start, v->end, false);
            r = protect(p, v->start, v->end, err);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

static int pagemap_sync(struct gw_tracker *t, struct gw_ram_block *b, uint64_t *ret_new, struct gw_error *err)
{
    struct pagemap *p = (struct pagemap *)t;
    const struct area *a = &p->areas[b->index];

    *ret_new += gw_marks_take(&t->marks, t, b);
    return scan_found(p, b, a->anonymous ? &anonymous_written : &other_suspects, a->start, a->end, true, ret_new, err);
}

static int pagemap_clean(struct gw_tracker *t, struct gw_ram_block *b, uint64_t first, uint64_t pages,
                         uint64_t *ret_new, struct gw_error *err)
{
    struct pagemap *p = (struct pagemap *)t;
    const struct area *a = &p->areas[b->index];
    uintptr_t start = a->start + (uintptr_t)(first << t->ram->page_bits);
    uintptr_t end = first + pages == b->pages ? a->end : start + (uintptr_t)(pages << t->ram->page_bits);
    int r;

    *ret_new += gw_marks_take_chunks(&t->marks, t, b, first, pages);
    if (a->anonymous)
        return scan_found(p, b, &anonymous_take, start, end, false, ret_new, err);
    r = scan_found(p, b, &other_take, start, end, false, ret_new, err);
    return r < 0 ? r : arm_holes(p, b, start, end, ret_new, err);
}

static int watch(struct pagemap *p, const struct gw_ram_block *b, struct area *a, struct gw_error *err)
{
    uintptr_t start = (uintptr_t)b->host, page = GW_MAX((uintptr_t)b->page_bytes, (uintptr_t)sysconf(_SC_PAGESIZE));
    uintptr_t end = (start + b->used_bytes + page - 1) & ~(page - 1);
    struct uffdio_register reg = {.range = {.start = start, .len = end - start}, .mode = UFFDIO_REGISTER_MODE_WP};
    enum gw_maps_kind kind = GW_MAPS_HOLES;
    int r;

    if (start % page)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "RAM block %s at %p does not begin on a host page (%zu bytes)",
                       b->name, b->host, (size_t)page);
    r = gw_maps_kind(start, end, &kind, err);
    if (r < 0)
        return r;
    if (kind == GW_MAPS_HOLES)
        return gw_fail(err, -EFAULT, GW_BLAME_EMBEDDER, "RAM block %s: not all of its %zu bytes at %p are mapped",
                       b->name, (size_t)(end - start), b->host);
    if (ioctl(p->uffd, UFFDIO_REGISTER, &reg) < 0) {
        int code = errno;
        const char *hint = code == EBUSY    ? "another userfaultfd of this process watches it already"
                           : code == EINVAL ? "if these are huge pages, give their size with the block (gw_ram_desc.page_bytes)"
                           : code == EPERM  ? "the file behind it was opened read-only"
                                            : strerror(code);

        return gw_fail(err, -code, code == ENOMEM ? GW_BLAME_LOCAL : GW_BLAME_EMBEDDER,
                       "UFFDIO_REGISTER of RAM block %s (%zu bytes at %p): %s", b->name, (size_t)(end - start), b->host,
                       hint);
    }
    *a = (struct area){.start = start, .end = end, .anonymous = kind == GW_MAPS_ANONYMOUS};
    return 0;
}

static void pagemap_stop(struct gw_tracker *t)
{
    struct pagemap *p = (struct pagemap *)t;

    for (unsigned i = 0; i < p->area_count; i++) {
        struct uffdio_range range = {.start = p->areas[i].start, .len = p->areas[i].end - p->areas[i].start};

        /* This removes the protection as well. If it fails, the close below repairs that. */
        if (range.len)
            ioctl(p->uffd, UFFDIO_UNREGISTER, &range);
    }
    free(p->areas);
    p->areas = NULL;
    p->area_count = 0;
    gw_close_fd(&p->uffd);
    gw_close_fd(&p->fd);
}

static int open_pagemap(int *ret_fd, struct gw_error *err)
{
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "/proc/self/pagemap: %s%s", strerror(errno),
                       errno == EACCES   ? " (a process that changed its user needs prctl(PR_SET_DUMPABLE, 1))"
                       : errno == ENOENT ? " (is /proc mounted?)"
                                         : "");
    *ret_fd = fd;
    return 0;
}

static int pagemap_start(struct gw_tracker *t, struct gw_error *err)
{
    struct pagemap *p = (struct pagemap *)t;
    int r = gw_uffd_open_wp_async(&p->uffd, err);

    if (r < 0)
        return r;
    r = open_pagemap(&p->fd, err);
    if (r < 0)
        return r;
    p->areas = calloc(GW_MAX(t->ram->count, 1u), sizeof *p->areas);
    if (!p->areas)
        return gw_nomem(err, "dirty tracker");
    p->area_count = t->ram->count;
    for (unsigned i = 0; r == 0 && i < t->ram->count; i++) {
        const struct gw_ram_block *b = t->ram->blocks[i];

        if (gw_ram_logged(b))
            r = watch(p, b, &p->areas[i], err);
    }
    return r;
}

static struct gw_tracker *pagemap_free(struct gw_tracker *t)
{
    free(t);
    return NULL;
}

static const struct gw_tracker_ops pagemap_ops = {
    .name = "pagemap",
    .start = pagemap_start,
    .sync = pagemap_sync,
    .clean = pagemap_clean,
    .stop = pagemap_stop,
    .free = pagemap_free,
};

/* Whether everything that start needs is available, so that a missing feature is reported when the tracker is
 * chosen. */
static int probe(struct gw_error *err)
{
    struct gw_pm_scan_arg arg = {.size = sizeof arg};
    GW_AUTOFD int uffd = -1, fd = -1;
    int r = gw_uffd_open_wp_async(&uffd, err);

    if (r < 0)
        return r;
    r = open_pagemap(&fd, err);
    if (r < 0)
        return r;
    /* An empty range: does nothing if the call is known. */
    if (ioctl(fd, GW_PAGEMAP_SCAN, &arg) < 0)
        return gw_fail(err, -ENOTSUP, GW_BLAME_LOCAL, "PAGEMAP_SCAN: %s; Linux 6.7 or later is needed",
                       strerror(errno));
    return 0;
}

int gw_tracker_pagemap_new(struct gw_ram *ram, struct gw_tracker **ret, struct gw_error *err)
{
    struct pagemap *p;
    int r = probe(err);

    if (r < 0)
        return r;
    p = calloc(1, sizeof *p);
    if (!p)
        return gw_nomem(err, "dirty tracker");
    p->base.ops = &pagemap_ops;
    p->base.ram = ram;
    p->uffd = p->fd = -1;
    *ret = &p->base;
    return 0;
}
