/* SPDX-License-Identifier: MIT
 *
 * layout: the addresses of a machine's RAM and the blocks it consists of, as far as the machine confirms them.
 */
#ifndef GW_PHYSICAL_LAYOUT_H
#define GW_PHYSICAL_LAYOUT_H

#include "godwit/examine.h"
#include "examine/devices.h"
#include "examine/physical/blocks.h"

enum gw_machine_kind {
    GW_KIND_UNKNOWN,
    GW_KIND_PC,
    GW_KIND_Q35,
    GW_KIND_ISAPC,
    GW_KIND_MICROVM,
    GW_KIND_VIRT_ARM,
    GW_KIND_VIRT_RISCV,
    GW_KIND_FLAT,
    GW_KIND_GODWIT
};

#define GW_AREA_UNKNOWN UINT64_MAX

struct gw_ram_area {
    uint64_t address; /* GW_AREA_UNKNOWN: the machine does not record it */
    uint64_t bytes;
};

struct gw_ram_layout {
    struct gw_ram_area areas[2]; /* the RAM from its first byte on */
    unsigned area_count;
    struct gw_ram_blocks blocks;
    const char *why; /* blocks.count 0: the reason */
};

enum gw_machine_kind gw_machine_kind_of(const struct gw_image *image, const struct gw_image_devices *devices);

/* The caller's placement of a block. */
struct gw_ram_told {
    bool begin; /* its first byte has this address; */
    uint64_t address;
    bool whole; /* the rest of the block follows it */
};

/* Not for machines of kinds UNKNOWN and GODWIT. told: of each block. */
int gw_ram_layout_find(struct gw_image *image, const struct gw_image_devices *devices, enum gw_machine_kind kind,
                       const struct gw_ram_told *told, gw_examine_progress_fn progress, void *opaque,
                       struct gw_ram_layout *ret, struct gw_error *err);

#endif
