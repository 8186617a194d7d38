/* SPDX-License-Identifier: MIT
 *
 * open: the formats by name. Each format that is stored in a file is one row of the table in open.c.
 */
#ifndef GW_DISK_NODE_OPEN_H
#define GW_DISK_NODE_OPEN_H

#include "disk/node/node.h"

struct gw_node_format {
    const char *name; /* the name that gw_probe returns */
    /* what: a path. Either the probe or the user says that the file has this format. */
    int (*open)(const char *what, const struct gw_node_options *options, struct gw_node **ret, struct gw_error *err);
};

#endif
