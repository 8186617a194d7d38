/* SPDX-License-Identifier: MIT
 *
 * zero codec: claims the pages that hold only zeros, by reading their bodies.
 */
#ifndef GW_CODEC_ZERO_H
#define GW_CODEC_ZERO_H

#include "ram/page/ops.h"

int gw_codec_zero_new(struct gw_codec **ret, struct gw_error *err);

#endif
