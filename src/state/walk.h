/* SPDX-License-Identifier: MIT
 *
 * walk: the one traversal of a description. It decides which fields are present, how many elements there are and where
 * they are in memory; a visitor does everything else (encode, decode, schema).
 *
 *     enter  field*  subsections  leave          for each description, nested ones inside `element`
 *     field: leaf                                 all elements of values at once
 *          | (element (nested | null))*           structures, arrays of pointers
 *          | list                                 the visitor walks the elements itself
 *
 * A walk without memory (base NULL, `dry`) visits every field once, whatever `when` says, and one element of each.
 *
 * Errors: the visitor fails with gw_spot_fail, so that each message has the field's path and offset; the walk stops.
 */
#ifndef GW_WALK_H
#define GW_WALK_H

#include "state/describe.h"

/* A field that is being visited. On the stack; inner descriptions see the outer ones. */
struct gw_spot {
    const struct gw_spot *outer;  /* the field (or subsection: field NULL) that this one is nested in */
    const struct gw_state *state; /* its description */
    const struct gw_field *field;
    void *base;       /* the structure */
    uint32_t version; /* version of the description on the wire */
    uint32_t count;   /* number of elements; dry: 1 */
    uint32_t index;   /* index of the current element */
    uint32_t length;  /* variable buffer or bitmap: the value of its count member */
    uint64_t bytes;   /* leaf: size of one element on the wire; otherwise of one in memory */
    uint64_t at;      /* offset in the stream at which the field begins */
};

static inline uint64_t gw_spot_bits(const struct gw_spot *spot)
{
    return gw_field_count_is_length(spot->field) ? spot->length : spot->field->size;
}

struct gw_walk;

struct gw_visitor {
    /* At the begin and end of a description. leave is called after every enter that succeeded, with the result so far,
     * and returns the final one. */
    int (*enter)(struct gw_walk *walk, const struct gw_state *st, uint32_t version, void *base);
    int (*leave)(struct gw_walk *walk, const struct gw_state *st, uint32_t version, void *base, int result);
    int (*subsections)(struct gw_walk *walk, const struct gw_state *st, void *base, const struct gw_spot *outer);
    /* n elements of spot->bytes each, contiguous in memory at p. */
    int (*leaf)(struct gw_walk *walk, struct gw_spot *spot, void *p, uint32_t n);
    /* Before (begin) and after each structure, and each element of an array of pointers. */
    int (*element)(struct gw_walk *walk, struct gw_spot *spot, bool begin);
    int (*null)(struct gw_walk *walk, struct gw_spot *spot);
    int (*list)(struct gw_walk *walk, struct gw_spot *spot);
    /* The target of a pointer that is not NULL. */
    int (*pointee)(struct gw_walk *walk, struct gw_spot *spot, void **slot, size_t bytes, void **ret);
    uint64_t (*offset)(const struct gw_walk *walk);
    enum gw_blame blame; /* for errors of a count out of range and of a failed check */
};

struct gw_walk {
    const struct gw_visitor *visitor;
    bool dry;
    unsigned depth;
    struct gw_error *err;
};

int gw_walk_state(struct gw_walk *walk, const struct gw_state *st, uint32_t version, void *base,
                  const struct gw_spot *outer);

/* gw_fail with "field PATH at byte N: " before the message. */
int gw_spot_fail(struct gw_walk *walk, const struct gw_spot *spot, int code, enum gw_blame blame, const char *fmt, ...)
    GW_PRINTF(5, 6);
/* Adds the path to an existing message. Returns code. */
int gw_spot_context(struct gw_walk *walk, const struct gw_spot *spot, int code);
/* A hook has failed with code: ensures that there is a message and a blame. Returns code. */
int gw_hook_failed(struct gw_walk *walk, const struct gw_state *st, const char *hook, int code);

#endif
