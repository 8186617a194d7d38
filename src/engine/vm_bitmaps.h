/* SPDX-License-Identifier: MIT
 *
 * vm_bitmaps: the dirty bitmaps of a vm's disks, as sessions use them.
 */
#ifndef GW_ENGINE_VM_BITMAPS_H
#define GW_ENGINE_VM_BITMAPS_H

#include "engine/vm.h"

/* The live section for one session. *ret stays NULL if there is none: a machine of an image carries sections of disks
 * as bytes. */
int gw_vm_bitmap_section(struct gw_vm *vm, bool send, struct gw_live **ret, struct gw_error *err);
/* The machine belongs here now, whether it starts or not: bitmaps that came with it record from now on. */
void gw_vm_begin_bitmaps(struct gw_vm *vm);
/* The arrival was taken back: they stop recording. */
void gw_vm_stand_bitmaps(struct gw_vm *vm);

#endif
