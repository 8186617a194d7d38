/* SPDX-License-Identifier: MIT
 *
 * schema_field: the properties of one field in a schema, and whether two fields have the same bytes.
 *
 * Members that are missing, or have the wrong type, read as the default in the call, or as "" or false.
 */
#ifndef GW_SCHEMA_FIELD_H
#define GW_SCHEMA_FIELD_H

#include "state/json.h"

const char *gw_field_text(const struct gw_json *object, const char *key);
int64_t gw_field_number(const struct gw_json *object, const char *key, int64_t otherwise);
bool gw_field_true(const struct gw_json *object, const char *key);
/* The first of a list; NULL: the list is empty or missing. */
const struct gw_json *gw_field_list(const struct gw_json *object, const char *key);

bool gw_field_same_name(const struct gw_json *a, const struct gw_json *b);
/* Whether these types have the same bytes, and values that both have mean the same. An unknown type matches any. */
bool gw_field_same_family(const char *a, const char *b);
/* Size of all elements on the wire if it is always the same; else -1. */
int64_t gw_field_bytes(const struct gw_json *f);
bool gw_field_same_bytes(const struct gw_json *a, const struct gw_json *b);
bool gw_field_is_bytes(const struct gw_json *f);
bool gw_field_is_padding(const struct gw_json *f);
/* Whether it could be the same field under another name. */
bool gw_field_same_layout(const struct gw_json *a, const struct gw_json *b);

#endif
