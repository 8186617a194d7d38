/* SPDX-License-Identifier: MIT
 *
 * head: the head of a machine's stream (wire/head.h).
 */
#ifndef GW_ENGINE_HEAD_H
#define GW_ENGINE_HEAD_H

#include "engine/vm.h"
#include "wire/head.h"

void gw_vm_head_put(const struct gw_vm *vm, struct gw_writer *w);
/* Adds the configuration section to the description at the end of the stream, for peers that expect it there. */
void gw_vm_head_describe(const struct gw_vm *vm, struct gw_vmdesc *desc);
/* Reads the head and compares it with this machine; an error names both values. For a machine of an image see guest.h,
 * at_rest. Changes nothing. */
int gw_vm_head_get(const struct gw_vm *vm, struct gw_reader *reader, struct gw_wire_head *ret_head,
                   struct gw_error *err);

#endif
