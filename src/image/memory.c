/* SPDX-License-Identifier: MIT
 *
 * An image in memory: what a destination fills before it is parked. Its memory is anonymous, or a sparse file without a
 * name where the machine is larger than the host's memory.
 */
#include "image/image.h"
#include "ram/page/block.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <stdio.h>

#define HUGE_BYTES (2u << 20)
#define PRESENT (1ull << 63) /* bit of an entry in /proc/self/pagemap */
#define SWAPPED (1ull << 62)

struct memory {
    char *folder; /* NULL: anonymous memory */
    uint64_t limit_bytes;
    int pagemap; /* -1: pages must be read to know what they hold */
    uint8_t **host;
    int *fd; /* of each block; -1: anonymous */
    unsigned count;
    atomic_bool abandoned;
};

static int check(const struct memory *m, struct gw_error *err)
{
    return m->abandoned ? gw_fail(err, -ECANCELED, GW_BLAME_PEER, "the machine was given up while it was read") : 0;
}

/* A hole is zeros; reading it through the mapping would allocate memory for it. */
static int map_file_holes(int fd, unsigned page_bits, uint64_t first, uint64_t count, uint8_t *kinds, struct gw_error *err)
{
    uint64_t end = (first + count) << page_bits, at = first << page_bits, data, hole;

    while (at < end) {
        off_t r = lseek(fd, (off_t)at, SEEK_DATA);

        if (r < 0 && errno != ENXIO)
            return 0; /* the file system does not report holes: any page may have contents */
        data = r < 0 ? end : GW_MIN((uint64_t)r, end);
        memset(kinds + ((at >> page_bits) - first), 0, (data - at) >> page_bits);
        at = data;
        if (at < end) {
            r = lseek(fd, (off_t)at, SEEK_HOLE);
            hole = r < 0 ? end : GW_MIN((uint64_t)r, end);
            at = gw_div_up(hole, 1ull << page_bits) << page_bits;
        }
    }
    return 0;
}

/* An untouched page is zeros; reading it would cause a page fault and allocate page tables. */
static int memory_map(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *kinds,
                      struct gw_error *err)
{
    const struct memory *m = image->own;
    uint64_t at = (uintptr_t)m->host[block] + (first << image->page_bits), entries[512];

    if (check(m, err) < 0)
        return -ECANCELED;
    memset(kinds, 1, count);
    if (m->fd[block] >= 0)
        return map_file_holes(m->fd[block], image->page_bits, first, count, kinds, err);
    if (m->pagemap < 0 || image->page_bytes != (uint64_t)sysconf(_SC_PAGESIZE))
        return 0;
    for (uint64_t done = 0; done < count;) {
        uint64_t n = GW_MIN(count - done, GW_ARRAY_LEN(entries));
        ssize_t got = pread(m->pagemap, entries, n * 8, (off_t)((at >> image->page_bits) + done) * 8);

        if (got != (ssize_t)(n * 8))
            return 0;
        for (uint64_t i = 0; i < n; i++)
            kinds[done + i] = (entries[i] & (PRESENT | SWAPPED)) != 0;
        done += n;
    }
    return 0;
}

static int memory_read(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *dst,
                       struct gw_error *err)
{
    const struct memory *m = image->own;
    int r = check(m, err);

    if (r < 0)
        return r;
    memcpy(dst, m->host[block] + (first << image->page_bits), count << image->page_bits);
    return 0;
}

void gw_memory_forget(struct gw_image *image)
{
    struct memory *m = image->own;

    for (unsigned i = 0; i < m->count; i++) {
        munmap(m->host[i], image->blocks[i].used_bytes);
        gw_close_fd(&m->fd[i]);
    }
    free(m->host);
    free(m->fd);
    m->host = NULL;
    m->fd = NULL;
    m->count = 0;
    m->abandoned = false;
    gw_image_clear(image);
}

static void memory_close(struct gw_image *image)
{
    struct memory *m = image->own;

    gw_memory_forget(image);
    gw_close_fd(&m->pagemap);
    free(m->folder);
    free(m);
}

static const struct gw_image_ops memory_ops = {memory_map, memory_read, memory_close};

static int open_nameless(const char *folder, struct gw_error *err)
{
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    return fd >= 0 ? fd
                   : gw_fail(err, -errno, GW_BLAME_LOCAL, "%s: a file for the guest's RAM cannot be made: %s", folder,
                             strerror(errno));
}

/* Checks the folder before a guest is received. */
static int check_folder(const char *folder, struct gw_error *err)
{
    GW_AUTOFD int fd = folder ? open_nameless(folder, err) : -1;

    return folder && fd < 0 ? fd : 0;
}

int gw_image_new(const char *ram_folder, struct gw_image **ret_image, struct gw_error *err)
{
    struct gw_image *image;
    struct memory *m;
    char *folder;
    int r = check_folder(ram_folder, err);

    if (r < 0)
        return r;
    image = calloc(1, sizeof *image);
    m = calloc(1, sizeof *m);
    folder = ram_folder ? strdup(ram_folder) : NULL;
    if (!image || !m || (ram_folder && !folder)) {
        free(image);
        free(m);
        free(folder);
        return gw_nomem(err, "image");
    }
    m->folder = folder;
    /* For a mapped file an empty entry does not mean zeros. */
    m->pagemap = folder ? -1 : open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    image->ops = &memory_ops;
    image->own = m;
    image->format = GW_IMAGE_MEMORY;
    image->page_bytes = 4096;
    image->page_bits = 12;
    image->footers = true;
    *ret_image = image;
    return 0;
}

static int map_file(const char *folder, uint64_t bytes, uint8_t **ret, int *ret_fd, struct gw_error *err)
{
    GW_AUTOFD int fd = open_nameless(folder, err);
    void *p;

    if (fd < 0)
        return fd;
    if (ftruncate(fd, (off_t)bytes) < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "%s: a file of 0x%" PRIx64 " bytes for the guest's RAM: %s", folder,
                       bytes, strerror(errno));
    p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "%s: mapping 0x%" PRIx64 " bytes: %s", folder, bytes,
                       strerror(errno));
    *ret = p;
    *ret_fd = fd;
    fd = -1;
    return 0;
}

/* UINT64_MAX: not known. */
static uint64_t available_bytes(void)
{
    unsigned long long kib = 0;
    FILE *f = fopen("/proc/meminfo", "re");
    char line[128];
    bool found = false;

    while (f && !found && fgets(line, sizeof line, f))
        found = sscanf(line, "MemAvailable: %llu kB", &kib) == 1;
    if (f)
        fclose(f);
    return found ? (uint64_t)kib << 10 : UINT64_MAX;
}

void gw_image_set_ram_limit(struct gw_image *image, uint64_t bytes)
{
    if (image->ops == &memory_ops)
        ((struct memory *)image->own)->limit_bytes = bytes;
}

static int check_size(const struct gw_image *image, uint64_t bytes, struct gw_error *err)
{
    const struct memory *m = image->own;
    uint64_t limit = m->limit_bytes ? m->limit_bytes : m->folder ? UINT64_MAX : available_bytes(), wanted = bytes;

    for (unsigned i = 0; i < image->block_count; i++)
        if (gw_add_overflows(wanted, image->blocks[i].used_bytes, &wanted))
            wanted = UINT64_MAX;
    if (wanted <= limit)
        return 0;
    return gw_fail(err, -ENOMEM, GW_BLAME_LOCAL,
                   m->limit_bytes ? "the guest has %" PRIu64 " MiB of RAM or more; %" PRIu64
                                    " MiB are allowed (--memory-max)"
                                  : "the guest has %" PRIu64 " MiB of RAM or more; of this host's %" PRIu64
                                    " MiB are available: keep it in a file (--ram-folder), or allow more "
                                    "(--memory-max)",
                   wanted >> 20, limit >> 20);
}

/* Aligned to huge pages: a fault for each small page costs more than receiving it. A guest that uses a little of each
 * huge page then takes its whole size, which was checked before. Missing huge pages are no error. */
static int map_memory(uint64_t bytes, uint8_t **ret, struct gw_error *err)
{
    uint64_t room, page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint8_t *p, *at, *end;

    if (gw_add_overflows(bytes, HUGE_BYTES, &room))
        return gw_fail(err, -EINVAL, GW_BLAME_PEER, "0x%" PRIx64 " bytes of RAM", bytes);
    p = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "mapping 0x%" PRIx64 " bytes for the guest's RAM: %s", bytes,
                       strerror(errno));
    at = p + (HUGE_BYTES - (uintptr_t)p % HUGE_BYTES) % HUGE_BYTES;
    if (at > p)
        munmap(p, (size_t)(at - p));
    end = at + gw_div_up(bytes, page) * page;
    if (end < p + room)
        munmap(end, (size_t)(p + room - end));
    if (bytes >= HUGE_BYTES)
        madvise(at, bytes, MADV_HUGEPAGE);
    *ret = at;
    return 0;
}

int gw_memory_add_block(struct gw_image *image, const char *name, uint64_t used_bytes, uint8_t **ret_host,
                        struct gw_error *err)
{
    struct memory *m = image->own;
    uint8_t **grown = realloc(m->host, (m->count + 1) * sizeof *grown), *host = NULL;
    int *fds = realloc(m->fd, (m->count + 1) * sizeof *fds), fd = -1, r;

    m->host = grown ? grown : m->host;
    m->fd = fds ? fds : m->fd;
    if (!grown || !fds)
        return gw_nomem(err, "RAM blocks");
    r = check_size(image, used_bytes, err);
    if (r >= 0)
        r = m->folder ? map_file(m->folder, used_bytes, &host, &fd, err) : map_memory(used_bytes, &host, err);
    if (r >= 0) {
        r = gw_image_add_block(image, name, used_bytes, NULL, err);
        if (r < 0) {
            munmap(host, used_bytes);
            gw_close_fd(&fd);
        }
    }
    if (r < 0) {
        gw_context(err, "RAM block %s", name);
        return r;
    }
    m->fd[m->count] = fd;
    m->host[m->count++] = host;
    *ret_host = host;
    return 0;
}

void gw_memory_abandon(struct gw_image *image)
{
    if (image->ops == &memory_ops)
        ((struct memory *)image->own)->abandoned = true;
}

bool gw_memory_is_file(const struct gw_image *image)
{
    return image->ops == &memory_ops && ((const struct memory *)image->own)->folder;
}

int gw_memory_room(void *opaque, const struct gw_ram_block *b, uint64_t offset, uint64_t bytes, struct gw_error *err)
{
    const struct gw_image *image = opaque;
    const struct memory *m = image->own;
    int r = -ENOENT;

    for (unsigned i = 0; i < m->count; i++)
        if (m->host[i] == b->host) {
            do
                r = fallocate(m->fd[i], 0, (off_t)offset, (off_t)bytes) < 0 ? -errno : 0;
            while (r == -EINTR);
            if (r == -EOPNOTSUPP) /* the file system cannot reserve room: writing may fail later */
                r = 0;
        }
    return r < 0 ? gw_fail(err, r, GW_BLAME_LOCAL, "%s: room for the guest's RAM (block %s, offset 0x%" PRIx64 "): %s",
                           m->folder, b->name, offset, strerror(-r))
                 : 0;
}

uint8_t *gw_memory_host(const struct gw_image *image, unsigned block)
{
    return image->ops == &memory_ops ? ((const struct memory *)image->own)->host[block] : NULL;
}
