/* SPDX-License-Identifier: MIT
 *
 * maps: finds out from /proc/self/maps what kind of memory is mapped at an address of this process.
 */
#ifndef GW_PAGE_MAPS_H
#define GW_PAGE_MAPS_H

#include "base/base.h"

enum gw_maps_kind {
    GW_MAPS_HOLES,     /* not all of it is mapped */
    /* all private anonymous memory of small or transparent huge pages: untouched memory reads as zeros, and can only be
     * changed through this mapping */
    GW_MAPS_ANONYMOUS,
    GW_MAPS_SHARED,    /* all of it shared with other mappings: of a file, memfd, shared anonymous, huge TLB pages of these kinds */
    GW_MAPS_OTHER,     /* at least partly private memory of a file or of huge TLB pages */
};

int gw_maps_kind(uintptr_t start, uintptr_t end, enum gw_maps_kind *ret, struct gw_error *err);

#endif
