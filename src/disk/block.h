/* SPDX-License-Identifier: MIT
 *
 * block: the live section of the same name, the contents of disks (docs/wire-format.md 11).
 *
 * The source sends each chunk of each disk that can be written (bulk), one disk after the other, and then, again and
 * again, those that were written meanwhile. What the guest writes marks its chunk behind the write; a mark is taken away
 * before the chunk is read. So a write is in what is read, or its chunk is sent again.
 * While a disk is in bulk the sections behind it wait (gw_live_ops.first): what changes faster is sent later.
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
    struct gw_disk *const *disks; /* of the machine; they outlive the section */
    unsigned count;
    uint32_t section_id; /* source */
    bool zeros;          /* source, capability zero-blocks: chunks of zeros are told, not sent */
    bool top_only;       /* source, block-incremental: what only layers below have is on the other side already */
};

int gw_block_source_new(const struct gw_block_config *config, struct gw_live **ret, struct gw_error *err);
int gw_block_load_new(const struct gw_block_config *config, struct gw_live **ret, struct gw_error *err);

#endif
