/* SPDX-License-Identifier: MIT
 *
 * head: magic, version and configuration section (docs/wire-format.md 2), both ways.
 */
#ifndef GW_ENGINE_HEAD_H
#define GW_ENGINE_HEAD_H

#include "engine/vm.h"

void gw_head_put(const struct gw_vm *vm, struct gw_writer *w);
/* The configuration section in the description at the end, for peers that have it. */
void gw_head_describe(const struct gw_vm *vm, struct gw_vmdesc *desc);

struct gw_head {
    char machine[256];
    bool has_uuid;
    uint8_t uuid[16];
};
/* Reads it and compares it with this machine; what differs is named with both values. guest.h: any_machine.
 * Changes nothing. */
int gw_head_get(const struct gw_vm *vm, struct gw_reader *reader, struct gw_head *ret_head, struct gw_error *err);

#endif
