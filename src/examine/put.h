/* SPDX-License-Identifier: MIT
 *
 * put: writes parts of an image into a plain sparse file.
 */
#ifndef GW_IMAGE_PUT_H
#define GW_IMAGE_PUT_H

#include "examine/sweep.h"

/* bytes of the chunk that was read, from skip_bytes on, to offset in the file; pages of zeros stay holes. */
int gw_put_chunk(int fd, const struct gw_sweep *s, uint64_t skip_bytes, uint64_t bytes, uint64_t offset,
                 struct gw_error *err);
int gw_put_size(int fd, uint64_t bytes, struct gw_error *err);

#endif
