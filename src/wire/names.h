/* SPDX-License-Identifier: MIT
 *
 * names: names of the numbers on the wire, for messages, and the permitted length of each.
 */
#ifndef GW_WIRE_NAMES_H
#define GW_WIRE_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/numbers.h"

struct gw_wire_name {
    uint16_t number;
    int bytes; /* size of the payload; -1: at least one; -2: any */
    const char *name;
};

/* NULL: there is no such number. */
const struct gw_wire_name *gw_wire_command(uint16_t number);
const struct gw_wire_name *gw_wire_rp(uint16_t number);
/* Whether the payload may have this size. */
bool gw_wire_fits(const struct gw_wire_name *name, size_t bytes);
/* The name of the flag that is the kind of a RAM record: "PAGE", "XBZRLE", ...; "unknown" if there is none. */
const char *gw_wire_ram_flag(uint64_t flags);
/* "START", "FULL", ... or "unknown". */
const char *gw_wire_element(uint8_t type);

#endif
