/* SPDX-License-Identifier: MIT
 *
 * dirty source: pages that the guest wrote, in the order of the dirty bitmaps, block by block; one pass over all blocks is
 * a round.
 *
 * A page is taken (its bit cleared) only after its chunk was cleaned (ram/tracker/tracker.h), so the next sync finds a
 * later write: no page is lost between search and send. Bodies lie in guest memory, and the guest may write them while
 * they are sent.
 */
#ifndef GW_SOURCE_DIRTY_H
#define GW_SOURCE_DIRTY_H

#include "ram/page/ops.h"
#include "ram/tracker/tracker.h"

/* ram and tracker stay until free; begin starts the tracker, end stops it. holes: reports pages that were never touched
 * as zeros, without reading them, so that a migration does not make untouched memory resident. */
int gw_source_dirty_new(struct gw_ram *ram, struct gw_tracker *tracker, bool holes, struct gw_source **ret,
                        struct gw_error *err);

#endif
