/* SPDX-License-Identifier: MIT
 *
 * put: writes parts of an image into a plain sparse file. Errors name the file.
 */
#ifndef GW_IMAGE_PUT_H
#define GW_IMAGE_PUT_H

#include "examine/sweep.h"

int gw_put_part(const struct gw_image_out *out, const void *data, size_t bytes, uint64_t at, struct gw_error *err);
/* Writes the chunk that was read; pages of zeros stay holes. */
int gw_put_chunk(const struct gw_image_out *out, const struct gw_sweep *s, uint64_t at, struct gw_error *err);
int gw_put_size(const struct gw_image_out *out, uint64_t bytes, struct gw_error *err);

#endif
