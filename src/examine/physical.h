/* SPDX-License-Identifier: MIT
 *
 * physical: where the RAM blocks of a machine lie in its guest's physical memory.
 *
 * Streams do not record that. It is derived from the machine type, the machine's devices and tables
 * (physical/layout.h), and the caller's placements. Ranges that none of these confirms are left out.
 *
 * Memory of devices (video, option ROMs, ACPI tables) is left out: its address is in registers that the guest wrote, or
 * it has none. So is RAM hidden by a ROM, which the guest does not see.
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
    bool device;     /* it belongs to a device; else it is or may be memory that the guest sees */
};

struct gw_physical {
    enum gw_guest_arch arch;
    struct gw_physical_range *ranges; /* by address; they do not overlap */
    unsigned count;
    struct gw_physical_left *left; /* sorted by block and offset: all that is in no range and not hidden by a ROM */
    unsigned left_count;
};

/* options: places, progress and opaque. -EINVAL, blame CALLER: no RAM could be placed, a given place is invalid, or two
 * overlap; the text says how to give places. */
int gw_physical_map(struct gw_image *image, const struct gw_image_devices *devices,
                    const struct gw_elf_options *options, struct gw_physical *ret, struct gw_error *err);
void gw_physical_close(struct gw_physical *p);

#endif
