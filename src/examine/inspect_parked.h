/* SPDX-License-Identifier: MIT
 *
 * inspect_parked: inspects a machine that is not stored as a stream as if it were one. Its pages are not written: each
 * stored page is read once and counted for all of its places, so the time depends on the file's size, not on the RAM's.
 */
#ifndef GW_EXAMINE_INSPECT_PARKED_H
#define GW_EXAMINE_INSPECT_PARKED_H

#include "examine/inspect.h"
#include "image/image.h"

/* The image, whose ops have `numbers`, stays the caller's. */
int gw_inspect_parked(struct gw_inspect *in, const char *name, struct gw_image *image, struct gw_error *err);
/* Called at the empty PART of an outline (image/stream/outline.h), already counted itself: counts all PARTs that the
 * RAM would need. */
int gw_inspect_parked_pages(struct gw_inspect *in, const struct gw_scan_section *part);

#endif
