/* SPDX-License-Identifier: MIT */
#include "disk/node/open.h"

#include <fcntl.h>

#include "base/base.h"
#include "base/sized.h"
#include "disk/node/nbd.h"
#include "disk/node/probe.h"
#include "disk/node/qcow2.h"
#include "disk/node/raw.h"

static int open_raw(const char *what, const struct gw_node_options *options, struct gw_node **ret, struct gw_error *err)
{
    return gw_raw_open(what, options, options->format == NULL, ret, err);
}

static const struct gw_node_format formats[] = {
    {"raw", open_raw},
    {"nbd", gw_node_nbd_open},
    {"qcow2", gw_qcow2_open_path},
};

/* Reads the first bytes before anything is locked or changed: a file that another program writes to is refused
 * later. */
static int probe(const char *path, const char **ret, struct gw_error *err)
{
    GW_AUTOFD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    uint8_t head[GW_PROBE_BYTES];
    ssize_t n;

    do
        n = fd < 0 ? -1 : pread(fd, head, sizeof head, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "%.200s: %s", path, strerror(errno));
    *ret = gw_probe(head, (size_t)n);
    return 0;
}

static int choose(const char *what, const struct gw_node_options *options, const char **ret, struct gw_error *err)
{
    int r = 0;

    *ret = options->format;
    if (!*ret && gw_nbd_meant(what))
        *ret = "nbd";
    if (!*ret)
        r = probe(what, ret, err);
    if (r >= 0 && !*ret)
        *ret = "raw";
    return r;
}

int gw_node_open_sized(const char *what, const struct gw_node_options *options, size_t options_bytes,
                       struct gw_node **ret, struct gw_error *err)
{
    struct gw_node_options own;
    const char *format;
    int r = gw_sized_in(&own, sizeof own, options, options_bytes, 0, "struct gw_node_options", err);

    if (r < 0)
        return r;
    if ((unsigned)own.cache > GW_NODE_CACHE_UNSAFE)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%.200s: there is no cache mode %d", what, (int)own.cache);
    r = choose(what, &own, &format, err);
    for (size_t i = 0; i < GW_ARRAY_LEN(formats) && r >= 0; i++)
        if (!strcmp(format, formats[i].name))
            return formats[i].open(what, &own, ret, err);
    if (r < 0)
        return r;
    return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER, "%.200s: disk images of format %.40s cannot be used here%s", what,
                   format,
                   own.format ? "" : ". If it is not one but a raw disk that begins like one, open it with format raw");
}
