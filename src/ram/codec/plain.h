/* SPDX-License-Identifier: MIT
 *
 * plain codec: claims every page that is still open; it goes as it is. The last of every chain.
 */
#ifndef GW_CODEC_PLAIN_H
#define GW_CODEC_PLAIN_H

#include "ram/page/ops.h"

void gw_codec_plain_init(struct gw_codec *c);

#endif
