/* SPDX-License-Identifier: MIT
 *
 * Disks of none_vm that are raw files, which the writer changes as it does the memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "none_vm.h"

static int disk_read(void *opaque, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    const struct image *d = opaque;

    return pread(d->fd, to, bytes, (off_t)offset) == (ssize_t)bytes ? 0 : -EIO;
}

static int disk_write(void *opaque, const void *from, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    const struct image *d = opaque;

    return pwrite(d->fd, from, bytes, (off_t)offset) == (ssize_t)bytes ? 0 : -EIO;
}

static int disk_zero(void *opaque, uint64_t bytes, uint64_t offset, bool unmap, struct gw_error *err)
{
    const struct image *d = opaque;

    return fallocate(d->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)bytes) ? -errno : 0;
}

/* What lies in front of the next data is a hole. */
static int disk_find(void *opaque, uint64_t bytes, uint64_t offset, struct gw_disk_run *ret, struct gw_error *err)
{
    const struct image *d = opaque;
    off_t data = lseek(d->fd, (off_t)offset, SEEK_DATA);
    uint64_t hole = data < 0 || (uint64_t)data - offset > bytes ? bytes : (uint64_t)data - offset;

    *ret = hole ? (struct gw_disk_run){GW_DISK_ZERO, hole} : (struct gw_disk_run){GW_DISK_DATA, bytes < 512 ? bytes : 512};
    return 0;
}

static int disk_flush(void *opaque, struct gw_error *err)
{
    return 0;
}

bool image_parse(struct machine *m, char *text) /* NAME=PATH */
{
    char *path = strchr(text, '=');

    if (!path || m->images == IMAGES_MAX)
        return false;
    *path = 0;
    m->image[m->images++] = (struct image){.name = text, .path = path + 1, .fd = -1};
    return true;
}

int images_add(struct machine *m, struct gw_error *err)
{
    static const struct gw_disk_ops ops = {GW_SIZED(struct gw_disk_ops), .read = disk_read, .write = disk_write,
                                           .zero = disk_zero, .find = disk_find, .flush = disk_flush};
    int r = 0;

    for (unsigned i = 0; !r && i < m->images; i++) {
        struct image *d = &m->image[i];

        d->fd = open(d->path, O_RDWR | O_CLOEXEC);
        if (d->fd < 0)
            return gw_fail(err, -errno, GW_BLAME_LOCAL, "%s: %s", d->path, strerror(errno));
        d->bytes = (uint64_t)lseek(d->fd, 0, SEEK_END);
        r = gw_vm_add_disk(m->vm, &(struct gw_disk_desc){.device = d->name, .bytes = d->bytes, .ops = &ops, .opaque = d},
                           &d->disk, err);
    }
    return r;
}

void images_change(struct machine *m, uint64_t k)
{
    uint64_t words[512];

    for (unsigned i = 0; i < m->images; i++) {
        struct image *d = &m->image[i];
        uint64_t at = k * 0x9E3779B97F4A7C15u >> 20, offset = at % (d->bytes / sizeof words) * sizeof words;

        for (unsigned w = 0; w < 512; w++)
            words[w] = k * 512 + w;
        if (pwrite(d->fd, words, sizeof words, (off_t)offset) != (ssize_t)sizeof words)
            abort();
        gw_disk_wrote(d->disk, offset, sizeof words);
    }
}
