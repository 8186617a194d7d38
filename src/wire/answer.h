/* SPDX-License-Identifier: MIT
 *
 * answer: the frame of a message on the return path (docs/wire-format.md 6).
 */
#ifndef GW_WIRE_ANSWER_H
#define GW_WIRE_ANSWER_H

#include "base/cursor.h"
#include "wire/names.h"

#define GW_ANSWER_HEAD_BYTES 4u

void gw_answer_put(struct gw_out *out, uint16_t type, const void *body, uint16_t bytes);
/* Leaves the body, at most GW_RP_MAX_BYTES, in the cursor. -EPROTO: the type is not known, or cannot have this
 * length. */
int gw_answer_get(struct gw_in *in, const struct gw_wire_name **ret_what, uint16_t *ret_bytes, struct gw_error *err);

#endif
