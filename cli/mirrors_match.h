/* SPDX-License-Identifier: MIT
 *
 * mirrors_match: finds the disks of one QEMU that correspond to those of another.
 */
#ifndef GODWIT_CLI_MIRRORS_MATCH_H
#define GODWIT_CLI_MIRRORS_MATCH_H

#include "qmp_client.h"

struct gw_disk_pair {
    char name[256];             /* for messages: the drive, else the device, else the node */
    char here[64], there[64];   /* node names */
    uint64_t bytes;
};

/* Pairs all writable, non-empty disks of the source. -ENOENT: the destination lacks one; -EINVAL: it is read-only there
 * or has another length; -ENOTSUP: it does not wait for a migration. The caller frees *ret_pairs. */
int gw_disk_pairs(struct gw_qmp *source, struct gw_qmp *destination, struct gw_disk_pair **ret_pairs, size_t *ret_count,
                  struct gw_error *err);

/* The same from two answers of query-block. */
int gw_disk_match(const json_t *source, const json_t *destination, struct gw_disk_pair **ret_pairs, size_t *ret_count, struct gw_error *err);

#endif
