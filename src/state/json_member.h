/* SPDX-License-Identifier: MIT
 *
 * json_member: members of JSON objects from outside, each checked before it is used.
 */
#ifndef GW_JSON_MEMBER_H
#define GW_JSON_MEMBER_H

#include "state/json.h"

/* NULL: there is no such member, or it has another type. */
const struct gw_json *gw_json_typed(const struct gw_json *object, const char *key, enum gw_json_type type);
/* -EPROTO, blame `blame`: there is no such member, or it is no integer from 0 to max. */
int gw_json_get_int(const struct gw_json *object, const char *key, uint64_t max, enum gw_blame blame, uint64_t *ret,
                    struct gw_error *err);
/* The same for a name: a string that gw_json_check_name accepts. */
int gw_json_get_name(const struct gw_json *object, const char *key, enum gw_blame blame, const char **ret, struct gw_error *err);
/* -EPROTO: not 1 to 255 characters of printable ASCII. what: names it in the error. */
int gw_json_check_name(const char *what, const char *name, size_t bytes, enum gw_blame blame, struct gw_error *err);

#endif
