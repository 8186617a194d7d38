/* SPDX-License-Identifier: MIT
 *
 * backing_name: what the name of a backing in a qcow2 image means: a file, an export of an NBD server, or a "json:" description
 * of nodes as QEMU writes it.
 *
 * Hostile: who writes the image writes the name. What is not known is refused by name, so that no option which changes what is
 * read is passed over.
 */
#ifndef GW_DISK_NODE_BACKING_NAME_H
#define GW_DISK_NODE_BACKING_NAME_H

#include "base/base.h"

struct gw_backing_name {
    bool far;      /* where is the URI of an export; else the path of a file */
    bool alone;    /* "backing": null: what it names itself is not opened */
    char *where;   /* free() it; NULL after an error */
    char format[64]; /* "raw", "qcow2" where the name says it; "": it does not */
};

/* Names of files are relative to the folder of `image` (NULL: it is an export, where they must not be), but for those inside "json:", which are relative to the working folder.
 * -ENOTSUP: a driver or an option that is not known, told by name. -EPROTO: the name is broken. */
int gw_backing_name_get(const char *image, const char *name, struct gw_backing_name *ret, struct gw_error *err);

#endif
