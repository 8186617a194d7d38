/* SPDX-License-Identifier: MIT
 *
 * around: a source around another one, which passes everything on. What a source like that does itself it sets in place.
 *
 * Threads: as in ram/page/ops.h.
 */
#ifndef GW_SOURCE_AROUND_H
#define GW_SOURCE_AROUND_H

#include "ram/page/ops.h"

struct gw_around {
    struct gw_source source;
    struct gw_source *inner; /* freed by `free`, which is to free the rest, too */
};

/* What the other one does not have, this one does not have either. source.free is left NULL. */
void gw_around_init(struct gw_around *around, struct gw_source *take_inner);

#endif
