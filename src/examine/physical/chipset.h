/* SPDX-License-Identifier: MIT
 *
 * chipset: reads facts about the RAM of a saved PC from its devices.
 */
#ifndef GW_PHYSICAL_CHIPSET_H
#define GW_PHYSICAL_CHIPSET_H

#include "examine/devices.h"

#define GW_PAM_FIRST 0xc0000u /* first address of the registers' range, up to 1 MiB */
#define GW_PAM_BYTES 0x4000u
#define GW_PAM_COUNT 16u

/* The RAM sizes in CMOS, for the firmware. above: modulo 1 TiB, as there are 24 bits for units of 64 KiB. Both are
 * rounded down to such units. false: no such device. */
bool gw_chipset_cmos(const struct gw_image_devices *devices, uint64_t *ret_below, uint64_t *ret_above);

/* The host bridge says for each 16 KiB from 0xc0000 on whether a read finds RAM (bit set) or a ROM. All bits are clear
 * if there is no such bridge. */
uint16_t gw_chipset_shadow(const struct gw_image_devices *devices);

#endif
