/* SPDX-License-Identifier: MIT
 *
 * section: what stands around every section's body (docs/wire-format.md 3), for those who read streams.
 */
#ifndef GW_SECTION_H
#define GW_SECTION_H

#include "channel/reader.h"

struct gw_section_head { /* of a START or FULL, behind the type byte */
    uint32_t id, instance, version;
    char name[256]; /* made printable: it goes into messages */
};

int gw_section_get_head(struct gw_reader *r, struct gw_section_head *ret, struct gw_error *err);
/* name: for the message. */
int gw_section_get_footer(struct gw_reader *r, uint32_t id, const char *name, struct gw_error *err);

#endif
