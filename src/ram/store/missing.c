/* SPDX-License-Identifier: MIT */
#include "ram/store/missing.h"

#include <linux/userfaultfd.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "ram/page/maps.h"

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

#define LOOK 4096u /* pages in one call of mincore */

static uint64_t up(uint64_t n, uint64_t page)
{
    return gw_div_up(n, page) * page;
}

static uint64_t os_page(void)
{
    return (uint64_t)sysconf(_SC_PAGESIZE);
}

static int kind_of(const struct gw_ram_block *b, uint64_t bytes, enum gw_maps_kind *ret, struct gw_error *err)
{
    return gw_maps_kind((uintptr_t)b->host, (uintptr_t)b->host + bytes, ret, err);
}

/* ---- begin and end ------------------------------------------------------------------------------------------------- */

/* Finds out the kind of memory. Private mappings of files only have missing pages if they are of huge TLB pages: in
 * others the file shows instead. *ret_file: the memory is such a mapping unless it is of huge TLB pages. */
static int look(struct gw_missing *a, bool *ret_file, struct gw_error *err)
{
    const struct gw_ram_block *b = a->block;
    enum gw_maps_kind kind;
    int r;

    if (b->flags & GW_RAM_PERSISTENT)
        return gw_fail(err, -ENOTSUP, GW_BLAME_EMBEDDER,
                       "RAM block %s cannot do postcopy: it is on persistent memory, whose pages cannot follow a guest that runs", b->name);
    if ((uintptr_t)b->host % os_page())
        return gw_fail(err, -EINVAL, GW_BLAME_EMBEDDER, "RAM block %s at %p does not begin on a page (%" PRIu64 " bytes)", b->name,
                       (void *)b->host, os_page());
    a->host = b->host;
    a->bytes = up(b->used_bytes, os_page());
    r = kind_of(b, a->bytes, &kind, err);
    if (r < 0)
        return r;
    if (kind == GW_MAPS_HOLES)
        return gw_fail(err, -EINVAL, GW_BLAME_EMBEDDER, "RAM block %s (%" PRIu64 " bytes at %p) is not all mapped", b->name, a->bytes,
                       (void *)b->host);
    a->shared = kind == GW_MAPS_SHARED;
    *ret_file = kind == GW_MAPS_OTHER;
    return 0;
}

/* Registers the memory, and asks what the kernel supports there. 0 or an errno. */
static int enlist(struct gw_missing *a, uint64_t *ret_ioctls)
{
    struct uffdio_register reg = {.range = {.start = (uintptr_t)a->host, .len = a->bytes}, .mode = UFFDIO_REGISTER_MODE_MISSING};

    if (ioctl(a->uffd, UFFDIO_REGISTER, &reg) < 0)
        return errno;
    *ret_ioctls = reg.ioctls;
    return 0;
}

static int refused(const struct gw_missing *a, int code, struct gw_error *err)
{
    bool kind = code == EINVAL || code == EOPNOTSUPP;
    const char *hint = code == EBUSY   ? "another userfaultfd watches it: end what measures the dirty rate, or tracks this memory"
                       : kind          ? "the kernel can tell of missing pages only in anonymous memory, memfd and tmpfs, and huge TLB "
                                         "pages, not in files on a disk nor in memory of a device; use one of these, and tell the size of "
                                         "huge pages"
                       : code == EPERM ? "the file behind it was opened read-only; open it for writing"
                                       : strerror(code);

    return gw_fail(err, kind ? -ENOTSUP : -code, code == ENOMEM ? GW_BLAME_LOCAL : GW_BLAME_EMBEDDER,
                   "RAM block %s (%" PRIu64 " bytes at %p) cannot do postcopy: %s", a->block->name, a->bytes, (void *)a->host, hint);
}

/* Accepts the memory if its kind is supported. */
static int judge(struct gw_missing *a, bool file, struct gw_error *err)
{
    uint64_t ioctls = 0, page = a->block->page_bytes;
    const char *wrong = NULL;
    int code = enlist(a, &ioctls), r = -EINVAL;

    if (code == EINVAL && a->bytes % page) { /* the last huge TLB page is covered as a whole */
        a->bytes = up(a->bytes, page);
        code = enlist(a, &ioctls);
    }
    if (code)
        return refused(a, code, err);
    a->zeropage = ioctls & 1ull << _UFFDIO_ZEROPAGE; /* not supported for huge TLB pages */
    a->step = a->zeropage ? os_page() : page;
    if (!(ioctls & 1ull << _UFFDIO_COPY)) {
        wrong = "the kernel cannot place pages in this kind of memory";
        r = -ENOTSUP;
    } else if (!a->zeropage && a->step <= os_page()) {
        wrong = "it is of huge TLB pages and was described as having pages of the system; tell their size (gw_ram_desc.page_bytes)";
    } else if (a->zeropage && file) {
        wrong = "it is a private mapping of a file, where pages that have not come show what is in the file; map it shared, or use "
                "anonymous memory";
        r = -ENOTSUP;
    }
    if (!wrong)
        return 0;
    r = gw_fail(err, r, GW_BLAME_EMBEDDER, "RAM block %s cannot do postcopy: %s", a->block->name, wrong);
    gw_missing_end(a);
    return r;
}

int gw_missing_begin(struct gw_missing *ret, int uffd, const struct gw_ram_block *b, const uint8_t *zeros, struct gw_error *err)
{
    struct gw_missing a = {.block = b, .uffd = uffd};
    bool file = false;
    int r = look(&a, &file, err);

    if (r >= 0)
        r = judge(&a, file, err);
    if (r < 0)
        return r;
    a.zeros = a.zeropage ? NULL : zeros;
    *ret = a;
    return 0;
}

void gw_missing_end(struct gw_missing *a)
{
    struct uffdio_range range = {.start = (uintptr_t)a->host, .len = a->bytes};

    if (a->bytes) {
        ioctl(a->uffd, UFFDIO_UNREGISTER, &range); /* if this fails, closing the descriptor repairs it */
        /* if the memory was mapped anew, the kernel only knows the waiting threads */
        ioctl(a->uffd, UFFDIO_WAKE, &range);
    }
    *a = (struct gw_missing){0};
}

/* ---- discard ------------------------------------------------------------------------------------------------------- */

/* A huge page that cannot be split, because it is pinned, is zeroed instead of freed. */
static int must_be_gone(const struct gw_ram_block *b, uint64_t offset, uint64_t bytes, struct gw_error *err)
{
    uint64_t page = os_page();
    unsigned char there[LOOK];

    for (uint64_t at = 0; at < bytes; at += LOOK * page) {
        uint64_t part = GW_MIN(bytes - at, LOOK * page);

        if (mincore(b->host + offset + at, part, there) < 0)
            return gw_fail(err, -errno, GW_BLAME_LOCAL, "mincore: %s", strerror(errno));
        for (uint64_t i = 0; i < gw_div_up(part, page); i++)
            if (there[i] & 1)
                return gw_fail(err, -EBUSY, GW_BLAME_EMBEDDER,
                               "RAM block %s: the page at 0x%" PRIx64 " stays when it is given back to the host: something holds it, or "
                               "another process writes there; use memory without transparent huge pages (MADV_NOHUGEPAGE)",
                               b->name, offset + at + i * page);
    }
    return 0;
}

int gw_missing_shared(const struct gw_ram_block *b, bool *ret, struct gw_error *err)
{
    enum gw_maps_kind kind;
    int r = kind_of(b, b->used_bytes, &kind, err);

    if (r >= 0)
        *ret = kind == GW_MAPS_SHARED;
    return r;
}

int gw_missing_discard(const struct gw_ram_block *b, bool shared, uint64_t offset, uint64_t bytes, struct gw_error *err)
{
    uint8_t *at = b->host + offset;
    int r = madvise(at, bytes, shared ? MADV_REMOVE : MADV_DONTNEED);

    if (r < 0 && errno == EINVAL && !shared) /* the memory is locked */
        r = madvise(at, bytes, MADV_DONTNEED_LOCKED);
    if (r < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "RAM block %s: 0x%" PRIx64 " bytes at 0x%" PRIx64 " cannot be given back to the host: %s%s",
                       b->name, bytes, offset, strerror(errno),
                       errno != EINVAL ? ""
                       : shared        ? " (memory that is locked cannot be: mlock it after the migration)"
                                       : " (locked memory, and private huge TLB pages, need Linux 5.18)");
    return shared ? must_be_gone(b, offset, bytes, err) : 0;
}

/* ---- placing ------------------------------------------------------------------------------------------------------- */

static int failed(const struct gw_missing *a, const char *what, uint64_t offset, int code, struct gw_error *err)
{
    const char *hint = code == ENOENT   ? ": it was unmapped, or mapped anew"
                       : code == EEXIST ? ": something is there that did not come. Another process that shares this memory writes to it"
                       : code == EINVAL ? ": the size of its host page may be another one than was told"
                       : code == ENOMEM && !a->zeropage ? ": there are too few huge pages (vm.nr_hugepages)"
                                                        : "";

    return gw_fail(err, -code, code == ENOMEM ? GW_BLAME_LOCAL : GW_BLAME_EMBEDDER, "RAM block %s: %s at 0x%" PRIx64 ": %s%s",
                   a->block->name, what, offset, strerror(code), hint);
}

/* The kernel was interrupted, or the address space is changing; pages that were placed count. */
static bool again(int code)
{
    if (code == EAGAIN)
        sched_yield();
    return code == EAGAIN || code == EINTR;
}

int gw_missing_copy(const struct gw_missing *a, uint64_t offset, const uint8_t *from, uint64_t bytes, struct gw_error *err)
{
    while (bytes) {
        struct uffdio_copy copy = {.dst = (uintptr_t)a->host + offset, .src = (uintptr_t)from, .len = bytes};
        int code = ioctl(a->uffd, UFFDIO_COPY, &copy) < 0 ? errno : 0;
        uint64_t done = code ? (copy.copy > 0 ? (uint64_t)copy.copy : 0) : bytes;

        if (code && !done && !again(code))
            return failed(a, "UFFDIO_COPY", offset, code, err);
        offset += done;
        from += done;
        bytes -= done;
    }
    return 0;
}

int gw_missing_zero(const struct gw_missing *a, uint64_t offset, uint64_t bytes, struct gw_error *err)
{
    while (bytes) {
        struct uffdio_zeropage zero = {.range = {.start = (uintptr_t)a->host + offset, .len = bytes}};
        int code, r = 0;
        uint64_t done;

        if (!a->zeropage) {
            if ((r = gw_missing_copy(a, offset, a->zeros, a->step, err)) < 0)
                return r;
            done = a->step;
        } else {
            code = ioctl(a->uffd, UFFDIO_ZEROPAGE, &zero) < 0 ? errno : 0;
            done = code ? (zero.zeropage > 0 ? (uint64_t)zero.zeropage : 0) : bytes;
            if (code && !done && !again(code))
                return failed(a, "UFFDIO_ZEROPAGE", offset, code, err);
        }
        offset += done;
        bytes -= done;
    }
    return 0;
}

int gw_missing_fill(const struct gw_missing *a, uint64_t offset, uint64_t bytes, struct gw_error *err)
{
    for (uint64_t at = offset; at < offset + bytes; at += a->step) {
        struct uffdio_range there = {.start = (uintptr_t)a->host + at, .len = a->step};
        struct gw_error error = GW_ERROR_INIT;
        int r = gw_missing_zero(a, at, a->step, &error);

        if (r == -EEXIST) {
            ioctl(a->uffd, UFFDIO_WAKE, &there);
        } else if (r < 0) {
            if (err)
                *err = error;
            return r;
        }
    }
    return 0;
}
