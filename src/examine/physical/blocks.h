/* SPDX-License-Identifier: MIT
 *
 * blocks: finds which RAM blocks make up a machine's RAM, and their order.
 *
 * Names are not reliable: a DIMM's name may look like that of the RAM's second part. The evidence is the size of the
 * RAM, its division among NUMA nodes, and, if sizes leave a choice, which blocks contain the firmware's tables.
 */
#ifndef GW_PHYSICAL_BLOCKS_H
#define GW_PHYSICAL_BLOCKS_H

#include "examine/physical/acpi.h"

#define GW_RAM_ANYWHERE  UINT64_MAX
#define GW_RAM_ELSEWHERE (UINT64_MAX - 1)

struct gw_ram_slot {
    uint64_t offset, bytes; /* in the whole RAM */
    int block;              /* -1: several blocks could be it */
};

struct gw_ram_blocks {
    struct gw_ram_slot slots[GW_SRAT_MAX];
    unsigned count; /* 0: no combination of blocks makes up the RAM */
    bool choice;    /* with count 0: more than one combination does */
};

/* Memory that belongs to a device. */
bool gw_ram_of_a_device(const char *name);

/* How much RAM there is. 0: not known; then it is the only block, if there is just one. Not exact: as CMOS has it,
 * modulo 1 TiB; below_only: and rounded down to 64 KiB, as all of it lies below 4 GiB. */
struct gw_ram_total {
    uint64_t bytes;
    bool exact, below_only;
};

/* nodes: sizes of the parts in the order of their addresses, NULL if it is not divided. first_bytes: of the RAM that
 * begins at its first address (in which a BIOS leaves its tables), 0: no BIOS. told[i]: the block's offset in the RAM
 * by the caller; GW_RAM_ANYWHERE: not given; GW_RAM_ELSEWHERE: the block is not part of the RAM. */
int gw_ram_blocks_find(struct gw_image *image, const uint64_t *told, struct gw_ram_total total, const uint64_t *nodes,
                       unsigned node_count, uint64_t first_bytes, struct gw_ram_blocks *ret, struct gw_error *err);

#endif
