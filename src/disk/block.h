/* SPDX-License-Identifier: MIT
 *
 * block: the live section of the same name, the contents of disks (docs/wire-format.md 11).
 *
 * The source sends each chunk of each disk that can be written (bulk), one disk after the other, and then, again and
 * again, those that were written meanwhile. A write of the guest marks its chunk when it has ended; a mark is cleared
 * before the chunk is read. So either the read includes the write, or the chunk is sent again. While a disk is in bulk
 * the sections behind it wait (gw_live_ops.first), since they change faster.
 *
 * Threads: as live.h says.
 */
#ifndef GW_DISK_BLOCK_H
#define GW_DISK_BLOCK_H

#include "disk/disk.h"
#include "live/live.h"

#define GW_BLOCK_SECTION "block"
#define GW_BLOCK_ORDER   10

struct gw_block_config {
    struct gw_disk *const *disks; /* the machine's disks; they outlive the section */
    unsigned count;
    uint32_t section_id; /* source */
    bool zeros;          /* source, capability zero-blocks: a chunk of zeros is sent as a flag, without its bytes */
    bool top_only;       /* source, block-incremental: the destination already has the contents of the backing layers */
};

int gw_block_source_new(const struct gw_block_config *config, struct gw_live **ret, struct gw_error *err);
int gw_block_load_new(const struct gw_block_config *config, struct gw_live **ret, struct gw_error *err);

#endif
