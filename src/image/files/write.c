/* SPDX-License-Identifier: MIT
 *
 * Writes images to files: the public side of stage.h and of gw_image_out.
 */
#include <fcntl.h>

#include "base/sized.h"
#include "image/files/far_out.h"
#include "image/files/ready.h"
#include "image/held.h"
#include "image/parked/stage.h"

int gw_image_keep(struct gw_image *image, struct gw_error *err)
{
    gw_image_let_go(image);
    image->kept = calloc(1, sizeof *image->kept);
    if (!image->kept)
        return gw_nomem(err, "file");
    image->kept->fd = -1;
    return 0;
}

void gw_image_let_go(struct gw_image *image)
{
    if (image->kept)
        gw_image_out_close(image->kept);
    free(image->kept);
    image->kept = NULL;
}

int gw_image_revert(struct gw_image *image, const char *aside, struct gw_error *err)
{
    return image->kept ? gw_image_out_revert(image->kept, aside, err)
                       : gw_fail(err, -EINVAL, GW_BLAME_CALLER, "no file was written that could be taken back");
}

/* compress, level, threads and the following members are optional. */
static int take_options(struct gw_image_write_options *own, const struct gw_image_write_options *options,
                        size_t options_bytes, struct gw_error *err)
{
    return gw_sized_in(own, sizeof *own, options, options_bytes, GW_SIZED_UNTIL(struct gw_image_write_options, format),
                       "struct gw_image_write_options", err);
}

int gw_image_stage_sized(struct gw_image *image, const char *path, const struct gw_image_write_options *options,
                         size_t options_bytes, struct gw_error *err)
{
    struct gw_image_write_options own;
    int r = take_options(&own, options, options_bytes, err);

    if (r < 0)
        return r;
    if (image->stage || image->block_count || image->format != GW_IMAGE_MEMORY)
        return gw_fail(err, -EBUSY, GW_BLAME_CALLER, "the image has a machine or a file already");
    image->stage_free = gw_stage_free;
    return gw_stage_new(image, path, &own, &image->stage, err);
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

static const struct gw_image_format_ops *find(enum gw_image_format format)
{
    for (unsigned i = 0; i < gw_image_format_count; i++)
        if (gw_image_formats[i].format == format)
            return &gw_image_formats[i];
    return NULL;
}

int gw_image_check_options_sized(const struct gw_image_write_options *options, size_t options_bytes,
                                 struct gw_error *err)
{
    const struct gw_image_format_ops *format;
    struct gw_image_write_options own;
    int r = take_options(&own, options, options_bytes, err);

    if (r < 0)
        return r;
    format = find(own.format);
    if (!format || !format->write)
        return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER, "files of the format %s cannot be written",
                       format ? format->name : "?");
    return format->check ? format->check(&own, err) : 0;
}

/* Errors of servers name the server already. */
static void name_it(struct gw_error *err, const char *path)
{
    if (err && strncmp(err->text, path, strlen(path)))
        gw_context(err, "%s", path);
}

int gw_image_ready(struct gw_image *image, const char *path, enum gw_image_format format, struct gw_error *err)
{
    int r;

    /* These formats can record it only in the stream. */
    if (image->libvirt_saved && (format == GW_IMAGE_STREAM || format == GW_IMAGE_MAPPED_RAM) &&
        (r = gw_image_set_runs(image, gw_image_runs(image), err)) < 0)
        return r;
    if (gw_image_lacking(image) && format != GW_IMAGE_PARKED)
        return gw_fail(err, -EBADMSG, GW_BLAME_CALLER, "%s: the machine is incomplete, and only a parked file can "
                                                       "record that", path);
    return 0;
}

static int write_file(struct gw_image *image, const char *path, const struct gw_image_write_options *options,
                      struct gw_error *err)
{
    const struct gw_image_format_ops *format = find(options->format);
    struct gw_image_out own, *out = &own;
    int r = gw_image_ready(image, path, options->format, err);

    if (r < 0)
        return r;
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
    if (image->far_uri && !strcmp(image->far_uri, path))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%s: this is the file that the machine is read from: it would "
                                                      "be lost", path);
    r = options->revertible ? gw_image_keep(image, err) : 0;
    if (r < 0)
        return r;
    if (options->revertible)
        out = image->kept;
    r = gw_image_out_open_anywhere(out, path, options->replace, err);
    out->keep = options->revertible;
    if (r >= 0) {
        r = out->far ? gw_far_write(image, format, options, gw_held_bytes(out->far), err) : format->write(image, options, out->fd, err);
        if (r < 0)
            name_it(err, path);
        else
            r = gw_image_out_commit(out, err);
        image->far_bytes = r >= 0 && out->far ? gw_held_end(out->far) : 0;
    }
    if (r >= 0 && out->keep)
        gw_close_fd(&out->fd);
    else
        gw_image_out_close(out);
    return r;
}

int gw_image_write_sized(struct gw_image *image, const char *path, const struct gw_image_write_options *options,
                         size_t options_bytes, struct gw_error *err)
{
    struct gw_image_write_options own;
    int r = take_options(&own, options, options_bytes, err);

    return r < 0 ? r : write_file(image, path, &own, err);
}
