/* SPDX-License-Identifier: MIT
 *
 * around: a source around another one, which passes all calls on. A plug built on it replaces the functions that it
 * implements itself.
 *
 * Threads: as in ram/page/ops.h.
 */
#ifndef GW_SOURCE_AROUND_H
#define GW_SOURCE_AROUND_H

#include "ram/page/ops.h"

struct gw_around {
    struct gw_source source;
    struct gw_source *inner; /* `free` frees it; a replacement of `free` must do that too */
};

/* Functions that the inner source does not have are NULL here too. source.free stays NULL. */
void gw_around_init(struct gw_around *around, struct gw_source *take_inner);

#endif
