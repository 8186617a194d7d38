/* SPDX-License-Identifier: MIT
 *
 * once: a view of an image in which every stored page appears only at the first place that has it; all other places are
 * zeros. For readers that need each distinct page once: a file of a few kilobytes can describe RAM of any size that
 * repeats one page.
 *
 * Memory: a bit for each page of RAM, and one for each stored page.
 * Threads: as for any image once it is made.
 */
#ifndef GW_IMAGE_ONCE_H
#define GW_IMAGE_ONCE_H

#include "image/image.h"

/* For images whose ops have `numbers`; the image must stay. *ret_filled: the number of its pages that are not zeros.
 * Where the page numbers cannot be read, all places are kept, and reading them reports the error. -ENOMEM. */
int gw_once_new(struct gw_image *image, struct gw_image **ret_once, uint64_t *ret_filled, struct gw_error *err);
/* Takes NULL. */
void gw_once_free(struct gw_image *once);

#endif
