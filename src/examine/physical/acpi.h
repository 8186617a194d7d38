/* SPDX-License-Identifier: MIT
 *
 * acpi: reads a machine's RAM layout from its ACPI tables.
 *
 * QEMU's tables are in a separate block, as made for the firmware: the guest cannot write there, and they exist before
 * it runs. Addresses in them are not final, and checksums are missing. The firmware copies them into the guest's
 * memory: those have addresses and checksums, so they show where the memory lies.
 */
#ifndef GW_PHYSICAL_ACPI_H
#define GW_PHYSICAL_ACPI_H

#include "image/image.h"

#define GW_SRAT_MAX 256u

struct gw_acpi_part {
    uint64_t address, bytes;
    uint32_t node;
};

struct gw_acpi {
    /* RAM sorted by address, from the SRAT, without the ranges for hot-plug. The hole of a PC below 1 MiB counts as
     * RAM, as it does in the block. 0: no SRAT, or an invalid one. */
    struct gw_acpi_part parts[GW_SRAT_MAX];
    unsigned part_count;
    uint64_t window; /* the lowest address above 4 GiB where PCI devices may have memory; 0: not told */
};

/* -ENOMEM, or pages that cannot be read. Invalid tables count as absent. */
int gw_acpi_read(struct gw_image *image, struct gw_acpi *ret, struct gw_error *err);

/* The address of the root table, searched for in the last 128 KiB below 1 MiB of a block that begins at address 0. 0:
 * not found. */
int gw_acpi_root(struct gw_image *image, unsigned block, uint64_t *ret_address, struct gw_error *err);
/* 1: there is a root table at this offset of the block. */
int gw_acpi_is_root(struct gw_image *image, unsigned block, uint64_t offset, struct gw_error *err);

#endif
