/* SPDX-License-Identifier: MIT
 *
 * maps: what kind of memory is mapped at an address of this process, by /proc/self/maps.
 */
#ifndef GW_PAGE_MAPS_H
#define GW_PAGE_MAPS_H

#include "base/base.h"

enum gw_maps_kind {
    GW_MAPS_HOLES,     /* not all of it is mapped */
    GW_MAPS_ANONYMOUS, /* all private anonymous memory of small or transparent huge pages: what was never touched reads
                        * as zeros, and nothing but this mapping changes it */
    GW_MAPS_SHARED,    /* all of it shared with other mappings: of a file, memfd, shared anonymous, huge TLB pages of these kinds */
    GW_MAPS_OTHER,     /* private, of a file or of huge TLB pages, or some of it so */
};

int gw_maps_kind(uintptr_t start, uintptr_t end, enum gw_maps_kind *ret, struct gw_error *err);

#endif
