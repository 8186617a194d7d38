/* SPDX-License-Identifier: MIT
 *
 * nbd: an export of an NBD server as a node.
 *
 * There is one connection. When it is lost, it stays lost: each call fails with -ENOTCONN. Large requests are made in
 * pieces, several under way at once. What the server cannot do is done otherwise (zeros are written, a durable write
 * is flushed) or left out (trim). Servers have no image locks: who else may connect is the server's to decide.
 */
#ifndef GW_DISK_NODE_NBD_H
#define GW_DISK_NODE_NBD_H

#include "channel/nbd.h"
#include "disk/node/node.h"

/* -EROFS: the export is read-only and the options do not say so. -ENOTSUP: this build has no libnbd. */
int gw_node_nbd_open(const char *uri, const struct gw_node_options *options, struct gw_node **ret,
                     struct gw_error *err);

#endif
