/* SPDX-License-Identifier: MIT
 *
 * probe: the messages by which a godwit measures the link to another one (docs/formats/extensions.md).
 *
 *     HELLO   16 bytes, from the side that measures      0  u32  0x67647770 ("gdwp")
 *     READY   16 bytes, the answer             4  u32  1
 *                                              8  u32  HELLO: 0; READY: maximum number of frames
 *                                             12  u32  0
 *     frames: u32 1, then GW_PROBE_FRAME bytes; u32 0: no more
 *     RESULT  u32 0x67647770, u32 count, count times u64: ns from READY until this frame was complete
 */
#ifndef GW_WIRE_PROBE_H
#define GW_WIRE_PROBE_H

#include "base/base.h"

#define GW_PROBE_HELLO_BYTES 16u
#define GW_PROBE_FRAME       65536u
#define GW_PROBE_FRAMES      512u
#define GW_PROBE_RESULT_HEAD 8u

void gw_probe_hello_put(uint8_t dst[GW_PROBE_HELLO_BYTES], uint32_t frames);
/* -EPROTO, blame PEER: another magic or version. */
int gw_probe_hello_get(const uint8_t src[GW_PROBE_HELLO_BYTES], uint32_t *ret_frames, struct gw_error *err);
void gw_probe_result_put(uint8_t dst[GW_PROBE_RESULT_HEAD], uint32_t count);
/* -EPROTO, blame PEER: the count is not the number of frames that were sent. */
int gw_probe_result_get(const uint8_t src[GW_PROBE_RESULT_HEAD], uint32_t count, struct gw_error *err);

#endif
