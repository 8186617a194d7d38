/* SPDX-License-Identifier: MIT
 *
 * Writing an image so that nothing half is ever seen under its name.
 */
#include "image/stage.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

static int open_folder(const char *path)
{
    char folder[4096];
    char *slash;

    gw_strcopy(folder, sizeof folder, path);
    slash = strrchr(folder, '/');
    if (!slash)
        return open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    slash[slash == folder] = 0;
    return open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int gw_image_out_open(struct gw_image_out *out, const char *path, bool replace, struct gw_error *err)
{
    const char *slash = strrchr(path, '/');
    int folder = slash ? (int)(slash - path) + 1 : 0, n;
    struct stat st;

    *out = (struct gw_image_out){.fd = -1, .replace = replace};
    if (!path[folder])
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "'%s' is not the name of a file", path);
    if (!gw_strcopy(out->path, sizeof out->path, path))
        return gw_fail(err, -ENAMETOOLONG, GW_BLAME_CALLER, "%.64s...: %s", path, strerror(ENAMETOOLONG));
    if (!stat(path, &st) && !S_ISREG(st.st_mode))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%s: there is something that is not a file", path);
    if (!replace && !lstat(path, &st))
        return gw_fail(err, -EEXIST, GW_BLAME_CALLER, "%s: %s", path, strerror(EEXIST));
    /* Hidden, and in the same folder, so that the rename is one step. */
    n = snprintf(out->temporary, sizeof out->temporary, "%.*s.%s.partial.XXXXXX", folder, path, path + folder);
    if (n < 0 || (size_t)n >= sizeof out->temporary)
        return gw_fail(err, -ENAMETOOLONG, GW_BLAME_CALLER, "%.64s...: %s", path, strerror(ENAMETOOLONG));
    out->fd = mkostemp(out->temporary, O_CLOEXEC);
    if (out->fd < 0) {
        out->temporary[0] = 0;
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "%s: a file in its folder cannot be made: %s", path,
                       strerror(errno));
    }
    return 0;
}

static bool is_only(const struct gw_image_out *out, const char *path)
{
    struct stat st;

    return !lstat(path, &st) && st.st_dev == out->device && st.st_ino == out->inode;
}

/* A file that somebody moved away, removed (its guest may run elsewhere now) or replaced stays so: names change places
 * in one step, and change back if it was the wrong one. */
static int replace_only(struct gw_image_out *out)
{
    struct stat st;

    if (!renameat2(AT_FDCWD, out->temporary, AT_FDCWD, out->path, RENAME_EXCHANGE)) {
        if (is_only(out, out->temporary))
            return 0;
        if (!renameat2(AT_FDCWD, out->temporary, AT_FDCWD, out->path, RENAME_EXCHANGE))
            return -EEXIST;
        out->temporary[0] = 0; /* it is somebody's: better two files than none */
        return -errno;
    }
    if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
        return -errno;
    if (!is_only(out, out->path)) /* a file system without exchange */
        return lstat(out->path, &st) ? -errno : -EEXIST;
    return rename(out->temporary, out->path) ? -errno : 0;
}

int gw_image_out_commit(struct gw_image_out *out, struct gw_error *err)
{
    int folder = -1, r = 0;

    if (fsync(out->fd) < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "%s: syncing: %s", out->path, strerror(errno));
    /* A link is refused where there is a file; a rename is not. */
    if (out->only)
        r = replace_only(out);
    else if (out->replace ? rename(out->temporary, out->path) : link(out->temporary, out->path))
        r = -errno;
    if (!out->only && !out->replace &&
        (r == -EPERM || r == -EOPNOTSUPP || r == -ENOSYS)) /* a file system without links */
        r = access(out->path, F_OK) == 0 ? -EEXIST : rename(out->temporary, out->path) ? -errno : 0;
    if (r < 0)
        return gw_fail(err, r, GW_BLAME_LOCAL, "%s: giving the file its name: %s", out->path, strerror(-r));
    unlink(out->temporary);
    out->temporary[0] = 0;
    folder = open_folder(out->path);
    if (folder >= 0)
        fsync(folder); /* where folders cannot be synced there is nothing more to do */
    gw_close_fd(&folder);
    return 0;
}

void gw_image_out_close(struct gw_image_out *out)
{
    gw_close_fd(&out->fd);
    if (out->temporary[0])
        unlink(out->temporary);
    out->temporary[0] = 0;
}

/* ---- public -------------------------------------------------------------------------------------------------------
 */

int gw_image_stage(struct gw_image *image, const char *path, const struct gw_image_write_options *options,
                   struct gw_error *err)
{
    if (image->stage || image->block_count || image->format != GW_IMAGE_MEMORY)
        return gw_fail(err, -EBUSY, GW_BLAME_CALLER, "the image has a machine or a file already");
    return gw_stage_new(image, path, options, &image->stage, err);
}

int gw_image_stage_commit(struct gw_image *image, struct gw_error *err)
{
    return image->stage ? gw_stage_commit(image->stage, err)
                        : gw_fail(err, -EINVAL, GW_BLAME_CALLER, "the image has no file");
}

int gw_image_stage_pack(struct gw_image *image,
                        bool (*progress)(void *opaque, uint64_t done_bytes, uint64_t total_bytes), void *opaque,
                        struct gw_error *err)
{
    return image->stage ? gw_stage_pack(image->stage, progress, opaque, err)
                        : gw_fail(err, -EINVAL, GW_BLAME_CALLER, "the image has no file");
}

int gw_image_write(struct gw_image *image, const char *path, const struct gw_image_write_options *options,
                   struct gw_error *err)
{
    const struct gw_image_format_ops *format = NULL;
    struct gw_image_out out;
    int r;

    for (unsigned i = 0; i < gw_image_format_count; i++)
        if (gw_image_formats[i].format == options->format)
            format = &gw_image_formats[i];
    if (!format || !format->write)
        return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER, "%s: files of the format %s cannot be written", path,
                       format ? format->name : "?");
    if (!strcmp(path, "-")) {
        GW_AUTOFD int fd = fcntl(1, F_DUPFD_CLOEXEC, 3);

        if (!format->pipe)
            return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "a file of the format %s cannot go to standard output",
                           format->name);
        if (fd < 0)
            return gw_fail(err, -errno, GW_BLAME_LOCAL, "standard output: %s", strerror(errno));
        return format->write(image, options, fd, err);
    }
    r = gw_image_out_open(&out, path, options->replace, err);
    if (r >= 0) {
        r = format->write(image, options, out.fd, err);
        if (r < 0)
            gw_context(err, "%s", path);
        else
            r = gw_image_out_commit(&out, err);
    }
    gw_image_out_close(&out);
    return r;
}
