/* SPDX-License-Identifier: MIT
 *
 * backing_name: what the name of a backing in a qcow2 image means: a file, an export of an NBD server, or a "json:" description
 * of nodes as QEMU writes it.
 *
 * Hostile: the author of the image chooses the name. Unknown drivers and options are refused by name, so that no option
 * that changes what is read is ignored.
 */
#ifndef GW_DISK_NODE_BACKING_NAME_H
#define GW_DISK_NODE_BACKING_NAME_H

#include "base/base.h"

struct gw_backing_name {
    bool far;      /* `where` is the URI of an export; else the path of a file */
    bool alone;    /* "backing": null was given: the node's own backing is not opened */
    char *where;   /* free() it; NULL after an error */
    char format[64]; /* "raw", "qcow2" if the name gives it; "": it does not */
};

/* File names are relative to the folder of `image` (NULL: it is an export, and they must be absolute), except inside
 * "json:", where they are relative to the working folder. -ENOTSUP: an unknown driver or option, which the error names.
 * -EPROTO: the name is broken. */
int gw_backing_name_get(const char *image, const char *name, struct gw_backing_name *ret, struct gw_error *err);

#endif
