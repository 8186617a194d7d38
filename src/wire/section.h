/* SPDX-License-Identifier: MIT
 *
 * section: headers and footers of sections, and the description after EOF (docs/wire-format.md 3, 5).
 */
#ifndef GW_WIRE_SECTION_H
#define GW_WIRE_SECTION_H

#include "base/cursor.h"

#define GW_FOOTER_BYTES 5u

struct gw_section_head { /* of a START or FULL */
    uint32_t id, instance, version;
    char name[256];
};

/* Writes the type byte too. */
void gw_section_put_head(struct gw_out *out, uint8_t element, const struct gw_section_head *head);
void gw_section_put_part(struct gw_out *out, uint8_t element, uint32_t id);
void gw_section_put_footer(struct gw_out *out, uint32_t id);
/* Call after the type byte. */
int gw_section_get_head(struct gw_in *in, struct gw_section_head *ret, struct gw_error *err);
/* name: for the message. */
int gw_section_get_footer(struct gw_in *in, uint32_t id, const char *name, struct gw_error *err);

/* Writes the type byte too. 0 bytes: writes nothing. */
void gw_wire_put_vmdesc(struct gw_out *out, const char *text, size_t bytes);
/* Call after the type byte; the text has at most `max` bytes, and is left in the cursor. */
int gw_wire_get_vmdesc(struct gw_in *in, uint32_t max, uint32_t *ret_bytes, struct gw_error *err);

#endif
