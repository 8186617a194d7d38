/* SPDX-License-Identifier: MIT
 *
 * schema_shape: reads a schema (docs/formats/schema.md) and checks that it has the members that a schema has, each of its type.
 */
#ifndef GW_SCHEMA_SHAPE_H
#define GW_SCHEMA_SHAPE_H

#include "state/json.h"

/* The tree is in the arena. -EPROTO: not JSON, not a schema of format 1, or a member that is missing or of another type; the error says
 * where it is, as "devices[2].state.fields[0]". Members that are not known are ignored. */
int gw_schema_read(const char *json, struct gw_arena *arena, struct gw_json **ret, struct gw_error *err);
/* The same for JSON that was read already. */
int gw_schema_shape(const struct gw_json *root, struct gw_error *err);

#endif
