/* SPDX-License-Identifier: MIT
 *
 * describe: properties of a description, without a device.
 */
#ifndef GW_DESCRIBE_H
#define GW_DESCRIBE_H

#include "base/base.h"
#include "godwit/state.h"

#define GW_STATE_DEPTH     16        /* maximum nesting of descriptions */
#define GW_FIELD_BYTES_MAX (1 << 30) /* maximum size of one field in memory */

#define GW_MARK_SUBSECTION 0x05
#define GW_MARK_NULL       0x30
#define GW_MARK_ELEMENT    0x01
#define GW_MARK_LIST_END   0x00

const char *gw_field_name(const struct gw_field *f);
/* The name in the vmdesc: name[k] if several fields of the description have the same name. Returns buf. */
const char *gw_field_unique_name(const struct gw_state *st, const struct gw_field *f, char *buf, size_t bytes);
const char *gw_field_type_name(const struct gw_field *f);

/* Neither nested nor a list nor a check. */
bool gw_field_is_leaf(const struct gw_field *f);
/* The size of one element of a leaf on the wire; n: the value of the count member of a variable buffer or bitmap,
 * otherwise ignored. */
uint64_t gw_field_wire_bytes(const struct gw_field *f, uint32_t n);
/* The count is the length of one element, not the number of elements. */
bool gw_field_count_is_length(const struct gw_field *f);
/* Size of the member in the structure; 0: no member, or not known (a list's head). */
uint64_t gw_field_member_bytes(const struct gw_field *f);
/* All elements have the same format on the wire, so that one entry with array_len describes them. */
bool gw_field_uniform(const struct gw_field *f);

/* Size of the structure that is described; 0 if no field has it. */
size_t gw_state_bytes(const struct gw_state *st);
/* -EINVAL with the reason if the table is invalid. */
int gw_state_validate(const struct gw_state *st, struct gw_error *err);

#endif
