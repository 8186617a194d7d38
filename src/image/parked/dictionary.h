/* SPDX-License-Identifier: MIT
 *
 * dictionary: contents that many frames of a parked file share, so that each frame compresses as if it followed the
 * others, but can be unpacked alone.
 *
 * It is pages of the image itself, taken at equal distances from those that are neither zeros, copies nor
 * incompressible: frequent contents are likely among them. docs/decisions/dictionary.md has the measurements.
 *
 * Memory: up to GW_PARKED_SAMPLE_BYTES while it is made.
 */
#ifndef GW_IMAGE_PARKED_DICTIONARY_H
#define GW_IMAGE_PARKED_DICTIONARY_H

#include "image/parked/parked.h"

#define GW_PARKED_SAMPLE_BYTES     (8u << 20)  /* bytes of pages that are examined */
#define GW_PARKED_DICTIONARY_USUAL (2u << 20)  /* the largest size in bytes */
#define GW_PARKED_DICTIONARY_LEAST (64u << 10) /* the smallest size in bytes */
#define GW_PARKED_DICTIONARY_SHARE 64u        /* one dictionary byte for this many bytes of pages that are not zeros */

/* Bytes for gw_dictionary_new, malloc'd; NULL: the image has too few suitable pages. The result is deterministic.
 * -ENOMEM; errors of reading the image. */
int gw_parked_dictionary(struct gw_image *image, uint8_t **ret, size_t *ret_bytes, struct gw_error *err);
/* Whether sample frames are at least one fortieth smaller with it than when packed at plain_level without it. */
int gw_parked_dictionary_pays(struct gw_image *image, uint32_t frame_pages, const struct gw_dictionary *dictionary, int plain_level,
                              bool *ret, struct gw_error *err);

#endif
