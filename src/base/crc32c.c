/* SPDX-License-Identifier: MIT */
#include "base/crc32c.h"

/* One entry for four bits: a small table, since only machines without the instruction need it. */
static const uint32_t nibble[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

static uint32_t portable(uint32_t crc, const void *bytes, size_t count)
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

static const struct gw_crc32c variant_portable = {"portable", portable};

#if defined(__x86_64__)

#include <immintrin.h>

__attribute__((target("sse4.2"))) static uint32_t serial(uint32_t c, const uint8_t *p, size_t count)
{
    uint64_t crc = c;

    for (; count >= 8; count -= 8, p += 8) {
        uint64_t v;

        memcpy(&v, p, sizeof v);
        crc = _mm_crc32_u64(crc, v);
    }
    c = (uint32_t)crc;
    for (; count; count--, p++)
        c = _mm_crc32_u8(c, *p);
    return c;
}

__attribute__((target("sse4.2"))) static uint32_t sse42(uint32_t crc, const void *bytes, size_t count)
{
    return ~serial(~crc, bytes, count);
}

/* The instruction has a latency of three cycles, and one can start in each cycle: three lanes of the data in parallel
 * take as long as one. To combine them, a lane's CRC is multiplied by x^(8 n) for the n bytes that follow it. The
 * product of two reflected 32-bit polynomials a and b by pclmul, fed to the instruction as data, results in a b x^33:
 * `after` is x^(8 n - 33) mod P, reflected. */
struct lanes {
    size_t bytes;            /* size of one lane: a multiple of 8 */
    uint32_t after1, after2; /* for n = one lane, and two */
};
static const struct lanes lanes_long = {1024, 0x170076fa, 0xa51b6135}, lanes_short = {128, 0x0d3b6092, 0xb9e02b86};

__attribute__((target("sse4.2,pclmul"))) static inline const uint8_t *in_lanes(const struct lanes *l, uint32_t *crc,
                                                                               const uint8_t *p, size_t *count)
{
    for (; *count >= 3 * l->bytes; *count -= 3 * l->bytes, p += 3 * l->bytes) {
        uint64_t a = *crc, b = 0, c = 0, u, v, w;
        __m128i x, y;

        for (size_t i = 0; i < l->bytes; i += 8) {
            memcpy(&u, p + i, 8);
            memcpy(&v, p + l->bytes + i, 8);
            memcpy(&w, p + 2 * l->bytes + i, 8);
            a = _mm_crc32_u64(a, u);
            b = _mm_crc32_u64(b, v);
            c = _mm_crc32_u64(c, w);
        }
        x = _mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)a), _mm_cvtsi32_si128((int)l->after2), 0);
        y = _mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)b), _mm_cvtsi32_si128((int)l->after1), 0);
        *crc = (uint32_t)(_mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(_mm_xor_si128(x, y))) ^ c);
    }
    return p;
}

__attribute__((target("sse4.2,pclmul"))) static uint32_t sse42_lanes(uint32_t crc, const void *bytes, size_t count)
{
    const uint8_t *p = bytes;

    crc = ~crc;
    p = in_lanes(&lanes_long, &crc, p, &count);
    p = in_lanes(&lanes_short, &crc, p, &count);
    return ~serial(crc, p, count);
}

static const struct gw_crc32c variant_sse42 = {"sse4.2", sse42}, variant_lanes = {"sse4.2 lanes", sse42_lanes};

const struct gw_crc32c *gw_crc32c_variant(unsigned i)
{
    if (!__builtin_cpu_supports("sse4.2"))
        i += 2;
    else if (!__builtin_cpu_supports("pclmul"))
        i++;
    return i == 0 ? &variant_lanes : i == 1 ? &variant_sse42 : i == 2 ? &variant_portable : NULL;
}

#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)

#include <arm_acle.h>

static uint32_t armv8(uint32_t crc, const void *bytes, size_t count)
{
    const uint8_t *p = bytes;

    crc = ~crc;
    for (; count >= 8; count -= 8, p += 8) {
        uint64_t v;

        memcpy(&v, p, sizeof v);
        crc = __crc32cd(crc, v);
    }
    for (; count; count--, p++)
        crc = __crc32cb(crc, *p);
    return ~crc;
}

static const struct gw_crc32c variant_armv8 = {"armv8", armv8};

const struct gw_crc32c *gw_crc32c_variant(unsigned i)
{
    return i == 0 ? &variant_armv8 : i == 1 ? &variant_portable : NULL;
}

#else

const struct gw_crc32c *gw_crc32c_variant(unsigned i)
{
    return i == 0 ? &variant_portable : NULL;
}

#endif

uint32_t gw_crc32c(uint32_t crc, const void *bytes, size_t count)
{
    return gw_crc32c_variant(0)->of(crc, bytes, count);
}
