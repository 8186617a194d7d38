/* SPDX-License-Identifier: MIT
 *
 * names: numbers of the wire as words for messages, and the length rule of each.
 */
#ifndef GW_WIRE_NAMES_H
#define GW_WIRE_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/numbers.h"

struct gw_wire_name {
    uint16_t number;
    int bytes; /* of the payload; -1: at least one; -2: any number */
    const char *name;
};

/* NULL for a number that does not exist. */
const struct gw_wire_name *gw_wire_command(uint16_t number);
const struct gw_wire_name *gw_wire_rp(uint16_t number);
/* Whether a payload may have so many bytes. */
bool gw_wire_fits(const struct gw_wire_name *name, size_t bytes);
/* A RAM record's flags: "PAGE", "XBZRLE", ... of the one that says what kind it is; "unknown" when it is not one. */
const char *gw_wire_ram_flag(uint64_t flags);
/* "START", "FULL", ... or "unknown". */
const char *gw_wire_element(uint8_t type);

#endif
