/* SPDX-License-Identifier: MIT
 *
 * raw: a file or a block device as it is.
 *
 * Holes of a file are found by SEEK_DATA, which costs two calls for each run; a file system without SEEK_DATA reports
 * everything as data. Zeros are written by fallocate where the file system can, else by writing them. With O_DIRECT
 * requests are multiples of the device's block size; memory need not be aligned, but unaligned memory costs a copy. A
 * last part of a block that the end of the file cuts goes through the page cache, which the kernel keeps in agreement.
 */
#ifndef GW_DISK_NODE_RAW_H
#define GW_DISK_NODE_RAW_H

#include "disk/node/node.h"

/* options->format is ignored. guarded: a write that makes its first bytes look like an image of some format is refused
 * (-EPERM). */
int gw_raw_open(const char *path, const struct gw_node_options *options, bool guarded, struct gw_node **ret,
                struct gw_error *err);

#endif
