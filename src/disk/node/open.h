/* SPDX-License-Identifier: MIT
 *
 * open: the formats by name. A format that is over a file is one row of the table in open.c.
 */
#ifndef GW_DISK_NODE_OPEN_H
#define GW_DISK_NODE_OPEN_H

#include "disk/node/node.h"

struct gw_node_format {
    const char *name; /* as gw_probe says it */
    /* what: a path, whose first bytes said this format, or which the user says is of it. */
    int (*open)(const char *what, const struct gw_node_options *options, struct gw_node **ret, struct gw_error *err);
};

#endif
