/* SPDX-License-Identifier: MIT
 *
 * image source: gives the pages of an image to a send.
 *
 * Pages come in the order of the blocks, each once. Threads read and unpack stripes ahead of the batch that is given, so
 * that reading, unpacking and sending overlap. A page's body stays in the buffer it was read into until the batch is
 * sent; nothing is copied. A page of zeros, known from the image or found by reading, is given as GW_FORM_ZERO.
 *
 * Nothing becomes due a second time, so a sync finds nothing. Requested pages are read separately, into memory of the
 * batch; the read-ahead position does not change.
 *
 * The expected pages (a working set) of a remote image are read first, by separate threads (expected.h).
 *
 * Memory: GW_IMAGE_SOURCE_AHEAD stripes, and one for each batch that was not sent yet: some 10 MiB for pages of 4 KiB.
 * Threads: as in ram/page/ops.h. The image is read by threads of the source between begin and end.
 */
#ifndef GW_IMAGE_SOURCE_H
#define GW_IMAGE_SOURCE_H

#include "image/image.h"
#include "ram/page/ops.h"

#define GW_IMAGE_SOURCE_STRIPE 128u /* pages */
#define GW_IMAGE_SOURCE_AHEAD  16u  /* stripes being read or waiting to be taken */

/* of_block: the image's number of each block of ram. All three stay until free. threads: 0: one per processor. */
int gw_source_image_new(struct gw_image *image, const struct gw_ram *ram, const unsigned *of_block, unsigned threads,
                        struct gw_source **ret, struct gw_error *err);

#endif
