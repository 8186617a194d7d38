/* SPDX-License-Identifier: MIT
 *
 * dump: the state of a program's devices, as QEMU describes it with -dump-vmstate (docs/formats/schema.md). It lists
 * all device types of the program, for any machine type, and all their subsections; not the sections that belong to no
 * type (timer, cpu, apic).
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
    uint32_t since;   /* the version of the state that introduced it */
    bool conditional; /* a test decides whether it is present */
    uint32_t nth;     /* number of fields of this name before it */
    bool repeated;    /* other fields have this name: a stream calls it NAME[nth] */
    uint64_t bytes;   /* size of one element in memory; for plain values as on the wire; 0: no fixed size */
    uint64_t count;   /* elements of a fixed array; 1: one, or unknown */
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
    const char *machine; /* "" if it is not given */
    const struct gw_dump_type *types;
    uint32_t type_count;
    bool tells_counts; /* array counts are given: not by QEMU 7.2, by 10.0 */
    struct gw_arena arena;
};

/* Whether the text looks like a dump. */
bool gw_dump_is(const struct gw_json *root);

#endif
