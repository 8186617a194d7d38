/* SPDX-License-Identifier: MIT
 *
 * dump: what a program's devices consist of, as QEMU writes it with -dump-vmstate (docs/formats/schema.md). It lists
 * all types of devices that the program has, whatever machine it is asked for, and all their subsections; not the
 * sections that belong to no type (timer, cpu, apic).
 *
 * Hostile: the text may come from anyone. Its size, depth and number of values are bounded (json.h), names are
 * printable ASCII, numbers within bounds.
 */
#ifndef GW_DUMP_H
#define GW_DUMP_H

#include "godwit/state.h"
#include "state/json.h"

struct gw_dump_state;

struct gw_dump_field {
    const char *name;
    uint32_t since;   /* the version of its state that brought it */
    bool conditional; /* a test decides whether it is there */
    uint32_t nth;     /* how many fields of this name are before it */
    bool repeated;    /* there is another one of this name: a stream calls it NAME[nth] */
    uint64_t bytes;   /* of one element in memory; of plain values as on the wire; 0: it has no fixed size */
    uint64_t count;   /* of a fixed array; 1: one, or not told */
    const struct gw_dump_state *inside; /* NULL: a plain value */
};

struct gw_dump_state {
    const char *name;
    uint32_t version, oldest;
    const struct gw_dump_field *fields;
    const struct gw_dump_state *subsections;
    uint32_t field_count, subsection_count;
};

struct gw_dump_type {
    const char *name; /* "piix3-ide"; the name of its state is "ide" */
    struct gw_dump_state state;
};

struct gw_dump {
    const char *machine; /* "" where it is not told */
    const struct gw_dump_type *types;
    uint32_t type_count;
    bool tells_counts; /* of arrays: QEMU 7.2 does not, 10.0 does */
    struct gw_arena arena;
};

/* Whether the text looks like one. */
bool gw_dump_is(const struct gw_json *root);

#endif
