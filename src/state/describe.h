/* SPDX-License-Identifier: MIT
 *
 * describe: what can be said of a description without a device.
 */
#ifndef GW_DESCRIBE_H
#define GW_DESCRIBE_H

#include "base/base.h"
#include "godwit/state.h"

#define GW_STATE_DEPTH     16        /* descriptions nested in each other */
#define GW_FIELD_BYTES_MAX (1 << 30) /* of one field in memory */

#define GW_MARK_SUBSECTION 0x05
#define GW_MARK_NULL       0x30
#define GW_MARK_ELEMENT    0x01
#define GW_MARK_LIST_END   0x00

const char *gw_field_name(const struct gw_field *f);
/* The name as the vmdesc has it: name[k] when several fields of the description have it. Returns buf. */
const char *gw_field_unique_name(const struct gw_state *st, const struct gw_field *f, char *buf, size_t bytes);
const char *gw_field_type_name(const struct gw_field *f);

/* Neither nested nor a list nor a check. */
bool gw_field_is_leaf(const struct gw_field *f);
/* How many bytes one element of a leaf occupies on the wire; n: the value of the count member of a variable buffer or
 * bitmap, otherwise not looked at. */
uint64_t gw_field_wire_bytes(const struct gw_field *f, uint32_t n);
/* The count is the length of one element, not the number of elements. */
bool gw_field_count_is_length(const struct gw_field *f);
/* Bytes of the structure that the member itself takes; 0: no member, or not known (a list's head). */
uint64_t gw_field_member_bytes(const struct gw_field *f);
/* All elements look alike on the wire, so that one entry with array_len describes them. */
bool gw_field_uniform(const struct gw_field *f);

/* sizeof the structure that is described; 0 when no field tells. */
size_t gw_state_bytes(const struct gw_state *st);
/* -EINVAL with a sentence when the table cannot be right. */
int gw_state_validate(const struct gw_state *st, struct gw_error *err);

#endif
