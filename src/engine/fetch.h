/* SPDX-License-Identifier: MIT
 *
 * fetch: contents of an image's pages, as the first codec of a source's chain.
 *
 * A batch that comes out has no open page: what is zeros is claimed as such, all others have their contents in
 * batch->body. Some threads read ahead in the order of a first pass, a stripe of pages each, so that unpacking, reading
 * and sending overlap; whoever asks in another order is served too, without their help.
 *
 * Bodies lie where they were read to, as long as a writer may reference them: a stripe's memory is read to again when
 * GW_FETCH_KEPT further pages were given out. Where a batch takes less than half of a stripe, its pages are copied
 * instead, so that there is an end to the stripes that are held.
 *
 * Memory: GW_FETCH_AHEAD stripes, those that are held, and copies: together 28 MiB for pages of 4 KiB.
 * Threads: the codec belongs to the session's thread.
 */
#ifndef GW_ENGINE_FETCH_H
#define GW_ENGINE_FETCH_H

#include "image/image.h"
#include "ram/page/ops.h"

#define GW_FETCH_STRIPE 128u /* pages */
#define GW_FETCH_AHEAD  16u  /* stripes that are read, or wait to be asked for */
/* Pages stay for so many others: more than a writer references before it flushes. */
#define GW_FETCH_KEPT (GW_WRITER_VECTORS + GW_BATCH_PAGES + 1)
#define GW_FETCH_HALF (GW_FETCH_STRIPE / 2)
#define GW_FETCH_HELD (GW_FETCH_KEPT / GW_FETCH_HALF + 2) /* stripes */

struct gw_fetch;

/* The image and the ram (whose blocks are those of the image, numbered by of_block) stay until free. */
int gw_fetch_new(struct gw_image *image, const struct gw_ram *ram, const unsigned *of_block, struct gw_fetch **ret,
                 struct gw_error *err);
struct gw_codec *gw_fetch_codec(struct gw_fetch *f);
struct gw_fetch *gw_fetch_free(struct gw_fetch *f);

#endif
