/* SPDX-License-Identifier: MIT */
#include "wire/rarp.h"

#include "base/endian.h"
#include "wire/numbers.h"

void gw_rarp_put(uint8_t dst[GW_RARP_BYTES], const uint8_t mac[6])
{
    memset(dst, 0, GW_RARP_BYTES);
    memset(dst, 0xff, 6);
    memcpy(dst + 6, mac, 6);
    gw_store_be16(dst + 12, GW_WIRE_ETHERTYPE_RARP);
    gw_store_be16(dst + 14, GW_WIRE_RARP_ETHERNET);
    gw_store_be16(dst + 16, GW_WIRE_RARP_IPV4);
    dst[18] = 6;
    dst[19] = 4;
    gw_store_be16(dst + 20, GW_WIRE_RARP_REQUEST_REVERSE);
    memcpy(dst + 22, mac, 6);
    memcpy(dst + 32, mac, 6);
}
