/* SPDX-License-Identifier: MIT */
#include "base/crc32c.h"

/* One entry for four bits: small enough to be read here, and only machines without the instruction are slow. */
static const uint32_t nibble[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

uint32_t gw_crc32c_portable(uint32_t crc, const void *bytes, size_t count)
{
    const uint8_t *p = bytes;

    crc = ~crc;
    for (size_t i = 0; i < count; i++) {
        crc ^= p[i];
        crc = crc >> 4 ^ nibble[crc & 15];
        crc = crc >> 4 ^ nibble[crc & 15];
    }
    return ~crc;
}

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const uint8_t *p, size_t count)
{
    uint64_t c = (uint32_t)~crc;

    for (; count >= 8; count -= 8, p += 8) {
        uint64_t v;

        memcpy(&v, p, sizeof v);
        c = __builtin_ia32_crc32di(c, v);
    }
    crc = (uint32_t)c;
    for (; count; count--, p++)
        crc = __builtin_ia32_crc32qi(crc, *p);
    return ~crc;
}

uint32_t gw_crc32c(uint32_t crc, const void *bytes, size_t count)
{
    return __builtin_cpu_supports("sse4.2") ? crc32c_sse42(crc, bytes, count) : gw_crc32c_portable(crc, bytes, count);
}

#else

uint32_t gw_crc32c(uint32_t crc, const void *bytes, size_t count)
{
    return gw_crc32c_portable(crc, bytes, count);
}

#endif
