/* SPDX-License-Identifier: MIT
 *
 * once: a view of an image in which every stored page appears at the first of its places only, and all other places are zeros. For
 * readers that need each distinct page once: in a file of a few kilobytes one page may be at so many places that RAM of any size
 * would have to be read.
 *
 * Memory: a bit for each page of RAM, and one for each stored page.
 * Threads: as for any image once it is made.
 */
#ifndef GW_IMAGE_ONCE_H
#define GW_IMAGE_ONCE_H

#include "image/image.h"

/* For images whose ops have `numbers`; the image must stay. *ret_filled: how many pages it has that are no zeros. Where it
 * cannot be told which page is where, each of the places is kept, and reading it says why. -ENOMEM. */
int gw_once_new(struct gw_image *image, struct gw_image **ret_once, uint64_t *ret_filled, struct gw_error *err);
/* Takes NULL. */
void gw_once_free(struct gw_image *once);

#endif
