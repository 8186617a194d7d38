/* SPDX-License-Identifier: MIT
 *
 * ram_list: the list of RAM blocks (docs/wire-format.md 7.1): the total, then an entry for each block. Depending on
 * capabilities, an entry also has the size of a large host page, before gpa.
 */
#ifndef GW_WIRE_RAM_LIST_H
#define GW_WIRE_RAM_LIST_H

#include "base/cursor.h"

struct gw_wire_block {
    char name[256];
    uint64_t used_bytes;
};

void gw_ram_list_put_total(struct gw_out *out, uint64_t bytes);
/* -EPROTO: this is no list, or its total is above max. */
int gw_ram_list_get_total(struct gw_in *in, uint32_t page_bytes, uint64_t max, uint64_t *ret_bytes,
                          struct gw_error *err);
/* gpa: with x-ignore-shared, else NULL. */
void gw_ram_list_put(struct gw_out *out, const char *name, uint64_t used_bytes, const uint64_t *gpa);
/* left: bytes of the total that are left for further blocks; reduced. A block of 0 bytes does not reduce it: the caller
 * limits their number. */
int gw_ram_list_get(struct gw_in *in, uint64_t *left, struct gw_wire_block *ret, struct gw_error *err);

#endif
