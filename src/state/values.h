/* SPDX-License-Identifier: MIT
 *
 * values: a device's body as named values, from its description in the stream; for known and unknown devices.
 */
#ifndef GW_VALUES_H
#define GW_VALUES_H

#include "state/text.h"
#include "state/vmdesc_read.h"

/* One leaf: `count` elements of `bytes` each, in the format of the wire. */
struct gw_value {
    const char *path; /* "env.segs[2].base", "cpu/extra.x" in a subsection; valid during the call */
    const char *type; /* from the description: "uint32", "buffer" */
    const uint8_t *data;
    uint64_t bytes;
    uint32_t count; /* > 1: an array; its elements have no paths of their own */
    size_t at;      /* offset in the body */
};

/* A negative return ends the walk and is returned. */
typedef int (*gw_value_fn)(void *opaque, const struct gw_value *value);

/* Calls fn for each value in order. -EPROTO: the bytes do not fit the description (a list's marks, a subsection's head,
 * the length). */
int gw_values_walk(const struct gw_vmdesc_state *st, const uint8_t *body, size_t bytes, gw_value_fn fn, void *opaque,
                   struct gw_error *err);

/* Prints one value, as text or as JSON: numbers, true and false, arrays. Bytes become a string of hexadecimal digits,
 * or (not in JSON) of text if they are nothing but a terminated text. */
void gw_value_print(struct gw_text *t, const struct gw_value *value, bool json);

/* Prints all values: a line "path = value" each after the indent, or members of an open JSON object. */
int gw_values_print(struct gw_text *t, const struct gw_vmdesc_state *st, const uint8_t *body, size_t bytes, bool json,
                    const char *indent, struct gw_error *err);

/* Reports the differences of two bodies. a or b is NULL if only the other one has the path. Elements of arrays of the
 * same length are compared one by one (count 1, path with [k]); the order is that of the paths, with numbers in them by
 * value. */
typedef void (*gw_values_differ_fn)(void *opaque, const char *path, const struct gw_value *a, const struct gw_value *b);
int gw_values_diff(const struct gw_vmdesc_state *st_a, const uint8_t *body_a, size_t bytes_a,
                   const struct gw_vmdesc_state *st_b, const uint8_t *body_b, size_t bytes_b,
                   gw_values_differ_fn differ, void *opaque, struct gw_error *err);

#endif
