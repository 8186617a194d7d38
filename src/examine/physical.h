/* SPDX-License-Identifier: MIT
 *
 * physical: where the RAM blocks of a machine lie in its guest's physical memory.
 *
 * Streams do not say it: it follows from the machine type, and for a PC from what the firmware was told of it in CMOS.
 *
 *     pc      [0, 3 GiB) and from 4 GiB on, when there are 3.5 GiB or more        pc.bios ends at 4 GiB
 *     q35     [0, 2 GiB) and from 4 GiB on, when there are 2.75 GiB or more       flash ends at 4 GiB
 *     microvm [0, 3 GiB) and from 4 GiB on, when there are more than 3 GiB        pc.bios ends at 4 GiB
 *     virt    from 1 GiB on (ARM)                                                 flash at 0 and 64 MiB
 *     none    at 0
 *     godwit  each block at the next multiple of 1 GiB
 *
 * Memory that devices have (video, option ROMs, ACPI tables) is left out: where it lies is in what the guest wrote into
 * registers, or it is in no address space at all.
 */
#ifndef GW_IMAGE_PHYSICAL_H
#define GW_IMAGE_PHYSICAL_H

#include "godwit/examine.h"
#include "examine/devices.h"

enum gw_guest_arch { GW_ARCH_UNKNOWN, GW_ARCH_X86, GW_ARCH_ARM64, GW_ARCH_RISCV64 };

struct gw_physical_range {
    unsigned block;
    uint64_t offset, bytes; /* in the block: whole pages */
    uint64_t address;
};

struct gw_physical {
    enum gw_guest_arch arch;
    struct gw_physical_range *ranges; /* by address; they do not overlap */
    unsigned count;
};

/* -EINVAL, blame CALLER: which block is the RAM, or where it lies, is not known, or two places overlap: the text says
 * how to tell. */
int gw_physical_map(const struct gw_image *image, const struct gw_image_devices *devices,
                    const struct gw_elf_place *places, unsigned place_count, struct gw_physical *ret,
                    struct gw_error *err);
void gw_physical_close(struct gw_physical *p);

#endif
