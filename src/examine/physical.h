/* SPDX-License-Identifier: MIT
 *
 * physical: where the RAM blocks of a machine lie in its guest's physical memory.
 *
 * Streams do not say it. It is put together from what the machine type fixes, what the machine's devices and tables say
 * (physical/layout.h), and what the caller tells. What is not confirmed by one of them is left out.
 *
 * Memory that devices have (video, option ROMs, ACPI tables) is left out: where it lies is in what the guest wrote into
 * registers, or it is in no address space at all. So is RAM that the guest does not see, as a ROM lies in front of it.
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

struct gw_physical_left {
    unsigned block;
    uint64_t offset, bytes;
    const char *why; /* constant text */
    bool device;     /* it is a device's; else it is or may be memory that the guest sees */
};

struct gw_physical {
    enum gw_guest_arch arch;
    struct gw_physical_range *ranges; /* by address; they do not overlap */
    unsigned count;
    struct gw_physical_left *left; /* by block and offset: all that is in no range and not behind a ROM */
    unsigned left_count;
};

/* options: places, progress and opaque. -EINVAL, blame CALLER: nothing of the RAM could be placed, or a place is not
 * one, or two overlap: the text says how to tell. */
int gw_physical_map(struct gw_image *image, const struct gw_image_devices *devices,
                    const struct gw_elf_options *options, struct gw_physical *ret, struct gw_error *err);
void gw_physical_close(struct gw_physical *p);

#endif
