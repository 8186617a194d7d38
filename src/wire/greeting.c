/* SPDX-License-Identifier: MIT */
#include "wire/greeting.h"

#include "base/endian.h"
#include "wire/numbers.h"

#define VERSION 1u

void gw_greeting_put(uint8_t dst[GW_GREETING_BYTES], const struct gw_greeting *g)
{
    memset(dst, 0, GW_GREETING_BYTES);
    gw_store_be32(dst, GW_WIRE_MULTIFD_MAGIC);
    gw_store_be32(dst + 4, VERSION);
    memcpy(dst + 8, g->uuid, sizeof g->uuid);
    dst[24] = g->channel;
}

int gw_greeting_get(const uint8_t src[GW_GREETING_BYTES], struct gw_greeting *ret, struct gw_error *err)
{
    uint32_t magic = gw_load_be32(src), version = gw_load_be32(src + 4);

    if (magic != GW_WIRE_MULTIFD_MAGIC)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "a multifd channel begins with 0x%08x instead of 0x%08x", magic,
                       GW_WIRE_MULTIFD_MAGIC);
    if (version != VERSION)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "multifd version %u is not known, only %u", version, VERSION);
    memcpy(ret->uuid, src + 8, sizeof ret->uuid);
    ret->channel = src[24];
    return 0;
}
