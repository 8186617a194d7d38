/* SPDX-License-Identifier: MIT
 *
 * inspect_parked: a machine without a stream, as the stream that it would be. Its pages are not written for that: a stored page
 * is read once and counted for all of its places, so a file takes as long as what is in it, and not as the RAM that it is of.
 */
#ifndef GW_EXAMINE_INSPECT_PARKED_H
#define GW_EXAMINE_INSPECT_PARKED_H

#include "examine/inspect.h"
#include "image/image.h"

/* The image, whose ops have `numbers`, stays the caller's. */
int gw_inspect_parked(struct gw_inspect *in, const char *name, struct gw_image *image, struct gw_error *err);
/* At the empty PART of an outline (image/stream/outline.h), which was counted: counts all PARTs that the RAM would be. */
int gw_inspect_parked_pages(struct gw_inspect *in, const struct gw_scan_section *part);

#endif
