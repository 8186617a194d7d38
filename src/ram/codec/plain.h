/* SPDX-License-Identifier: MIT
 *
 * plain codec: claims every page that is still open, and sends it unchanged. The last codec of every chain.
 */
#ifndef GW_CODEC_PLAIN_H
#define GW_CODEC_PLAIN_H

#include "ram/page/ops.h"

int gw_codec_plain_new(struct gw_codec **ret, struct gw_error *err);

#endif
