/* SPDX-License-Identifier: MIT
 *
 * print: the state of a device in memory, as people read it or as a JSON object.
 *
 * The device is encoded with its description, and those bytes are printed: what is shown is what would be sent.
 */
#ifndef GW_STATE_PRINT_H
#define GW_STATE_PRINT_H

#include "state/text.h"

struct gw_state;

/* Text: a line "path = value" each. JSON: {"path": value, ...}. Appends to t. */
int gw_state_print(const struct gw_state *st, void *device, bool json, struct gw_text *t, struct gw_error *err);

#endif
