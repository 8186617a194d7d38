/* SPDX-License-Identifier: MIT
 *
 * Opens a file, with its container and compression, up to the stream inside it.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "image/far.h"
#include "image/image.h"
#include "examine/inspect_parked.h"
#include "image/libvirt/libvirt.h"
#include "image/snapshots.h"
#include "image/unpack.h"

struct source {
    const char *name;
    int fd;
    bool pipe;
    uint64_t offset;   /* offset of the machine in the file, as given by the caller */
    uint8_t head[GW_LIBVIRT_HEAD_BYTES];
    size_t head_bytes; /* bytes of the head that were read; a pipe does not have them any more */
    uint64_t bytes;    /* size of the file; a pipe has one once it was copied to a file */
    struct gw_bytes *far; /* bytes on a server, in far_format; NULL: fd is the file */
    const struct gw_image_format_ops *far_format;
};

static int open_source(struct source *s, const char *text, const char *folder, struct gw_error *err)
{
    char path[GW_PATH_TEXT];
    bool input = !strcmp(text, "-");
    struct stat st;
    ssize_t n;
    int r = gw_path_split(text, path, &s->offset, err);

    if (r < 0)
        return r;
    s->name = input ? "standard input" : text;
    if (gw_path_is_far(path)) {
        r = gw_far_open(path, folder, &s->far_format, &s->far, &s->fd, err);
        if (r < 0 || s->far)
            return r;
    } else {
        s->fd = input ? fcntl(0, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC);
    }
    if (s->fd < 0 || fstat(s->fd, &st) < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "%s", strerror(errno));
    if (S_ISDIR(st.st_mode))
        return gw_fail(err, -EISDIR, GW_BLAME_CALLER, "%s", strerror(EISDIR));
    s->pipe = lseek(s->fd, (off_t)s->offset, SEEK_SET) < 0;
    if (s->pipe && s->offset)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "cannot seek to byte %" PRIu64, s->offset);
    n = gw_read_full(s->fd, s->head, sizeof s->head, err);
    if (n < 0)
        return (int)n;
    s->head_bytes = (size_t)n;
    s->bytes = gw_file_bytes(s->fd);
    return 0;
}

/* Copies a pipe into a file, so that it can be read at any offset. */
static int put_into_file(struct source *s, const char *folder, struct gw_error *err)
{
    int fd = -1, r = gw_temporary(folder, &fd, err);

    if (r >= 0)
        r = gw_pwrite_all(fd, s->head, s->head_bytes, 0, err);
    if (r >= 0)
        r = gw_copy_sparse(s->fd, fd, s->head_bytes, err);
    if (r < 0) {
        gw_close_fd(&fd);
        return r;
    }
    gw_close_fd(&s->fd);
    s->fd = fd;
    s->pipe = false;
    s->bytes = (uint64_t)lseek(fd, 0, SEEK_END);
    return 0;
}

/* Takes fd. */
static int walk(struct gw_inspect *in, const struct source *s, int fd, bool ahead, uint64_t base, struct gw_error *err)
{
    struct gw_channel *channel = NULL;
    int r = gw_channel_from_fd(fd, s->name, &channel, err);

    if (r >= 0)
        r = gw_inspect_walk(in, channel, s->head, ahead ? s->head_bytes : 0, base, err);
    gw_channel_free(channel);
    return r;
}

/* Data after the stream is examined only in a regular file, where it is an error. A volume may be large. */
static int look_behind(struct gw_inspect *in, int fd, struct gw_error *err)
{
    struct gw_behind *behind = &in->container.behind;
    struct stat st;

    if (!in->trailing_at || fstat(fd, &st) < 0)
        return 0;
    if (!S_ISBLK(st.st_mode))
        return gw_behind_look(fd, in->trailing_at, behind, err);
    *behind = (struct gw_behind){.at = in->trailing_at, .bytes = in->cause[GW_SPENT_TRAILING], .roomy = true};
    return 0;
}

static int walk_plain(struct gw_inspect *in, struct source *s, uint64_t from, struct gw_error *err)
{
    GW_AUTOFD int again = fcntl(s->fd, F_DUPFD_CLOEXEC, 3);
    int fd = s->fd, r;

    s->fd = -1;
    in->total_bytes = s->bytes;
    in->end_bytes = s->bytes == UINT64_MAX ? 0 : s->bytes;
    r = walk(in, s, fd, false, from, err);
    return r < 0 || again < 0 ? r : look_behind(in, again, err);
}

/* The stream begins at `from`; program: NULL: it is plain. */
static int walk_file(struct gw_inspect *in, struct source *s, uint64_t from, const char *program, struct gw_error *err)
{
    struct gw_filter f;
    int fd, r;

    if (lseek(s->fd, (off_t)from, SEEK_SET) < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "seeking: %s", strerror(errno));
    if (!program)
        return walk_plain(in, s, from, err);
    r = gw_filter_decompress(&f, program, s->fd, err);
    if (r < 0)
        return r;
    fd = f.pipe;
    f.pipe = -1;
    return gw_filter_end(&f, walk(in, s, fd, false, 0, err), err);
}

/* ---- parked machines --------------------------------------------------------------------------------------------- */

/* The format of a machine at rest that does not contain a stream. */
static const struct gw_image_format_ops *other_format(const struct source *s)
{
    for (unsigned i = 0; i < gw_image_format_count; i++) {
        const struct gw_image_format_ops *f = &gw_image_formats[i];

        if (f->format == GW_IMAGE_PARKED && f->recognise && f->open && f->recognise(s->head, s->head_bytes))
            return f;
    }
    return NULL;
}

static int walk_other(struct gw_inspect *in, const struct gw_image_format_ops *format, struct source *s,
                      struct gw_error *err)
{
    struct gw_image *image = calloc(1, sizeof *image);
    struct gw_bytes *far = s->far;
    int fd = s->fd, r;

    s->fd = -1;
    s->far = NULL;
    if (!image) {
        gw_close_fd(&fd);
        gw_bytes_free(far);
        return gw_nomem(err, "image");
    }
    image->format = format->format;
    r = far ? format->open_bytes(far, s->name, image, err) : format->open(fd, s->name, image, err);
    in->container.lacking_bytes = r >= 0 ? gw_image_lacking(image) : 0;
    if (r >= 0)
        r = gw_inspect_parked(in, s->name, image, err);
    gw_image_free(image);
    return r;
}

static int walk_far(struct gw_inspect *in, struct source *s, struct gw_error *err)
{
    if (s->offset)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "no migration stream begins at byte %" PRIu64, s->offset);
    in->container.kind = s->far_format->name;
    return walk_other(in, s->far_format, s, err);
}

/* ------------------------------------------------------------------------------------------------------------------ */

static int look(struct gw_inspect *in, struct source *s, const char *folder, struct gw_error *err);

/* Contents of a compressed file are recognised by their first bytes; a format other than a stream is unpacked. */
static int look_inside(struct gw_inspect *in, struct source *s, const char *folder, struct gw_error *err)
{
    const char *program = gw_compression(s->head, s->head_bytes);
    struct source inside = {.name = s->name, .fd = -1, .bytes = UINT64_MAX};
    struct gw_filter f;
    ssize_t n;
    int fd, r;

    in->container.program = program;
    if (lseek(s->fd, 0, SEEK_SET) < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "seeking: %s", strerror(errno));
    r = gw_filter_decompress(&f, program, s->fd, err);
    if (r < 0)
        return r;
    n = gw_read_full(f.pipe, inside.head, sizeof inside.head, err);
    inside.head_bytes = (size_t)GW_MAX(n, (ssize_t)0);
    if (n < 0)
        return gw_filter_end(&f, (int)n, err);
    if (!gw_libvirt_recognise(inside.head, inside.head_bytes) && !other_format(&inside)) {
        fd = f.pipe;
        f.pipe = -1;
        return gw_filter_end(&f, walk(in, &inside, fd, true, 0, err), err);
    }
    r = gw_temporary(folder, &inside.fd, err);
    if (r >= 0)
        r = gw_pwrite_all(inside.fd, inside.head, inside.head_bytes, 0, err);
    if (r >= 0)
        r = gw_copy_sparse(f.pipe, inside.fd, inside.head_bytes, err);
    r = gw_filter_end(&f, r, err);
    if (r >= 0) {
        inside.bytes = (uint64_t)lseek(inside.fd, 0, SEEK_END);
        r = look(in, &inside, folder, err);
    }
    gw_close_fd(&inside.fd);
    return r;
}

static int look(struct gw_inspect *in, struct source *s, const char *folder, struct gw_error *err)
{
    struct gw_inspect_container *c = &in->container;
    const struct gw_image_format_ops *other = other_format(s);
    bool libvirt = gw_libvirt_recognise(s->head, s->head_bytes);
    struct gw_libvirt_head h = {0};
    const char *program = NULL;
    int fd, r = 0;

    if (s->offset) {
        c->head_bytes = s->offset;
        return walk_file(in, s, s->offset, NULL, err);
    }
    if (s->pipe && !gw_compression(s->head, s->head_bytes) && !libvirt && !other) {
        fd = s->fd;
        s->fd = -1;
        return walk(in, s, fd, true, 0, err);
    }
    if (s->pipe)
        r = put_into_file(s, folder, err);
    if (r >= 0 && gw_compression(s->head, s->head_bytes))
        return look_inside(in, s, folder, err);
    if (r >= 0 && other) {
        c->kind = other->name;
        return walk_other(in, other, s, err);
    }
    if (r >= 0 && libvirt) {
        r = gw_libvirt_head_get(s->head, s->head_bytes, &h, err);
        if (r >= 0 && s->bytes < h.stream_at)
            r = gw_fail(err, -EPROTO, GW_BLAME_PEER, "the file ends at byte %" PRIu64 ", inside the XML", s->bytes);
        c->kind = "libvirt";
        program = r < 0 ? NULL : gw_libvirt_program(h.format);
        c->program = program ? program : c->program;
        c->was_running = h.was_running;
        c->head_bytes = program ? 0 : h.stream_at;
    }
    return r < 0 ? r : walk_file(in, s, h.stream_at, program, err);
}

static int end(struct gw_inspect *in, struct source *s, int r, const struct gw_error *why, struct gw_error *err)
{
    gw_close_fd(&s->fd);
    gw_bytes_free(s->far);
    if (r < 0) {
        in->error = *why;
        if (err)
            *err = *why;
    }
    return r;
}

static int check_new(const struct gw_inspect *in, struct gw_error *err)
{
    return in->open ? gw_fail(err, -EINVAL, GW_BLAME_CALLER, "a stream was inspected with this object already") : 0;
}

int gw_inspect_file(struct gw_inspect *in, const char *path, const char *temporary_folder, struct gw_error *err)
{
    struct gw_error why = GW_ERROR_INIT;
    struct source s = {.fd = -1};
    int r = check_new(in, err);

    if (r < 0)
        return r;
    r = open_source(&s, path, temporary_folder, &why);
    if (r >= 0 && s.far)
        r = walk_far(in, &s, &why);
    else if (r >= 0)
        r = look(in, &s, temporary_folder, &why);
    return end(in, &s, r, &why, err);
}

int gw_inspect_snapshot(struct gw_inspect *in, const char *disk, const char *what, const char *temporary_folder,
                        struct gw_error *err)
{
    struct gw_error why = GW_ERROR_INIT;
    struct source s = {.name = disk, .fd = -1};
    int r = check_new(in, err);

    if (r < 0)
        return r;
    r = gw_snapshot_unpack(disk, what, temporary_folder, &s.fd, &why);
    if (r >= 0) {
        s.bytes = (uint64_t)lseek(s.fd, 0, SEEK_END);
        r = walk_file(in, &s, 0, NULL, &why);
    }
    return end(in, &s, r, &why, err);
}
