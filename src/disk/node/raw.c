/* SPDX-License-Identifier: MIT */
#include "disk/node/raw.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/base.h"
#include "disk/node/lock.h"
#include "disk/node/probe.h"
#include "disk/node/transfer.h"

enum cannot { CANNOT_ZERO_RANGE = 1, CANNOT_PUNCH = 2, CANNOT_SEEK = 4, CANNOT_ZEROOUT = 8, CANNOT_DISCARD = 16 };

struct raw {
    struct gw_node node; /* the first member */
    int fd;
    int cached_fd; /* with O_DIRECT: the same file through the page cache; else -1 */
    bool device, lock, guarded, unsafe;
    int sync_mode;           /* O_DSYNC: a completed write is on the disk; else 0 */
    _Atomic unsigned cannot; /* operations that the file does not support */

    /* The run of data that was found last. Some file systems examine each page to find its end, and an image asks for
     * every chunk. If the data has become a hole meanwhile, it still reads correctly. */
    pthread_mutex_t lock_found;
    uint64_t found, found_end;
    unsigned holes_made;
};

static struct raw *raw_of(struct gw_node *n)
{
    return (struct raw *)n;
}

/* ---- read, write ------------------------------------------------------------------------------------------------- */

/* The part that O_DIRECT can handle: all except a partial block at the end. */
static uint64_t direct_part(const struct raw *w, uint64_t bytes)
{
    return w->cached_fd < 0 ? bytes : bytes & ~(uint64_t)(w->node.request_bytes - 1);
}

static int raw_read(struct gw_node *n, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    struct raw *w = raw_of(n);
    uint64_t first = direct_part(w, bytes);
    struct gw_transfer t = {w->fd, w->cached_fd < 0 ? 1 : n->request_bytes, n->name};
    int r = gw_transfer_read(&t, to, first, offset, err);

    if (r < 0 || first == bytes)
        return r;
    t = (struct gw_transfer){w->cached_fd, 1, n->name};
    return gw_transfer_read(&t, (char *)to + first, bytes - first, offset + first, err);
}

static int sync_now(struct raw *w, struct gw_error *err)
{
    int r;

    do
        r = w->unsafe ? 0 : fdatasync(w->fd);
    while (r < 0 && errno == EINTR);
    if (r < 0 && errno != EINVAL && errno != EROFS) /* the file does not support fsync */
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "%.200s: what was written may not be on the disk: %s", w->node.name,
                       strerror(errno));
    return 0;
}

/* Whether the write would make the head look like an image of some format at the next open. */
static int look_at_head(struct raw *w, const void *from, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    uint8_t head[GW_PROBE_BYTES] = {0};
    uint64_t have = GW_MIN(sizeof head, w->node.bytes);
    struct gw_transfer t = {w->cached_fd < 0 ? w->fd : w->cached_fd, 1, w->node.name};
    int r;

    if (!w->guarded || offset >= have)
        return 0;
    r = gw_transfer_read(&t, head, have, 0, err);
    if (r < 0)
        return r;
    memcpy(head + offset, from, GW_MIN(bytes, have - offset));
    if (!gw_probe(head, have))
        return 0;
    return gw_fail(err, -EPERM, GW_BLAME_CALLER,
                   "%.200s: refused to make its beginning look like %s, as its format was guessed: open it with format "
                   "raw to allow that",
                   w->node.name, gw_probe(head, have));
}

static int raw_write(struct gw_node *n, const void *from, uint64_t bytes, uint64_t offset, unsigned flags,
                     struct gw_error *err)
{
    struct raw *w = raw_of(n);
    uint64_t first = direct_part(w, bytes);
    struct gw_transfer t = {w->fd, w->cached_fd < 0 ? 1 : n->request_bytes, n->name};
    int r = look_at_head(w, from, bytes, offset, err);

    r = r < 0 ? r : gw_transfer_write(&t, from, first, offset, err);
    if (r >= 0 && first < bytes) {
        t = (struct gw_transfer){w->cached_fd, 1, n->name};
        r = gw_transfer_write(&t, (const char *)from + first, bytes - first, offset + first, err);
    }
    return r >= 0 && flags & GW_NODE_DURABLE ? sync_now(w, err) : r;
}

/* ---- zero, discard ----------------------------------------------------------------------------------------------- */

/* Whether it was done. An unsupported operation is not tried again; after any other failure the caller writes, which
 * reports the error. */
static bool try_fallocate(struct raw *w, enum cannot bit, int mode, uint64_t bytes, uint64_t offset)
{
    int r;

    if (w->cannot & bit)
        return false;
    do
        r = fallocate(w->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)bytes);
    while (r < 0 && errno == EINTR);
    if (r < 0 && (errno == EOPNOTSUPP || errno == ENOSYS || errno == ENODEV))
        w->cannot |= bit;
    return r == 0;
}

static bool try_ioctl(struct raw *w, enum cannot bit, unsigned long request, uint64_t bytes, uint64_t offset)
{
    uint64_t range[2] = {offset, bytes};
    int r;

    if (!w->device || w->cannot & bit)
        return false;
    do
        r = ioctl(w->fd, request, range);
    while (r < 0 && errno == EINTR);
    if (r < 0 && (errno == EOPNOTSUPP || errno == ENOTTY))
        w->cannot |= bit;
    return r == 0;
}

/* The remembered data run may be a hole now. */
static void forget_found(struct raw *w)
{
    pthread_mutex_lock(&w->lock_found);
    w->found_end = 0;
    w->holes_made++;
    pthread_mutex_unlock(&w->lock_found);
}

static int raw_zero(struct gw_node *n, uint64_t bytes, uint64_t offset, unsigned flags, struct gw_error *err)
{
    struct raw *w = raw_of(n);
    int r = 0;

    if (!(flags & GW_NODE_UNMAP && try_fallocate(w, CANNOT_PUNCH, FALLOC_FL_PUNCH_HOLE, bytes, offset)) &&
        !try_fallocate(w, CANNOT_ZERO_RANGE, FALLOC_FL_ZERO_RANGE, bytes, offset) &&
        !try_ioctl(w, CANNOT_ZEROOUT, BLKZEROOUT, bytes, offset)) {
        struct gw_transfer t = {w->cached_fd < 0 ? w->fd : w->cached_fd, 1, n->name};

        r = gw_transfer_zeros(&t, bytes, offset, err);
    }
    forget_found(w);
    return r >= 0 && (flags & GW_NODE_DURABLE || w->sync_mode) ? sync_now(w, err) : r;
}

/* Only a hint: space that cannot be returned stays. */
static int raw_discard(struct gw_node *n, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    struct raw *w = raw_of(n);

    if (w->device)
        try_ioctl(w, CANNOT_DISCARD, BLKDISCARD, bytes, offset);
    else
        try_fallocate(w, CANNOT_PUNCH, FALLOC_FL_PUNCH_HOLE, bytes, offset);
    forget_found(w);
    return 0;
}

/* ---- find -------------------------------------------------------------------------------------------------------- */

/* Whether offset lies in the remembered run; else *ret_made must be passed to note_found. */
static bool is_found(struct raw *w, uint64_t offset, uint64_t *ret_end, unsigned *ret_made)
{
    bool found;

    pthread_mutex_lock(&w->lock_found);
    found = offset >= w->found && offset < w->found_end;
    *ret_end = w->found_end;
    *ret_made = w->holes_made;
    pthread_mutex_unlock(&w->lock_found);
    return found;
}

static void note_found(struct raw *w, uint64_t offset, uint64_t end, unsigned made)
{
    pthread_mutex_lock(&w->lock_found);
    if (made == w->holes_made) {
        w->found = offset;
        w->found_end = end;
    }
    pthread_mutex_unlock(&w->lock_found);
}

/* Where the first run ends, and whether it is a hole. False: the file system does not report it. */
static bool seek_run(struct raw *w, uint64_t offset, uint64_t end, uint64_t *ret_end, bool *ret_hole)
{
    unsigned made;

    *ret_hole = false;
    if (is_found(w, offset, ret_end, &made)) {
        *ret_end = GW_MIN(*ret_end, end);
        return true;
    }
    off_t data = lseek(w->fd, (off_t)offset, SEEK_DATA), hole;

    errno = data >= 0 ? 0 : errno;
    if (data < 0 && errno != ENXIO)
        return false;
    *ret_hole = data < 0 || (uint64_t)data > offset;
    if (*ret_hole) {
        *ret_end = data < 0 ? end : GW_MIN((uint64_t)data, end);
        return true;
    }
    hole = lseek(w->fd, (off_t)offset, SEEK_HOLE);
    if (hole < 0 || (uint64_t)hole <= offset) /* the file was truncated or punched between the calls */
        return false;
    note_found(w, offset, (uint64_t)hole, made);
    *ret_end = GW_MIN((uint64_t)hole, end);
    return true;
}

static int raw_find(struct gw_node *n, uint64_t bytes, uint64_t offset, struct gw_node_run *ret, struct gw_error *err)
{
    struct raw *w = raw_of(n);
    uint64_t end = offset + bytes;
    bool hole = false;

    if (w->device || w->cannot & CANNOT_SEEK) {
        /* all of it is data */
    } else if (!seek_run(w, offset, end, &end, &hole)) {
        if (errno == EINVAL || errno == EOPNOTSUPP)
            w->cannot |= CANNOT_SEEK;
        hole = false;
        end = offset + bytes;
    }
    *ret = (struct gw_node_run){.kind = hole ? GW_DISK_ZERO : GW_DISK_DATA, .bytes = end - offset, .fd = -1};
    if (hole)
        return 0;
    ret->fd = w->fd;
    ret->file_offset = offset;
    ret->file_align = w->cached_fd < 0 ? 1 : n->request_bytes;
    ret->file_read_only = n->read_only || (w->guarded && offset < GW_PROBE_BYTES);
    return 0;
}

/* ---- the rest ---------------------------------------------------------------------------------------------------- */

static int raw_flush(struct gw_node *n, struct gw_error *err)
{
    return sync_now(raw_of(n), err);
}

static int raw_resize(struct gw_node *n, uint64_t bytes, struct gw_error *err)
{
    struct raw *w = raw_of(n);
    int r;

    if (w->device)
        return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER, "%.200s: the length of a block device cannot be changed", n->name);
    if (bytes > INT64_MAX)
        return gw_fail(err, -EFBIG, GW_BLAME_CALLER, "%.200s: a file cannot have %" PRIu64 " bytes", n->name, bytes);
    do
        r = ftruncate(w->fd, (off_t)bytes);
    while (r < 0 && errno == EINTR);
    if (r < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "%.200s: cannot change its length to %" PRIu64 " bytes: %s",
                       n->name, bytes, strerror(errno));
    n->bytes = bytes;
    forget_found(w);
    return 0;
}

static int raw_activate(struct gw_node *n, bool active, struct gw_error *err)
{
    struct raw *w = raw_of(n);
    off_t end;
    int r = 0;

    if (!active) {
        if (w->lock)
            gw_node_unlock(w->fd);
        return 0;
    }
    if (w->lock)
        r = gw_node_lock(w->fd, n->read_only ? GW_LOCK_READ : GW_LOCK_READ | GW_LOCK_WRITE,
                         GW_LOCK_WRITE | GW_LOCK_RESIZE, n->name, err);
    end = r < 0 ? -1 : lseek(w->fd, 0, SEEK_END);
    if (end >= 0)
        n->bytes = (uint64_t)end; /* another owner may have changed the length */
    forget_found(w);
    return r;
}

static int raw_free(struct gw_node *n, struct gw_error *err)
{
    struct raw *w = raw_of(n);
    int r = 0;

    gw_close_fd(&w->cached_fd);
    if (w->fd >= 0 && close(w->fd) < 0 && errno != EINTR)
        r = gw_fail(err, -errno, GW_BLAME_LOCAL, "%.200s: what was written may not be in it: %s", n->name,
                    strerror(errno));
    gw_node_done(n, NULL);
    pthread_mutex_destroy(&w->lock_found);
    free(w);
    return r;
}

static const struct gw_node_ops raw_ops = {
    .format = "raw",
    .read = raw_read,
    .write = raw_write,
    .zero = raw_zero,
    .discard = raw_discard,
    .find = raw_find,
    .flush = raw_flush,
    .resize = raw_resize,
    .activate = raw_activate,
    .free = raw_free,
};

/* ---- open -------------------------------------------------------------------------------------------------------- */

/* The smallest request that O_DIRECT accepts here, found by trying, since few file systems report it. */
static uint32_t direct_bytes(int fd)
{
    GW_AUTOFREE void *room = NULL;

    if (posix_memalign(&room, 4096, 4096))
        return 4096;
    return pread(fd, room, 512, 0) < 0 ? 4096 : 512;
}

static int open_cached(struct raw *w, struct gw_error *err)
{
    char path[64];

    w->node.request_bytes = direct_bytes(w->fd);
    snprintf(path, sizeof path, "/proc/self/fd/%d", w->fd);
    w->cached_fd = open(path, (w->node.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | w->sync_mode);
    if (w->cached_fd < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "%.200s: it cannot be opened a second time, through the page cache: "
                       "%s", w->node.name, strerror(errno));
    return 0;
}

static int open_file(struct raw *w, const char *path, const struct gw_node_options *o, struct gw_error *err)
{
    static const int modes[] = {[GW_NODE_CACHE_NONE] = O_DIRECT,
                                [GW_NODE_CACHE_WRITETHROUGH] = O_DSYNC,
                                [GW_NODE_CACHE_DIRECTSYNC] = O_DIRECT | O_DSYNC,
                                [GW_NODE_CACHE_UNSAFE] = 0};
    struct stat st;
    off_t end;

    w->sync_mode = modes[o->cache] & O_DSYNC;
    w->fd = open(path, (o->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY | modes[o->cache]);
    if (w->fd < 0 && errno == EINVAL && modes[o->cache] & O_DIRECT)
        return gw_fail(err, -EINVAL, GW_BLAME_LOCAL,
                       "%.200s: its file system cannot go past the page cache: use another cache mode, as writeback",
                       path);
    if (w->fd < 0 || fstat(w->fd, &st) < 0 || (end = lseek(w->fd, 0, SEEK_END)) < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "%.200s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        return gw_fail(err, -EINVAL, GW_BLAME_LOCAL, "%.200s: neither a file nor a block device", path);
    w->device = S_ISBLK(st.st_mode);
    w->node.bytes = (uint64_t)end;
    w->node.cluster_bytes = w->device ? 0 : (uint32_t)st.st_blksize;
    return modes[o->cache] & O_DIRECT ? open_cached(w, err) : 0;
}

int gw_raw_open(const char *path, const struct gw_node_options *o, bool guarded, struct gw_node **ret,
                struct gw_error *err)
{
    struct raw *w = calloc(1, sizeof *w);
    int r;

    if (!w)
        return gw_nomem(err, "disk");
    pthread_mutex_init(&w->lock_found, NULL);
    w->fd = w->cached_fd = -1;
    w->lock = !o->unlocked;
    w->unsafe = o->cache == GW_NODE_CACHE_UNSAFE;
    w->guarded = guarded && !o->read_only;
    w->node.read_only = o->read_only;
    w->node.inactive = true;
    r = gw_node_init(&w->node, &raw_ops, path, err);
    r = r < 0 ? r : open_file(w, path, o, err);
    if (r >= 0 && !o->inactive)
        r = gw_node_activate(&w->node, err);
    if (r < 0) {
        raw_free(&w->node, NULL);
        return r;
    }
    *ret = &w->node;
    return 0;
}
