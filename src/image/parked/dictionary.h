/* SPDX-License-Identifier: MIT
 *
 * dictionary: what a parked file's frames have in common, so that each can be packed as if it had seen the others, and is still
 * unpacked alone.
 *
 * It is pages of the image itself, taken at even distances from those that are neither zeros, copies nor noise: what is often
 * in memory is likely in it. docs/decisions/dictionary.md has the measurements.
 *
 * Memory: up to GW_PARKED_SAMPLE_BYTES while it is made.
 */
#ifndef GW_IMAGE_PARKED_DICTIONARY_H
#define GW_IMAGE_PARKED_DICTIONARY_H

#include "image/parked/parked.h"

#define GW_PARKED_SAMPLE_BYTES     (8u << 20)  /* of pages that are looked at */
#define GW_PARKED_DICTIONARY_USUAL (2u << 20)  /* bytes: of the largest that is made, */
#define GW_PARKED_DICTIONARY_LEAST (64u << 10) /* and of the smallest */
#define GW_PARKED_DICTIONARY_SHARE 64u        /* it has one byte for so many of the pages that are no zeros */

/* Bytes for gw_dictionary_new, malloc'd; NULL: the image has too little. The same for the same image. -ENOMEM; what reading
 * the image returns. */
int gw_parked_dictionary(struct gw_image *image, uint8_t **ret, size_t *ret_bytes, struct gw_error *err);
/* Whether frames here and there are smaller by a fortieth and more with it than packed at plain_level without. */
int gw_parked_dictionary_pays(struct gw_image *image, uint32_t frame_pages, const struct gw_dictionary *dictionary, int plain_level,
                              bool *ret, struct gw_error *err);

#endif
