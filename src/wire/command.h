/* SPDX-License-Identifier: MIT
 *
 * command: the frame of a COMMAND in the stream (docs/wire-format.md 5).
 */
#ifndef GW_WIRE_COMMAND_H
#define GW_WIRE_COMMAND_H

#include "base/cursor.h"
#include "wire/names.h"

#define GW_COMMAND_HEAD_BYTES 5u /* including the type byte */

/* Writes the type byte too. */
void gw_command_put(struct gw_out *out, uint16_t number, const void *payload, uint16_t bytes);
/* Call after the type byte, which was at byte `at`; leaves the payload in the cursor. -EPROTO: the number is not known,
 * or the command cannot have this length. */
int gw_command_get(struct gw_in *in, uint64_t at, const struct gw_wire_name **ret_what, uint16_t *ret_bytes,
                   struct gw_error *err);

#endif
