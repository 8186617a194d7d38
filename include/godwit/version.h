/* SPDX-License-Identifier: MIT
 *
 * version: versions of headers and library, and the rules by which structs can grow.
 *
 * Structs that a program fills, or that are filled for it, may get new members at their end in a later version. So the
 * library is always told the size that the program was compiled with:
 *
 * - For a struct that is read or filled during one call, the size is passed beside the pointer. gw_send_start, gw_send_stats
 *   and the like are inline functions that pass sizeof to gw_send_start_sized, gw_send_stats_sized, ...; the library exports
 *   the latter, and bindings for other languages call them.
 * - A table or struct that is reached through a pointer in another struct begins with its own size, `bytes`. Its
 *   initialiser begins with GW_SIZED: `static const struct gw_vm_ops ops = {GW_SIZED(struct gw_vm_ops), .stop = stop};`
 * - Tables of device fields have a version number of their layout, GW_STATE_ABI (state.h).
 *
 * If a struct is smaller than the library's, missing members are taken as zero, which is always the default. A larger one is
 * accepted if the rest is zero; otherwise it uses members that this library does not know: -E2BIG, GW_BLAME_CALLER. A size of
 * 0, or one without the mandatory members, is refused with -EINVAL. Structs that the library passes to callbacks
 * (events, records, faults) may grow at their end; programs must not copy them by size.
 *
 * Never changed: struct gw_error, and elements of arrays (struct gw_kvm_slot, struct gw_elf_place). struct gw_channel
 * and struct gw_uri have reserved members, which are zero.
 */
#ifndef GODWIT_VERSION_H
#define GODWIT_VERSION_H

#include <stdbool.h>
#include <stddef.h>

#include "godwit/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Version of these headers. */
#define GW_VERSION_MAJOR 0
#define GW_VERSION_MINOR 1
#define GW_VERSION_PATCH 0
#define GW_VERSION_NUMBER(major, minor, patch) ((major) * 1000000u + (minor) * 1000u + (patch))
#define GW_VERSION GW_VERSION_NUMBER(GW_VERSION_MAJOR, GW_VERSION_MINOR, GW_VERSION_PATCH)

/* Version of the library in use: as a number to compare with GW_VERSION, and as text ("0.1.0"). */
GW_API unsigned gw_version(void);
GW_API const char *gw_version_text(void);

/* An optional dependency of the library; n counts from 0. */
struct gw_version_part {
    const char *name;    /* "zlib" */
    const char *version; /* the version it was built with ("1.2.13"); "": built without it, and features that need it are refused */
    const char *use;     /* what it is used for */
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
