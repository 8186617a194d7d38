/* SPDX-License-Identifier: MIT */
#include "ram/source/watch.h"

#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "ram/page/maps.h"
#include "ram/page/uffd.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

static int place(const struct gw_ram_block *b, struct gw_watch *a, struct gw_error *err)
{
    uintptr_t page = GW_MAX((uintptr_t)b->page_bytes, (uintptr_t)sysconf(_SC_PAGESIZE)), start = (uintptr_t)b->host;
    enum gw_maps_kind kind;
    int r;

    if (start % page)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "RAM block %s at %p does not begin on a host page (%zu bytes)", b->name,
                       b->host, (size_t)page);
    a->start = start;
    a->end = (start + b->used_bytes + page - 1) & ~(page - 1);
    a->limit = (start + GW_MAX(b->used_bytes, b->max_bytes) + page - 1) & ~(page - 1);
    r = gw_maps_kind(a->start, a->limit, &kind, err);
    if (r >= 0 && kind == GW_MAPS_HOLES) /* memory beyond the used length need not be mapped */
        a->limit = a->end;
    return r;
}

static int enlist(int uffd, const struct gw_ram_block *b, const struct gw_watch *a, struct gw_error *err)
{
    struct uffdio_register reg = {.range = {.start = a->start, .len = a->limit - a->start}, .mode = UFFDIO_REGISTER_MODE_WP};

    if (ioctl(uffd, UFFDIO_REGISTER, &reg) < 0) {
        int code = errno;
        const char *hint = code == EBUSY    ? "another userfaultfd watches it: end what measures the dirty rate, or tracks this memory"
                           : code == EINVAL ? "the kernel cannot write-protect this kind of memory; use private anonymous memory "
                                              "(shared memory and huge pages: Linux 5.19 or later), and tell the size of huge pages"
                           : code == EPERM  ? "the file behind it was opened read-only"
                                            : strerror(code);

        return gw_fail(err, -code, code == ENOMEM ? GW_BLAME_LOCAL : GW_BLAME_EMBEDDER,
                       "RAM block %s (%zu bytes at %p) cannot be write-protected: %s", b->name, (size_t)(a->limit - a->start),
                       b->host, hint);
    }
    if (!(reg.ioctls & 1ull << _UFFDIO_WRITEPROTECT)) {
        ioctl(uffd, UFFDIO_UNREGISTER, &reg.range);
        return gw_fail(err, -ENOTSUP, GW_BLAME_EMBEDDER, "RAM block %s: the kernel cannot write-protect this kind of memory",
                       b->name);
    }
    return 0;
}

int gw_watch_begin(int uffd, const struct gw_ram_block *b, struct gw_watch *ret, struct gw_error *err)
{
    struct gw_watch a = {0};
    int r = place(b, &a, err);

    if (r >= 0)
        r = enlist(uffd, b, &a, err);
    if (r >= 0)
        *ret = a;
    return r;
}

int gw_watch_protect(int uffd, uintptr_t start, uintptr_t end, bool on, struct gw_error *err)
{
    struct uffdio_writeprotect wp = {.range = {.start = start, .len = end - start},
                                     .mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0};

    while (ioctl(uffd, UFFDIO_WRITEPROTECT, &wp) < 0)
        if (errno != EAGAIN && errno != EINTR)
            return gw_fail(err, -errno, GW_BLAME_LOCAL, "UFFDIO_WRITEPROTECT of %zu bytes at %p: %s", (size_t)(end - start),
                           (void *)start, strerror(errno));
    return 0;
}

int gw_watch_populate(uintptr_t start, uintptr_t end, const struct gw_ram_block *b, struct gw_error *err)
{
    if (!madvise((void *)start, end - start, MADV_POPULATE_READ))
        return 0;
    if (errno != EINVAL)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "RAM block %s: %zu bytes at %p cannot be read in: %s", b->name,
                       (size_t)(end - start), (void *)start, strerror(errno));
    for (; start < end; start += (uintptr_t)sysconf(_SC_PAGESIZE)) /* before Linux 5.14 */
        (void)*(const volatile uint8_t *)start;
    return 0;
}

void gw_watch_end(int uffd, struct gw_watch *a)
{
    struct uffdio_range range = {.start = a->start, .len = a->limit - a->start};

    /* A failure here is repaired when the descriptor is closed. */
    if (a->end > a->start)
        gw_watch_protect(uffd, a->start, a->end, false, NULL);
    if (range.len)
        ioctl(uffd, UFFDIO_UNREGISTER, &range);
    *a = (struct gw_watch){0};
}

int gw_watch_probe(const struct gw_ram *ram, struct gw_error *err)
{
    GW_AUTOFD int uffd = -1;
    int r = gw_uffd_open_wp(&uffd, err);

    for (unsigned i = 0; r >= 0 && i < ram->count; i++) {
        struct gw_watch a; /* watched until the descriptor is closed */

        if (gw_ram_writable(ram->blocks[i]))
            r = gw_watch_begin(uffd, ram->blocks[i], &a, err);
    }
    return r;
}
