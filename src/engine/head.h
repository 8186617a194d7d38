/* SPDX-License-Identifier: MIT
 *
 * head: the head of a stream (wire/head.h) of a machine.
 */
#ifndef GW_ENGINE_HEAD_H
#define GW_ENGINE_HEAD_H

#include "engine/vm.h"
#include "wire/head.h"

void gw_vm_head_put(const struct gw_vm *vm, struct gw_writer *w);
/* The configuration section in the description at the end, for peers that have it. */
void gw_vm_head_describe(const struct gw_vm *vm, struct gw_vmdesc *desc);
/* Reads it and compares it with this machine; what differs is named with both values. guest.h: at_rest.
 * Changes nothing. */
int gw_vm_head_get(const struct gw_vm *vm, struct gw_reader *reader, struct gw_wire_head *ret_head,
                   struct gw_error *err);

#endif
