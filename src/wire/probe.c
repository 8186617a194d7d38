/* SPDX-License-Identifier: MIT */
#include "wire/probe.h"

#include "base/endian.h"
#include "wire/numbers.h"

#define VERSION 1u

void gw_probe_hello_put(uint8_t dst[GW_PROBE_HELLO_BYTES], uint32_t frames)
{
    gw_store_be32(dst, GW_WIRE_PROBE_MAGIC);
    gw_store_be32(dst + 4, VERSION);
    gw_store_be32(dst + 8, frames);
    gw_store_be32(dst + 12, 0);
}

int gw_probe_hello_get(const uint8_t src[GW_PROBE_HELLO_BYTES], uint32_t *ret_frames, struct gw_error *err)
{
    if (gw_load_be32(src) != GW_WIRE_PROBE_MAGIC)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "a probe of the link is answered with 0x%08x", gw_load_be32(src));
    if (gw_load_be32(src + 4) != VERSION)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "version %u of the probe of a link is not known, only %u",
                       gw_load_be32(src + 4), VERSION);
    *ret_frames = gw_load_be32(src + 8);
    return 0;
}

void gw_probe_result_put(uint8_t dst[GW_PROBE_RESULT_HEAD], uint32_t count)
{
    gw_store_be32(dst, GW_WIRE_PROBE_MAGIC);
    gw_store_be32(dst + 4, count);
}

int gw_probe_result_get(const uint8_t src[GW_PROBE_RESULT_HEAD], uint32_t count, struct gw_error *err)
{
    if (gw_load_be32(src) != GW_WIRE_PROBE_MAGIC || gw_load_be32(src + 4) != count)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "the probe of the link sent %u frames; the answer is 0x%08x and %u", count,
                       gw_load_be32(src), gw_load_be32(src + 4));
    return 0;
}
