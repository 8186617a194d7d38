/* SPDX-License-Identifier: MIT */
#include "disk/node/backing_name.h"

#include <stdio.h>

#include "channel/nbd.h"
#include "disk/node/backing_json.h"

/* "nbd:HOST:PORT" or "nbd:unix:PATH", then ":exportname=NAME": the syntax before there were URIs. */
static int get_old_nbd(const char *name, struct gw_backing_name *ret, struct gw_error *err)
{
    GW_AUTOFREE char *copy = strdup(name + 4);
    char *export_name = copy ? strstr(copy, ":exportname=") : NULL, *port;

    if (!copy)
        return gw_nomem(err, "name of a backing");
    if (export_name) {
        *export_name = 0;
        export_name += strlen(":exportname=");
    }
    ret->far = true;
    if (!strncmp(copy, "unix:", 5)) {
        ret->where = gw_backing_nbd_uri(copy + 5, NULL, NULL, export_name);
    } else {
        port = strrchr(copy, ':');
        if (!port || port == copy || !port[1] || strspn(port + 1, "0123456789") != strlen(port + 1))
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "the address of an NBD server is HOST:PORT");
        *port++ = 0;
        ret->where = gw_backing_nbd_uri(NULL, copy, port, export_name);
    }
    return ret->where ? 0 : gw_nomem(err, "name of a backing");
}

/* A protocol prefix has no slash before its colon. */
static bool has_protocol(const char *name)
{
    const char *colon = strchr(name, ':'), *slash = strchr(name, '/');

    return colon && (!slash || slash > colon);
}

static int get_file(const char *image, const char *name, struct gw_backing_name *ret, struct gw_error *err)
{
    const char *slash = image ? strrchr(image, '/') : NULL;
    int n = 0;

    if (!strncmp(name, "file:", 5))
        name += 5;
    else if (has_protocol(name))
        return gw_fail(err, -ENOTSUP, GW_BLAME_PEER, "the protocol %.*s is not supported (files and nbd are)", (int)GW_MIN(strcspn(name, ":"), 40u),
                       name);
    if (name[0] != '/' && !image)
        return gw_fail(err, -ENOTSUP, GW_BLAME_PEER, "a relative file name: the image that names it is an NBD export, which is in "
                       "no folder");
    if (name[0] == '/' || !slash)
        ret->where = strdup(name);
    else if (n = asprintf(&ret->where, "%.*s/%s", (int)(slash - image), image, name), n < 0)
        ret->where = NULL;
    return ret->where ? 0 : gw_nomem(err, "name of a backing");
}

static int get(const char *image, const char *name, struct gw_backing_name *ret, struct gw_error *err)
{
    if (!strncmp(name, "json:", 5))
        return gw_backing_json_get(name + 5, ret, err);
    if (gw_nbd_meant(name)) {
        ret->far = true;
        ret->where = strdup(name);
        return ret->where ? 0 : gw_nomem(err, "name of a backing");
    }
    return strncmp(name, "nbd:", 4) ? get_file(image, name, ret, err) : get_old_nbd(name, ret, err);
}

int gw_backing_name_get(const char *image, const char *name, struct gw_backing_name *ret, struct gw_error *err)
{
    int r = get(image, name, ret, err);

    if (r < 0) {
        free(ret->where);
        ret->where = NULL;
    }
    return r;
}
