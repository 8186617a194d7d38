/* SPDX-License-Identifier: MIT */
#include "ram/page/zero.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

/* The guest may write to its memory at any time: this is intended, and the dirty tracking handles it, so it is no data
 * race. */
#if defined(__SANITIZE_THREAD__)
#define GUEST_READER __attribute__((no_sanitize_thread))
#else
#define GUEST_READER
#endif

static uint64_t load64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof v);
    return v;
}

/* ---- portable ---- */

GUEST_READER static bool page_portable(const void *page, size_t bytes)
{
    const uint64_t *w = page;

    for (size_t i = 0; i < bytes / 8; i += 8)
        if (w[i] | w[i + 1] | w[i + 2] | w[i + 3] | w[i + 4] | w[i + 5] | w[i + 6] | w[i + 7])
            return false;
    return true;
}

/* Any address and length, with the variant's 256-byte steps in the middle; the unaligned ends are read with overlap,
 * not byte by byte. */
GUEST_READER static inline bool all_with(bool (*page)(const void *, size_t), const void *at, size_t bytes)
{
    const uint8_t *p = at, *end = p + bytes, *a = (const uint8_t *)(((uintptr_t)p + 63) & ~(uintptr_t)63);
    size_t middle = a < end ? (size_t)(end - a) & ~(size_t)255 : 0;

    if (bytes < 8) {
        uint8_t any = 0;

        while (p < end)
            any |= *p++;
        return !any;
    }
    if (middle) {
        for (; p < a && end - p >= 8; p += 8)
            if (load64(p))
                return false;
        if (!page(a, middle))
            return false;
        p = a + middle;
    }
    for (; end - p >= 8; p += 8)
        if (load64(p))
            return false;
    return !load64(end - 8);
}

#define VARIANT_ALL(x)                                                                                                 \
    static bool all_##x(const void *p, size_t bytes)                                                                   \
    {                                                                                                                  \
        return all_with(page_##x, p, bytes);                                                                           \
    }

VARIANT_ALL(portable)
static const struct gw_zero portable = {"portable", all_portable, page_portable};

#if defined(__x86_64__)

GUEST_READER static bool page_sse2(const void *page, size_t bytes)
{
    const __m128i *v = page, *end = v + bytes / 16;
    const __m128i zero = _mm_setzero_si128();

    for (; v < end; v += 8) {
        __m128i a = _mm_or_si128(_mm_load_si128(v), _mm_load_si128(v + 1));
        __m128i b = _mm_or_si128(_mm_load_si128(v + 2), _mm_load_si128(v + 3));
        __m128i c = _mm_or_si128(_mm_load_si128(v + 4), _mm_load_si128(v + 5));
        __m128i d = _mm_or_si128(_mm_load_si128(v + 6), _mm_load_si128(v + 7));

        a = _mm_or_si128(_mm_or_si128(a, b), _mm_or_si128(c, d));
        if (_mm_movemask_epi8(_mm_cmpeq_epi8(a, zero)) != 0xffff)
            return false;
    }
    return true;
}

__attribute__((target("avx2"))) GUEST_READER static bool page_avx2(const void *page, size_t bytes)
{
    const __m256i *v = page, *end = v + bytes / 32;

    for (; v < end; v += 8) {
        __m256i a = _mm256_or_si256(_mm256_load_si256(v), _mm256_load_si256(v + 1));
        __m256i b = _mm256_or_si256(_mm256_load_si256(v + 2), _mm256_load_si256(v + 3));
        __m256i c = _mm256_or_si256(_mm256_load_si256(v + 4), _mm256_load_si256(v + 5));
        __m256i d = _mm256_or_si256(_mm256_load_si256(v + 6), _mm256_load_si256(v + 7));

        a = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));
        if (!_mm256_testz_si256(a, a))
            return false;
    }
    return true;
}

__attribute__((target("avx512f"))) GUEST_READER static bool page_avx512(const void *page, size_t bytes)
{
    const uint8_t *p = page, *end = p + bytes;

    for (; p < end; p += 256) {
        __m512i a = _mm512_or_si512(_mm512_load_si512(p), _mm512_load_si512(p + 64));
        __m512i b = _mm512_or_si512(_mm512_load_si512(p + 128), _mm512_load_si512(p + 192));

        a = _mm512_or_si512(a, b);
        if (_mm512_test_epi64_mask(a, a))
            return false;
    }
    return true;
}

VARIANT_ALL(sse2)
VARIANT_ALL(avx2)
VARIANT_ALL(avx512)
static const struct gw_zero sse2 = {"sse2", all_sse2, page_sse2};
static const struct gw_zero avx2 = {"avx2", all_avx2, page_avx2};
static const struct gw_zero avx512 = {"avx512", all_avx512, page_avx512};

#elif defined(__aarch64__)

GUEST_READER static bool page_neon(const void *page, size_t bytes)
{
    const uint64_t *w = page, *end = w + bytes / 8;

    for (; w < end; w += 16) {
        uint64x2_t a = vorrq_u64(vld1q_u64(w), vld1q_u64(w + 2));
        uint64x2_t b = vorrq_u64(vld1q_u64(w + 4), vld1q_u64(w + 6));
        uint64x2_t c = vorrq_u64(vld1q_u64(w + 8), vld1q_u64(w + 10));
        uint64x2_t d = vorrq_u64(vld1q_u64(w + 12), vld1q_u64(w + 14));

        a = vorrq_u64(vorrq_u64(a, b), vorrq_u64(c, d));
        if (vgetq_lane_u64(a, 0) | vgetq_lane_u64(a, 1))
            return false;
    }
    return true;
}

VARIANT_ALL(neon)
static const struct gw_zero neon = {"neon", all_neon, page_neon};

#endif

const struct gw_zero *gw_zero_variant(unsigned i)
{
    const struct gw_zero *have[5];
    unsigned n = 0;

#if defined(__x86_64__)
    /* The speed is limited by memory: AVX-512 gains nothing, and was slower in every measured pair. */
    if (__builtin_cpu_supports("avx2"))
        have[n++] = &avx2;
    if (__builtin_cpu_supports("avx512f"))
        have[n++] = &avx512;
    have[n++] = &sse2;
#elif defined(__aarch64__)
    have[n++] = &neon;
#endif
    have[n++] = &portable;
    return i < n ? have[i] : NULL;
}

const struct gw_zero *gw_zero_pick(void)
{
    return gw_zero_variant(0);
}

GUEST_READER size_t gw_zero_first(const struct gw_zero *zero, const void *at, size_t bytes)
{
    const uint8_t *p = at;
    size_t i = 0;

    /* Finds the block with the wide variant, the byte with a loop. */
    while (bytes - i > 256 && zero->all(p + i, 256))
        i += 256;
    while (bytes - i >= 8 && !load64(p + i))
        i += 8;
    while (i < bytes && !p[i])
        i++;
    return i;
}

GUEST_READER uint64_t gw_zero_classify(const struct gw_zero *zero, const void *at, size_t page_bytes, uint64_t pages,
                                       uint64_t *map, uint64_t first)
{
    const uint8_t *p = at;
    uint64_t found = 0;

    for (uint64_t i = 0; i < pages; i++, p += page_bytes) {
        uint64_t bit = first + i, is = gw_zero_page(zero, p, page_bytes);

        map[bit / 64] = (map[bit / 64] & ~(1ull << (bit % 64))) | is << (bit % 64);
        found += is;
    }
    return found;
}
