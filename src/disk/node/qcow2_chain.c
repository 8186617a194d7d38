/* SPDX-License-Identifier: MIT
 *
 * Images by path, and the chain of backings below them. An image may name any file of the host: what is below is opened
 * read-only, only as the format that the image over it records, and only if it is a file.
 */
#include "disk/node/qcow2_inner.h"

#include <stdio.h>
#include <sys/stat.h>

#include "disk/node/raw.h"

struct chain {
    const struct gw_node_options *options;
    struct {
        dev_t device;
        ino_t inode;
    } seen[GW_QCOW2_CHAIN_MAX];
    unsigned depth;
};

static int note_file(struct chain *c, const char *path, struct gw_error *err)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "%.200s: %s", path, strerror(errno));
    for (unsigned i = 0; i < c->depth; i++)
        if (c->seen[i].device == st.st_dev && c->seen[i].inode == st.st_ino)
            return gw_fail(err, -ELOOP, GW_BLAME_LOCAL, "%.200s: the image is its own backing", path);
    if (c->depth == GW_QCOW2_CHAIN_MAX)
        return gw_fail(err, -ELOOP, GW_BLAME_LOCAL, "%.200s: more than %u images lie over each other", path,
                       GW_QCOW2_CHAIN_MAX);
    c->seen[c->depth].device = st.st_dev;
    c->seen[c->depth++].inode = st.st_ino;
    return 0;
}

static int open_file(struct chain *c, const char *path, struct gw_node **ret, struct gw_error *err)
{
    struct gw_node_options o = *c->options;
    int r = note_file(c, path, err);

    if (r < 0)
        return r;
    o.read_only |= c->depth > 1;
    return gw_raw_open(path, &o, false, ret, err);
}

/* Relative names are relative to the image. */
static int backing_path(const char *image, const char *name, char **ret, struct gw_error *err)
{
    const char *slash = strrchr(image, '/'), *colon;
    int n;

    if (!strncmp(name, "file:", 5))
        name += 5;
    colon = strchr(name, ':');
    if (colon && (!strchr(name, '/') || strchr(name, '/') > colon))
        return gw_fail(err, -ENOTSUP, GW_BLAME_LOCAL, "%.200s: its backing, %.200s, is no file", image, name);
    if (name[0] == '/' || !slash)
        *ret = strdup(name);
    else if (n = asprintf(ret, "%.*s/%s", (int)(slash - image), image, name), n < 0)
        *ret = NULL;
    return *ret ? 0 : gw_nomem(err, "name of a backing");
}

static int open_image(struct chain *c, const char *path, struct gw_node **ret, struct gw_error *err);

static int open_backing(struct chain *c, const char *image, const struct gw_qcow2_about *about, struct gw_node **ret,
                        struct gw_error *err)
{
    GW_AUTOFREE char *path = NULL;
    int r;

    if (!about->backing_format[0])
        return gw_fail(
            err, -EINVAL, GW_BLAME_LOCAL,
            "%.200s: it does not record the format of its backing, %.200s, and to guess would let a guest choose "
            "files of the host. Record it: qemu-img rebase -u -F FORMAT",
            image, about->backing);
    r = backing_path(image, about->backing, &path, err);
    if (r < 0)
        return r;
    if (!strcmp(about->backing_format, "qcow2"))
        r = open_image(c, path, ret, err);
    else if (!strcmp(about->backing_format, "raw"))
        r = open_file(c, path, ret, err);
    else
        r = gw_fail(err, -ENOTSUP, GW_BLAME_LOCAL, "%.200s: backings of format %.40s cannot be used here", path,
                    about->backing_format);
    if (r < 0)
        gw_context(err, "backing of %.200s", image);
    return r;
}

static int about_file(struct gw_node *file, struct gw_qcow2_about *ret, struct gw_error *err)
{
    bool inactive = file->inactive;
    int r;

    file->inactive = false; /* to look needs no lock, and nobody else uses the node yet */
    r = gw_qcow2_about(file, ret, err);
    file->inactive = inactive;
    return r;
}

static int open_image(struct chain *c, const char *path, struct gw_node **ret, struct gw_error *err)
{
    bool read_only = c->options->read_only || c->depth;
    struct gw_node *file, *backing = NULL;
    struct gw_qcow2_about about;
    int r = open_file(c, path, &file, err);

    if (r < 0)
        return r;
    r = about_file(file, &about, err);
    if (r >= 0 && about.backing[0])
        r = open_backing(c, path, &about, &backing, err);
    if (r < 0) {
        gw_node_free(file, NULL);
        return r;
    }
    return gw_qcow2_open(
        file, backing, (read_only ? GW_QCOW2_READ_ONLY : 0) | (c->options->inactive ? GW_QCOW2_INACTIVE : 0), ret, err);
}

int gw_qcow2_open_path(const char *path, const struct gw_node_options *options, struct gw_node **ret,
                       struct gw_error *err)
{
    struct chain c = {.options = options};

    return open_image(&c, path, ret, err);
}
