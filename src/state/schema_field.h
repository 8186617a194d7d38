/* SPDX-License-Identifier: MIT
 *
 * schema_field: what a schema says of one field, and whether two fields are the same bytes.
 *
 * Members that are missing, or have another type than they should, read as the value that is given for that, "" or false.
 */
#ifndef GW_SCHEMA_FIELD_H
#define GW_SCHEMA_FIELD_H

#include "state/json.h"

const char *gw_field_text(const struct gw_json *object, const char *key);
int64_t gw_field_number(const struct gw_json *object, const char *key, int64_t otherwise);
bool gw_field_true(const struct gw_json *object, const char *key);
/* The first of a list; NULL: it is empty, or there is none. */
const struct gw_json *gw_field_list(const struct gw_json *object, const char *key);

bool gw_field_same_name(const struct gw_json *a, const struct gw_json *b);
/* Are these types the same bytes, and do values that both know mean the same? One that is not told fits any. */
bool gw_field_same_family(const char *a, const char *b);
/* Bytes on the wire of all elements when they are always the same; -1 otherwise. */
int64_t gw_field_bytes(const struct gw_json *f);
bool gw_field_same_bytes(const struct gw_json *a, const struct gw_json *b);
bool gw_field_is_bytes(const struct gw_json *f);
bool gw_field_is_padding(const struct gw_json *f);
/* Could be the same field under another name. */
bool gw_field_same_layout(const struct gw_json *a, const struct gw_json *b);

#endif
