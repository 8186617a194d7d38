/* SPDX-License-Identifier: MIT
 *
 * Images by path, and the chain of backings below them. An image may name any file of the host and any NBD server:
 * backings are opened read-only, and only in the format that the image over them records.
 */
#include "disk/node/qcow2_inner.h"

#include <sys/stat.h>

#include "disk/node/backing_name.h"
#include "disk/node/nbd.h"
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

/* An export has no number that identifies it, so a loop through servers is only stopped by the maximum depth. */
static int open_export(struct chain *c, const char *uri, struct gw_node **ret, struct gw_error *err)
{
    const struct gw_node_options o = {.read_only = true, .inactive = c->options->inactive};

    if (c->depth == GW_QCOW2_CHAIN_MAX)
        return gw_fail(err, -ELOOP, GW_BLAME_LOCAL, "%.200s: more than %u images lie over each other", uri, GW_QCOW2_CHAIN_MAX);
    c->depth++;
    return gw_node_nbd_open(uri, &o, ret, err);
}

static int open_image(struct chain *c, const struct gw_backing_name *name, struct gw_node **ret, struct gw_error *err);

/* Opens a backing in the format that its name or else the image gives. */
static int open_format(struct chain *c, const struct gw_backing_name *name, const char *format, struct gw_node **ret, struct gw_error *err)
{
    if (!strcmp(format, "qcow2"))
        return open_image(c, name, ret, err);
    if (!strcmp(format, "raw"))
        return name->far ? open_export(c, name->where, ret, err) : open_file(c, name->where, ret, err);
    return gw_fail(err, -ENOTSUP, GW_BLAME_LOCAL, "%.200s: backings of format %.40s cannot be used here", name->where, format);
}

static int open_backing(struct chain *c, const struct gw_backing_name *over, const struct gw_qcow2_about *about, struct gw_node **ret,
                        struct gw_error *err)
{
    const char *image = over->where;
    struct gw_backing_name name = {0};
    int r = gw_backing_name_get(over->far ? NULL : image, about->backing, &name, err);

    if (r < 0) {
        gw_context(err, "%.200s: its backing, %.200s", image, about->backing);
        return r;
    }
    if (!name.format[0])
        gw_strcopy(name.format, sizeof name.format, about->backing_format);
    if (!name.format[0])
        r = gw_fail(
            err, -EINVAL, GW_BLAME_LOCAL,
            "%.200s: it does not record the format of its backing, %.200s, and to guess would let a guest choose "
            "files of the host. Record it: qemu-img rebase -u -F FORMAT",
            image, about->backing);
    else if ((r = open_format(c, &name, name.format, ret, err)) < 0)
        gw_context(err, "backing of %.200s", image);
    free(name.where);
    return r;
}

static int about_file(struct gw_node *file, struct gw_qcow2_about *ret, struct gw_error *err)
{
    bool inactive = file->inactive;
    int r;

    file->inactive = false; /* reading needs no lock, and no other code uses the node yet */
    r = gw_qcow2_about(file, ret, err);
    file->inactive = inactive;
    return r;
}

static int open_image(struct chain *c, const struct gw_backing_name *name, struct gw_node **ret, struct gw_error *err)
{
    bool read_only = c->options->read_only || c->depth;
    struct gw_node *file, *backing = NULL;
    struct gw_qcow2_about about;
    int r = name->far ? open_export(c, name->where, &file, err) : open_file(c, name->where, &file, err);

    if (r < 0)
        return r;
    r = about_file(file, &about, err);
    if (r >= 0 && about.backing[0] && !name->alone)
        r = open_backing(c, name, &about, &backing, err);
    if (r < 0) {
        gw_node_free(file, NULL);
        return r;
    }
    return gw_qcow2_open(file, backing,
                         (read_only ? GW_QCOW2_READ_ONLY : 0) | (c->options->inactive ? GW_QCOW2_INACTIVE : 0) |
                             (name->alone ? GW_QCOW2_ALONE : 0),
                         ret, err);
}

int gw_qcow2_open_path(const char *path, const struct gw_node_options *options, struct gw_node **ret,
                       struct gw_error *err)
{
    const struct gw_backing_name name = {.where = (char *)path};
    struct chain c = {.options = options};

    return open_image(&c, &name, ret, err);
}
