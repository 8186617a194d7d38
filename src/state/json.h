/* SPDX-License-Identifier: MIT
 *
 * json: reads JSON text from anyone into a tree that keeps what the descriptions in streams need and JSON libraries drop:
 * members in their order, keys that occur twice. Size, depth and number of values are bounded; running out of memory is
 * told apart from wrong text; all memory is in a few chunks that are freed together.
 *
 * Strings are NUL-terminated (an escaped NUL or control character is refused); what the escapes above ASCII mean is written as UTF-8. Whether
 * all of a string is UTF-8 is not looked at.
 */
#ifndef GW_JSON_H
#define GW_JSON_H

#include "base/base.h"

#define GW_JSON_BYTES_MAX (64u << 20)
#define GW_JSON_NODES_MAX (4u << 20)
#define GW_JSON_DEPTH_MAX 64
#define GW_JSON_QMP_DEPTH 1024 /* QEMU's */

struct gw_arena_chunk;
struct gw_arena {
    struct gw_arena_chunk *chunks;
};

/* Zeroed, aligned for anything; NULL: out of memory. */
void *gw_arena_take(struct gw_arena *arena, size_t bytes);
void gw_arena_free(struct gw_arena *arena);

enum gw_json_type {
    GW_JSON_NULL, GW_JSON_BOOL, GW_JSON_INT, GW_JSON_REAL, GW_JSON_STRING, GW_JSON_ARRAY, GW_JSON_OBJECT
};

struct gw_json {
    enum gw_json_type type;
    uint32_t count;       /* ARRAY, OBJECT: members; STRING: bytes */
    const char *key;      /* of a member of an object */
    int64_t number;       /* INT; BOOL: 0 or 1. Integers that do not fit are REAL */
    const char *string;   /* STRING; REAL: the number's text */
    struct gw_json *first, *next; /* first member; the next one of the same parent */
};

/* The tree is in the arena. -EPROTO with the offset when it is not JSON. */
int gw_json_parse(const char *text, size_t bytes, struct gw_arena *arena, struct gw_json **ret, struct gw_error *err);
/* The same for what QMP takes: also strings in '', the escape \', GW_JSON_QMP_DEPTH levels, and escapes of any character
 * but half a surrogate pair: so a string (not a key) may contain NUL, and `count` tells how long it is. */
int gw_json_parse_qmp(const char *text, size_t bytes, struct gw_arena *arena, struct gw_json **ret, struct gw_error *err);
/* Whether the string has a control character: C0, DEL or C1. */
bool gw_json_has_control(const char *string, size_t bytes);
/* The last member of this key, or NULL; also when object is NULL or no object. */
struct gw_json *gw_json_get(const struct gw_json *object, const char *key);

#endif
