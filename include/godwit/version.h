/* SPDX-License-Identifier: MIT
 *
 * version: which version of the headers a program is compiled with, which library it runs with, and how structs grow.
 *
 * Structs that a program fills, or has filled, may get new members at their end in a later version. So the library is
 * always told the size that the program knows:
 *
 * - Of a struct that is read or filled during one call the size stands beside the pointer. gw_send_start, gw_send_stats
 *   and the like are inline functions that pass sizeof to gw_send_start_sized, gw_send_stats_sized, ...; those are
 *   what the library exports, and what bindings for other languages call.
 * - A table or struct that is reached through a pointer in another struct begins with its own size, `bytes`. Its
 *   initialiser begins with GW_SIZED: `static const struct gw_vm_ops ops = {GW_SIZED(struct gw_vm_ops), .stop = stop};`
 * - Tables of device fields have a number of their layout, GW_STATE_ABI (state.h).
 *
 * A struct smaller than the library's: what is missing is zero, which is always the default. A larger one is taken when
 * the rest is zero; else it asks for something that this library does not know: -E2BIG, GW_BLAME_CALLER. A size of 0, or
 * one too small for what every program must say, is refused with -EINVAL. Structs that the library shows to callbacks
 * (events, records, faults) may grow at their end; programs do not copy them by their size.
 *
 * Never changed: struct gw_error, and elements of arrays (struct gw_kvm_slot, struct gw_elf_place). struct gw_channel
 * and struct gw_uri have reserved room, which is zero.
 */
#ifndef GODWIT_VERSION_H
#define GODWIT_VERSION_H

#include <stdbool.h>
#include <stddef.h>

#include "godwit/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Of these headers. */
#define GW_VERSION_MAJOR 0
#define GW_VERSION_MINOR 1
#define GW_VERSION_PATCH 0
#define GW_VERSION_NUMBER(major, minor, patch) ((major) * 1000000u + (minor) * 1000u + (patch))
#define GW_VERSION GW_VERSION_NUMBER(GW_VERSION_MAJOR, GW_VERSION_MINOR, GW_VERSION_PATCH)

/* Of the library that the program runs with: a number to compare with GW_VERSION, and text ("0.1.0"). */
GW_API unsigned gw_version(void);
GW_API const char *gw_version_text(void);

/* What the library was built with, one part after the other from 0 on. */
struct gw_version_part {
    const char *name;    /* "zlib" */
    const char *version; /* of what it was built with ("1.2.13"); "": it was built without, and what needs it is refused */
    const char *use;     /* what it is for */
};
/* false: there is no part n. The texts are constant. Any thread. */
GW_API bool gw_version_part_sized(unsigned n, struct gw_version_part *ret_part, size_t part_bytes);
static inline bool gw_version_part(unsigned n, struct gw_version_part *ret_part)
{
    return gw_version_part_sized(n, ret_part, sizeof *ret_part);
}

/* The first initialiser of a table or struct that begins with its size. */
#define GW_SIZED(type) .bytes = sizeof(type)

#ifdef __cplusplus
}
#endif
#endif
