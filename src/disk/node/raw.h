/* SPDX-License-Identifier: MIT
 *
 * raw: a file or a block device as it is.
 *
 * Holes of a file are found by SEEK_DATA, which costs two calls for each run; what cannot tell its holes is all data.
 * Zeros are written by fallocate where the file system can, else by writing them. With O_DIRECT requests are multiples
 * of what the device wants; memory need not be aligned, but what is not is copied once more. A last part of a block
 * that the end of the file cuts goes through the page cache, which the kernel keeps in agreement.
 */
#ifndef GW_DISK_NODE_RAW_H
#define GW_DISK_NODE_RAW_H

#include "disk/node/node.h"

/* options->format is not looked at. guarded: its first bytes may not be made to look like an image of some format
 * (-EPERM). What: a path. */
int gw_raw_open(const char *path, const struct gw_node_options *options, bool guarded, struct gw_node **ret,
                struct gw_error *err);

#endif
