/* SPDX-License-Identifier: MIT
 *
 * nbd: an export of an NBD server as a node.
 *
 * There is one connection. When it is lost, it stays lost: each call fails with -ENOTCONN. Large requests are made in
 * pieces, several in progress at once. What the server does not support is emulated (zeros are written, a durable write
 * is followed by a flush) or left out (trim). There are no image locks: the server decides which other clients may
 * connect.
 */
#ifndef GW_DISK_NODE_NBD_H
#define GW_DISK_NODE_NBD_H

#include "channel/nbd.h"
#include "disk/node/node.h"

/* -EROFS: the export is read-only, and the options do not ask for that. -ENOTSUP: this build has no libnbd. */
int gw_node_nbd_open(const char *uri, const struct gw_node_options *options, struct gw_node **ret,
                     struct gw_error *err);

#endif
