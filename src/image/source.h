/* SPDX-License-Identifier: MIT
 *
 * image source: pages of an image on their way out.
 *
 * Pages come in the order of the blocks, each once. Threads read and unpack stripes ahead of the batch that is given, so
 * that reading, unpacking and sending overlap. A body lies where it was read to until the batch is sent; nothing is
 * copied. A page that is zeros, because the image says so or because that was read, is given as GW_FORM_ZERO.
 *
 * Nothing becomes due a second time, so a sync finds nothing. Pages that are asked for are read by themselves, into memory of
 * the batch, and do not move what is read ahead.
 *
 * What is expected of an image that is far away (a working set) is read ahead in front of all else, by threads of its own (expected.h).
 *
 * Memory: GW_IMAGE_SOURCE_AHEAD stripes, and one for each batch that was not sent yet: some 10 MiB for pages of 4 KiB.
 * Threads: as in ram/page/ops.h. The image is read by threads of the source between begin and end.
 */
#ifndef GW_IMAGE_SOURCE_H
#define GW_IMAGE_SOURCE_H

#include "image/image.h"
#include "ram/page/ops.h"

#define GW_IMAGE_SOURCE_STRIPE 128u /* pages */
#define GW_IMAGE_SOURCE_AHEAD  16u  /* stripes that are read, or wait to be asked for */

/* of_block: the image's number of each block of ram. All three stay until free. threads: 0: one per processor. */
int gw_source_image_new(struct gw_image *image, const struct gw_ram *ram, const unsigned *of_block, unsigned threads,
                        struct gw_source **ret, struct gw_error *err);

#endif
