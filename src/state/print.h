/* SPDX-License-Identifier: MIT
 *
 * print: prints the state of a device in memory, as text or as a JSON object.
 *
 * The device is encoded with its description, and the values in those bytes are printed: they are the values that would
 * be sent.
 */
#ifndef GW_STATE_PRINT_H
#define GW_STATE_PRINT_H

#include "state/text.h"

struct gw_state;

/* Text: a line "path = value" for each value. JSON: {"path": value, ...}. Appends to t. */
int gw_state_print(const struct gw_state *st, void *device, bool json, struct gw_text *t, struct gw_error *err);

#endif
