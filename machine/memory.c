/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/memfd.h>
#include <linux/mman.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "machine/internal.h"

#define MIB2 (2ull << 20)
#define LEAST_BYTES (8ull << 20)

/* An existing file keeps its contents, so it must have the block's length. */
static int open_file(const char *path, uint64_t bytes, struct gw_error *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct stat st;
    int r = 0;

    if (fd < 0 || fstat(fd, &st) || (!st.st_size && ftruncate(fd, (off_t)bytes)))
        r = gw_fail(err, -errno, GW_BLAME_LOCAL, "memory in %s: %s", path, strerror(errno));
    else if (st.st_size && (uint64_t)st.st_size != bytes)
        r = gw_fail(err, -EINVAL, GW_BLAME_CALLER, "memory in %s: the file has %" PRIu64 " bytes, but the block needs "
                    "%" PRIu64, path,
                    (uint64_t)st.st_size, bytes);
    if (r < 0 && fd >= 0)
        close(fd);
    return r < 0 ? r : fd;
}

static int map_block(struct gw_machine_block *b, const struct gw_machine_memory *memory, struct gw_error *err)
{
    int flags = MAP_NORESERVE, fd = -1, protection = PROT_READ | PROT_WRITE;
    bool huge = b->page_bytes > GW_GUEST_PAGE;
    void *host;

    if (b->file) {
        fd = open_file(memory->file, b->bytes, err);
        if (fd < 0)
            return fd;
        flags |= MAP_SHARED;
    } else if (b->shared) {
        fd = memfd_create(b->name, MFD_CLOEXEC | (huge ? MFD_HUGETLB | MFD_HUGE_2MB : 0));
        if (fd < 0)
            return gw_fail(err, -errno, GW_BLAME_LOCAL, "memory %s: memfd: %s", b->name, strerror(errno));
        if (ftruncate(fd, (off_t)b->bytes)) {
            int r = -errno;
            close(fd);
            return gw_fail(err, r, GW_BLAME_LOCAL, "memory %s: %" PRIu64 " bytes: %s", b->name, b->bytes, strerror(-r));
        }
        flags |= MAP_SHARED;
    } else {
        flags |= MAP_PRIVATE | MAP_ANONYMOUS | (huge ? MAP_HUGETLB | MAP_HUGE_2MB : 0);
    }
    /* Without a reservation, a page fault with an exhausted pool of huge pages kills the process; so pages are reserved
     * now. */
    if (huge)
        flags &= ~MAP_NORESERVE;
    host = mmap(NULL, b->bytes, protection, flags, fd, 0);
    int r = host == MAP_FAILED ? -errno : 0;
    if (fd >= 0)
        close(fd);
    if (r)
        return gw_fail(err, r, GW_BLAME_LOCAL, "memory %s: %" PRIu64 " bytes: %s%s", b->name, b->bytes, strerror(-r),
                       huge ? " (huge pages come from /proc/sys/vm/nr_hugepages)" : "");
    b->host = host;
    if (memory->transparent_huge)
        madvise(host, b->bytes, MADV_HUGEPAGE);
    return 0;
}

int gw_memory_map(struct gw_machine *m, const struct gw_machine_config *config, struct gw_error *err)
{
    uint64_t gpa = 0;

    if (config->memory_count == 0 || config->memory_count > GW_GUEST_MAX_RANGES)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%u blocks of memory: 1 to %u are possible", config->memory_count,
                       GW_GUEST_MAX_RANGES);
    for (unsigned i = 0; i < config->memory_count; i++) {
        const struct gw_machine_memory *memory = &config->memory[i];
        struct gw_machine_block *b = &m->block[i];
        uint64_t page = memory->page_bytes ? memory->page_bytes : GW_GUEST_PAGE;

        if (memory->name[0])
            snprintf(b->name, sizeof(b->name), "%.*s", (int)sizeof(memory->name) - 1, memory->name);
        else
            snprintf(b->name, sizeof(b->name), "ram%u", i);
        for (unsigned k = 0; k < i; k++) {
            if (!strcmp(m->block[k].name, b->name))
                return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "two blocks of memory are called %s", b->name);
        }
        if (page != GW_GUEST_PAGE && page != MIB2)
            return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "memory %s: page size %" PRIu64 ": 4K or 2M is possible", b->name,
                           page);
        if (memory->bytes % page || memory->bytes < (i ? page : LEAST_BYTES))
            return gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                           "memory %s: %" PRIu64 " bytes: must be a multiple of %" PRIu64 " and at least %" PRIu64, b->name,
                           memory->bytes, page, i ? page : (uint64_t)LEAST_BYTES);
        if (memory->bytes > GW_GUEST_RAM_END - gpa)
            return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "memory %s: no room for %" PRIu64 " bytes below %u GiB", b->name,
                           memory->bytes, (unsigned)(GW_GUEST_RAM_END >> 30));
        b->bytes = memory->bytes;
        b->page_bytes = page;
        b->gpa = gpa;
        b->file = memory->backing == GW_MACHINE_FILE;
        b->shared = b->file || memory->backing == GW_MACHINE_MEMFD;
        if (b->file && page != GW_GUEST_PAGE)
            return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "memory %s: memory in a file has pages of 4K only", b->name);
        int r = map_block(b, memory, err);
        if (r < 0)
            return r;
        m->blocks++;
        gpa = (gpa + b->bytes + GW_GUEST_BLOCK_ALIGN - 1) & ~(GW_GUEST_BLOCK_ALIGN - 1);
    }
    return 0;
}

void gw_memory_unmap(struct gw_machine *m)
{
    for (unsigned i = 0; i < m->blocks; i++)
        munmap(m->block[i].host, m->block[i].bytes);
    m->blocks = 0;
}

void *gw_machine_memory_at(struct gw_machine *m, uint64_t gpa, uint64_t bytes)
{
    for (unsigned i = 0; i < m->blocks; i++) {
        const struct gw_machine_block *b = &m->block[i];
        if (gpa >= b->gpa && gpa - b->gpa < b->bytes)
            return bytes <= b->bytes - (gpa - b->gpa) ? b->host + (gpa - b->gpa) : NULL;
    }
    return NULL;
}

void gw_memory_written(struct gw_machine *m, uint64_t gpa, uint64_t bytes)
{
    if (m->mark_dirty)
        m->mark_dirty(m->vm, gpa, bytes);
}
