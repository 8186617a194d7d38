/* SPDX-License-Identifier: MIT
 *
 * command: the frame of a COMMAND in the stream (docs/wire-format.md 5).
 */
#ifndef GW_WIRE_COMMAND_H
#define GW_WIRE_COMMAND_H

#include "base/cursor.h"
#include "wire/names.h"

#define GW_COMMAND_HEAD_BYTES 5u /* with the type byte */

/* With the type byte. */
void gw_command_put(struct gw_out *out, uint16_t number, const void *payload, uint16_t bytes);
/* Behind the type byte, which stood at byte `at`; the payload is not taken. A number that is not known, or a length
 * that the command cannot have, is -EPROTO. */
int gw_command_get(struct gw_in *in, uint64_t at, const struct gw_wire_name **ret_what, uint16_t *ret_bytes,
                   struct gw_error *err);

#endif
