/* SPDX-License-Identifier: MIT
 *
 * smbios: finds the RAM's addresses in the SMBIOS tables that the firmware left in the guest's memory.
 */
#ifndef GW_PHYSICAL_SMBIOS_H
#define GW_PHYSICAL_SMBIOS_H

#include "godwit/examine.h"
#include "image/image.h"

/* The block begins at address 0; `below` bytes of it lie below 4 GiB, `above` bytes elsewhere. Searches for tables with
 * exactly these two ranges, first where a BIOS puts them, then in all RAM below 4 GiB. *ret: where the upper range
 * begins; 0: no such tables. */
int gw_smbios_upper(struct gw_image *image, unsigned block, uint64_t below, uint64_t above, uint64_t *ret,
                    gw_examine_progress_fn progress, void *opaque, struct gw_error *err);

#endif
