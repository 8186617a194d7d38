/* SPDX-License-Identifier: MIT
 *
 * greeting: the first bytes of a channel that carries only pages: they identify the machine and the channel.
 *
 *      0  u32  0x11223344
 *      4  u32  1
 *      8       UUID of the machine, 16 bytes; zeros: it has none
 *     24  u8   number of the channel, from 0
 *     25       39 bytes, zeros; not checked
 */
#ifndef GW_WIRE_GREETING_H
#define GW_WIRE_GREETING_H

#include "base/base.h"

#define GW_GREETING_BYTES 64

struct gw_greeting {
    uint8_t uuid[16];
    uint8_t channel;
};

void gw_greeting_put(uint8_t dst[GW_GREETING_BYTES], const struct gw_greeting *g);
/* -EPROTO, blame PEER: another magic or version. */
int gw_greeting_get(const uint8_t src[GW_GREETING_BYTES], struct gw_greeting *ret, struct gw_error *err);

#endif
