/* SPDX-License-Identifier: MIT
 *
 * json: parses untrusted JSON text to a tree that keeps what the descriptions in streams need and JSON libraries drop:
 * the order of members, keys that occur twice. Size, depth and number of values are bounded; lack of memory and invalid
 * text are different errors; all memory is in a few chunks that are freed together.
 *
 * Strings are NUL-terminated (an escaped NUL or control character is refused); escapes above ASCII become UTF-8. Other
 * bytes of a string are not checked to be UTF-8.
 */
#ifndef GW_JSON_H
#define GW_JSON_H

#include "base/base.h"

#define GW_JSON_BYTES_MAX (64u << 20)
#define GW_JSON_NODES_MAX (4u << 20)
#define GW_JSON_DEPTH_MAX 64
#define GW_JSON_QMP_DEPTH 1024 /* QEMU's limit */

struct gw_arena_chunk;
struct gw_arena {
    struct gw_arena_chunk *chunks;
};

/* Zeroed, aligned for any type; NULL: no memory. */
void *gw_arena_take(struct gw_arena *arena, size_t bytes);
void gw_arena_free(struct gw_arena *arena);

enum gw_json_type {
    GW_JSON_NULL, GW_JSON_BOOL, GW_JSON_INT, GW_JSON_REAL, GW_JSON_STRING, GW_JSON_ARRAY, GW_JSON_OBJECT
};

struct gw_json {
    enum gw_json_type type;
    uint32_t count;       /* ARRAY, OBJECT: number of members; STRING: bytes */
    const char *key;      /* of a member of an object; else NULL */
    int64_t number;       /* INT; BOOL: 0 or 1. Integers that do not fit are REAL */
    const char *string;   /* STRING: the text; REAL: the text of the number */
    struct gw_json *first, *next; /* first member; next member of the same parent */
};

/* The tree is in the arena. -EPROTO with the offset: the text is not JSON. */
int gw_json_parse(const char *text, size_t bytes, struct gw_arena *arena, struct gw_json **ret, struct gw_error *err);
/* The same for the syntax of QMP: also strings in '', the escape \', GW_JSON_QMP_DEPTH levels, and escapes of any
 * character except an unpaired surrogate: so a string (not a key) may contain NUL, and `count` is its length. */
int gw_json_parse_qmp(const char *text, size_t bytes, struct gw_arena *arena, struct gw_json **ret, struct gw_error *err);
/* Whether the string has a control character: C0, DEL or C1. */
bool gw_json_has_control(const char *string, size_t bytes);
/* The last member with this key, or NULL; also NULL if object is NULL or is no object. */
struct gw_json *gw_json_get(const struct gw_json *object, const char *key);

#endif
