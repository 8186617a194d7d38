/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "channel/transport.h"

/* I/O on a file does not wait for a peer, so there is no polling; a shutdown takes effect at the next call. */
struct gw_file {
    struct gw_channel channel;
    int fd;
    int stopped;
    int wrote;  /* set by several threads, since positioned writes may be concurrent */
    int direct; /* the descriptor is O_DIRECT */
};

static struct gw_file *file_of(struct gw_channel *ch)
{
    return (struct gw_file *)ch;
}

static int failed(const char *doing, struct gw_error *err)
{
    int code = errno;

    return gw_fail(err, -code, code == EFAULT ? GW_BLAME_CALLER : GW_BLAME_LOCAL, "%s: %s", doing, strerror(code));
}

static int stopped(struct gw_file *f, struct gw_error *err)
{
    if (__atomic_load_n(&f->stopped, __ATOMIC_RELAXED))
        return gw_fail(err, -ECANCELED, GW_BLAME_CHANNEL, "shut down");
    return 0;
}

/* A request is not aligned, or the file system accepts O_DIRECT but not this request: use the page cache from now on.
 * The flag is removed from the descriptor before `direct` is cleared: a call that began before that is repeated,
 * however many threads fail at the same time. */
static bool direct_failed(struct gw_file *f, int was_direct)
{
    if (errno != EINVAL || !was_direct)
        return false;
    fcntl(f->fd, F_SETFL, fcntl(f->fd, F_GETFL) & ~O_DIRECT);
    __atomic_store_n(&f->direct, 0, __ATOMIC_RELEASE);
    return true;
}

/* Repeats `call` while signals interrupt it. A write of 0 bytes would repeat for ever, so it is an error. */
#define FILE_IO(f, doing, call, is_write, err)                                                                         \
    do {                                                                                                               \
        ssize_t n_;                                                                                                    \
        int direct_, r_ = stopped(f, err);                                                                             \
                                                                                                                       \
        if (r_ < 0)                                                                                                    \
            return r_;                                                                                                 \
        do {                                                                                                           \
            direct_ = __atomic_load_n(&(f)->direct, __ATOMIC_ACQUIRE);                                                 \
            n_ = (call);                                                                                               \
        } while (n_ < 0 && (errno == EINTR || direct_failed(f, direct_)));                                             \
        if (n_ < 0)                                                                                                    \
            return failed(doing, err);                                                                                 \
        if (n_ == 0 && (is_write))                                                                                     \
            return gw_fail(err, -ENOSPC, GW_BLAME_LOCAL, "%s: no byte was written", doing);                              \
        return n_;                                                                                                     \
    } while (0)

static ssize_t file_readv(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    FILE_IO(file_of(ch), "reading", readv(file_of(ch)->fd, iov, n), false, err);
}

static ssize_t file_writev(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    __atomic_store_n(&file_of(ch)->wrote, 1, __ATOMIC_RELAXED);
    FILE_IO(file_of(ch), "writing", writev(file_of(ch)->fd, iov, n), true, err);
}

static ssize_t file_preadv(struct gw_channel *ch, const struct iovec *iov, int n, uint64_t offset, struct gw_error *err)
{
    if (offset > INT64_MAX)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "offset %" PRIu64 " is beyond any file", offset);
    FILE_IO(file_of(ch), "reading", preadv(file_of(ch)->fd, iov, n, (off_t)offset), false, err);
}

static ssize_t file_pwritev(struct gw_channel *ch, const struct iovec *iov, int n, uint64_t offset,
                            struct gw_error *err)
{
    if (offset > INT64_MAX)
        return gw_fail(err, -EFBIG, GW_BLAME_CALLER, "offset %" PRIu64 " is beyond any file", offset);
    __atomic_store_n(&file_of(ch)->wrote, 1, __ATOMIC_RELAXED);
    FILE_IO(file_of(ch), "writing", pwritev(file_of(ch)->fd, iov, n, (off_t)offset), true, err);
}

static int file_seek(struct gw_channel *ch, uint64_t offset, struct gw_error *err)
{
    if (offset > INT64_MAX)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "offset %" PRIu64 " is beyond any file", offset);
    if (lseek(file_of(ch)->fd, (off_t)offset, SEEK_SET) < 0)
        return failed("seeking", err);
    return 0;
}

static int file_tell(struct gw_channel *ch, uint64_t *ret_offset, struct gw_error *err)
{
    off_t at = lseek(file_of(ch)->fd, 0, SEEK_CUR);

    if (at < 0)
        return failed("seeking", err);
    *ret_offset = (uint64_t)at;
    return 0;
}

static ssize_t file_peek(struct gw_channel *ch, void *buf, size_t n, struct gw_error *err)
{
    uint64_t at = 0;
    int r = file_tell(ch, &at, err);

    if (r < 0)
        return r;
    FILE_IO(file_of(ch), "reading", pread(file_of(ch)->fd, buf, n, (off_t)at), false, err);
}

static int file_sync(struct gw_channel *ch, struct gw_error *err)
{
    int r = stopped(file_of(ch), err);

    if (r < 0)
        return r;
    return fdatasync(file_of(ch)->fd) < 0 ? failed("writing back", err) : 0;
}

static void file_shutdown(struct gw_channel *ch)
{
    __atomic_store_n(&file_of(ch)->stopped, 1, __ATOMIC_RELAXED);
}

static int file_close(struct gw_channel *ch, struct gw_error *err)
{
    int r = stopped(file_of(ch), err), fd = file_of(ch)->fd;

    if (r < 0)
        return r;
    /* The source may free its machine after this. Files that cannot be synced store nothing, so that is no error. */
    if (file_of(ch)->wrote && fsync(fd) < 0 && errno != EINVAL && errno != EROFS)
        return failed("writing back", err);
    file_of(ch)->fd = -1;
    /* A network file system may report only here that it could not write. */
    if (close(fd) < 0 && errno != EINTR)
        return failed("closing", err);
    return 0;
}

static void file_free(struct gw_channel *ch)
{
    gw_close_fd(&file_of(ch)->fd);
    free(ch);
}

#define FILE_OPS(name)                                                                                                 \
    {                                                                                                                  \
        .kind = name, .readv = file_readv, .writev = file_writev, .preadv = file_preadv, .pwritev = file_pwritev,      \
        .seek = file_seek, .peek = file_peek, .sync = file_sync, .shutdown = file_shutdown, .close = file_close,       \
        .free = file_free, .tell = file_tell,                                                                          \
    }
static const struct gw_channel_ops file_ops = FILE_OPS("file"), fd_ops = FILE_OPS("fd");

int gw_file_new(int take_fd, const char *kind, unsigned features, const char *name, struct gw_channel **ret_channel,
                struct gw_error *err)
{
    struct gw_file *f = calloc(1, sizeof *f);

    if (!f) {
        close(take_fd);
        return gw_nomem(err, "channel");
    }
    gw_channel_init(&f->channel, strcmp(kind, "file") ? &fd_ops : &file_ops, features, name);
    f->fd = take_fd;
    *ret_channel = &f->channel;
    return 0;
}

int gw_file_direct(struct gw_channel *of, struct gw_channel **ret_channel, struct gw_error *err)
{
    char path[64];
    int fd, flags, r;

    if (of->ops != &file_ops && of->ops != &fd_ops)
        return 0;
    flags = fcntl(file_of(of)->fd, F_GETFL) & O_ACCMODE;
    snprintf(path, sizeof path, "/proc/self/fd/%d", file_of(of)->fd);
    fd = open(path, flags | O_DIRECT | O_CLOEXEC);
    if (fd < 0)
        return 0;
    r = gw_file_new(fd, of->ops->kind, GW_CHANNEL_SEEKABLE, of->name, ret_channel, err);
    if (r < 0)
        return r;
    file_of(*ret_channel)->direct = 1;
    return 1;
}

static int open_error(const char *doing, const char *name, struct gw_error *err)
{
    int code = errno;

    return gw_fail(err, -code, GW_BLAME_LOCAL, "%s %.200s: %s", doing, name,
                   code == ENXIO    ? "no process reads this FIFO"
                   : code == EEXIST ? "it is a symbolic link whose target does not exist"
                                    : strerror(code));
}

/* A new file is accessible only to its owner, and is created under the given name: a dangling symbolic link is not
 * followed. */
static int open_path(const char *path, bool write)
{
    /* O_NONBLOCK: opening a FIFO must not wait for its other end. For files it has no effect. */
    int flags = O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (write ? O_WRONLY : O_RDONLY), fd = open(path, flags);

    return fd >= 0 || !write || errno != ENOENT ? fd : open(path, flags | O_CREAT | O_EXCL, 0600);
}

int gw_file_open(const struct gw_uri *uri, bool write, struct gw_channel **ret_channel, struct gw_error *err)
{
    char name[GW_URI_TEXT];
    struct stat st;
    int fd;

    gw_uri_format(uri, name, sizeof name);
    if (uri->offset > INT64_MAX)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "opening %.200s: the offset is larger than any file", name);
    fd = open_path(uri->path, write);
    if (fd < 0)
        return open_error(write ? "creating" : "opening", name, err);
    if (fstat(fd, &st) < 0) {
        open_error("opening", name, err);
        goto fail;
    }
    if (write && S_ISREG(st.st_mode) && st.st_mode & 077 && fchmod(fd, st.st_mode & 0700) < 0) {
        open_error("keeping others from reading", name, err); /* it contains the guest's memory */
        goto fail;
    }
    if (write && S_ISREG(st.st_mode) && ftruncate(fd, (off_t)uri->offset) < 0) {
        open_error("cutting", name, err);
        goto fail;
    }
    if ((uri->offset || S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)) && lseek(fd, (off_t)uri->offset, SEEK_SET) < 0) {
        open_error("seeking in", name, err);
        goto fail;
    }
    return gw_fd_open(fd, "file", name, ret_channel, err);
fail : {
    int code = errno;

    close(fd);
    return -code;
}
}
