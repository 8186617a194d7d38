/* SPDX-License-Identifier: MIT
 *
 * plugged: memory that a virtio-mem device gives to the guest piece by piece. Its state says where, and which pieces.
 *
 * A DIMM's address is not saved anywhere.
 */
#ifndef GW_PHYSICAL_PLUGGED_H
#define GW_PHYSICAL_PLUGGED_H

#include "examine/devices.h"

struct gw_plugged {
    unsigned block;
    uint64_t address, piece_bytes;
    uint64_t pieces;
    const uint8_t *bits; /* gw_plugged_has */
};

/* Reads the virtio-mem device if the list entry is one whose state has its address. false: it is not. */
bool gw_plugged_read(const struct gw_image *image, const struct gw_image_device *device, struct gw_plugged *ret);
bool gw_plugged_has(const struct gw_plugged *p, uint64_t piece);
/* Whether the block belongs to a device that gives memory to the guest (so it is not the device's own memory). */
bool gw_plugged_is(const struct gw_image_devices *devices, const char *block);

#endif
