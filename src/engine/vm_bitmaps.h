/* SPDX-License-Identifier: MIT
 *
 * vm_bitmaps: what sessions have to do with the dirty bitmaps of a vm's disks.
 */
#ifndef GW_ENGINE_VM_BITMAPS_H
#define GW_ENGINE_VM_BITMAPS_H

#include "engine/vm.h"

/* The live section for one session. *ret stays NULL where there is none: for the machine of an image, whose sections of disks are
 * kept as they are. */
int gw_vm_bitmap_section(struct gw_vm *vm, bool send, struct gw_live **ret, struct gw_error *err);
/* The machine belongs here now, whether it starts or not: bitmaps that came with it record from here on. */
void gw_vm_begin_bitmaps(struct gw_vm *vm);
/* That was taken back. */
void gw_vm_stand_bitmaps(struct gw_vm *vm);

#endif
