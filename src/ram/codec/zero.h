/* SPDX-License-Identifier: MIT
 *
 * zero codec: claims the pages that hold only zeros: those that nobody ever touched without looking at them, so that a
 * migration does not make an untouched machine resident; the others by reading.
 */
#ifndef GW_CODEC_ZERO_H
#define GW_CODEC_ZERO_H

#include "ram/page/ops.h"

/* The ram stays until free. Until begin, and where the kernel cannot tell, all pages are read. */
int gw_codec_zero_new(const struct gw_ram *ram, struct gw_codec **ret, struct gw_error *err);

#endif
