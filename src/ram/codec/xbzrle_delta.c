/* SPDX-License-Identifier: MIT */
#include "ram/codec/xbzrle_delta.h"

#include <assert.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* How encode works: the comparison makes a bitmap of the changed bytes; only this part is vectorised. Only the words of
 * the bitmap that are not 0 are processed further: gaps of one or two bytes are closed, and each run of bits is written
 * as one pair. If so much changed that the delta may not fit, the bits are counted first. */
#define STRIP     64u /* words of the bitmap that are summarised in one word of `busy` */
#define WORDS_MAX (GW_XBZRLE_PAGE_MAX / 64)
#define OVERCOPY  32 /* bytes that a short run always copies, if there is room */
#define WORD_MAX  72 /* a word of the bitmap makes fewer bytes of the delta: 64 new ones, or at most 16 runs of one */

#define INLINE static inline __attribute__((always_inline))

struct changes {
    /* bit i % 64 of word[1 + i / 64]: byte i changed; the first and the last word are 0 */
    uint64_t word[WORDS_MAX + 2];
    uint64_t busy[WORDS_MAX / STRIP]; /* bit i % 64 of busy[i / 64]: word[1 + i] is not 0 */
};

/* One strip: fills word[0] to word[n - 1], n <= 64, and returns the word of `busy`. */
typedef uint64_t diff_fn(const uint8_t *restrict a, const uint8_t *restrict b, uint32_t n, uint64_t *restrict word);

struct out {
    uint8_t *begin, *at, *end;
    const uint8_t *page;
    uint32_t page_bytes;
    uint32_t done; /* bytes of the page that are encoded */
};

INLINE uint8_t *put_number(uint8_t *at, uint32_t n)
{
    bool two = n > 0x7f;

    /* Both bytes, without a branch; if the second is not needed, the next write replaces it. */
    at[0] = (uint8_t)((n & 0x7f) | (uint32_t)two << 7);
    at[1] = (uint8_t)(n >> 7);
    return at + 1 + two;
}

/* false: no room. */
INLINE bool put_pair(struct out *o, uint32_t same, uint32_t changed)
{
    const uint8_t *from = o->page + o->done + same;
    uint32_t need = 2 + (same > 0x7f) + (changed > 0x7f) + changed;

    if (need > (size_t)(o->end - o->at))
        return false;
    o->done += same + changed;
    o->at = put_number(o->at, same);
    /* At least one changed byte follows, so the second byte of a number is always within the buffer. */
    o->at = put_number(o->at, changed);
    if (changed <= OVERCOPY && o->end - o->at >= OVERCOPY && o->done - changed + OVERCOPY <= o->page_bytes)
        memcpy(o->at, from, OVERCOPY);
    else
        memcpy(o->at, from, changed);
    o->at += changed;
    return true;
}

INLINE bool put_run(struct out *o, uint32_t start, uint32_t end)
{
    if (o->page_bytes > GW_XBZRLE_RUN_MAX) {
        if (end - start > GW_XBZRLE_RUN_MAX)
            return false;
        for (uint32_t same; (same = start - o->done) > GW_XBZRLE_RUN_MAX;)
            /* At least one byte is left for the next pair, whose first number may not be 0. */
            if (!put_pair(o, GW_MIN(GW_XBZRLE_RUN_MAX, same - 2), 1))
                return false;
    }
    return put_pair(o, start - o->done, end - start);
}

/* The first two bits that follow a word. */
INLINE uint64_t dilated(uint64_t before, uint64_t word)
{
    return word | word << 1 | word << 2 | before >> 63 | before >> 62;
}

/* Sets the bits of gaps of one and two bits between set bits; also looks at the bits next to the word. */
INLINE uint64_t closed(uint64_t before, uint64_t word, uint64_t after)
{
    uint64_t d = dilated(before, word), e = dilated(word, after);

    return d & (d >> 1 | e << 63) & (d >> 2 | e << 62);
}

/* A lower limit for the length of the delta: all changed bytes, and one byte for each run; a closed gap takes one byte
 * too. */
INLINE uint32_t least_bytes(const uint64_t *word, uint32_t words)
{
    uint64_t before = 0;
    uint32_t bytes = 1;

    for (uint32_t i = 0; i < words; i++) {
        bytes += (uint32_t)__builtin_popcountll(word[i]);
        bytes += (uint32_t)__builtin_popcountll(word[i] & ~(word[i] << 1 | before >> 63));
        before = word[i];
    }
    return bytes;
}

/* For 0: any number below 64. */
INLINE uint32_t lowest(uint64_t word)
{
    return (uint32_t)__builtin_ctzll(word | 1ull << 63);
}

/* The positions where runs begin and end, in turn, in one strip. */
struct edges {
    uint32_t at[STRIP * 32 + 8]; /* a closed word has at most one edge for two bits */
    uint32_t count;              /* odd: the last run continues after the strip */
    uint32_t behind;             /* the word after the one that was processed last */
    uint64_t last;               /* the word that was processed last, closed */
};

INLINE void find_edges(struct edges *restrict e, const struct changes *restrict changes, uint32_t strip)
{
    uint32_t n = e->count, behind = e->behind;
    uint64_t last = e->last;

    for (uint64_t busy = changes->busy[strip]; busy; busy &= busy - 1) {
        uint32_t i = strip * STRIP + (uint32_t)__builtin_ctzll(busy);
        uint64_t c = closed(changes->word[i], changes->word[i + 1], changes->word[i + 2]), edges;
        bool gap = i != behind;
        uint32_t count;

        /* A run that reaches the end of a word ends there if the next word is not busy. */
        e->at[n] = behind * 64;
        n += gap & last >> 63;
        edges = c ^ (c << 1 | (gap ? 0 : last >> 63));
        last = c;
        behind = i + 1;
        /* Most words have at most two edges, which are stored without a branch. */
        count = (uint32_t)__builtin_popcountll(edges);
        e->at[n] = i * 64 + lowest(edges);
        edges &= edges - 1;
        e->at[n + 1] = i * 64 + lowest(edges);
        edges &= edges - 1;
        for (uint32_t k = n + 2; edges; edges &= edges - 1)
            e->at[k++] = i * 64 + lowest(edges);
        n += count;
    }
    e->count = n;
    e->behind = behind;
    e->last = last;
}

/* Writes all runs. false: no room. */
INLINE bool put_runs(struct out *restrict o, const struct changes *restrict changes, uint32_t strips)
{
    struct edges e;

    e.count = e.behind = 0;
    e.last = 0;
    for (uint32_t s = 0; s < strips; s++) {
        find_edges(&e, changes, s);
        if (s + 1 == strips && e.count % 2)
            e.at[e.count++] = e.behind * 64;
        for (uint32_t i = 0; i + 1 < e.count; i += 2)
            if (!put_run(o, e.at[i], e.at[i + 1]))
                return false;
        e.at[0] = e.at[e.count - (e.count != 0)];
        e.count %= 2;
    }
    return true;
}

INLINE int encode_with(diff_fn *diff, const uint8_t *restrict old_page, const uint8_t *restrict new_page,
                       uint32_t page_bytes, uint8_t *restrict to, uint32_t limit)
{
    uint32_t words = page_bytes / 64, strips = (words + STRIP - 1) / STRIP, n = GW_MIN(words, STRIP), busy = 0;
    struct out o = {.begin = to, .at = to, .page = new_page, .page_bytes = page_bytes};
    struct changes changes;

    assert(gw_is_pow2(page_bytes) && page_bytes >= GW_XBZRLE_PAGE_MIN && page_bytes <= GW_XBZRLE_PAGE_MAX);
    changes.word[0] = changes.word[words + 1] = 0;
    for (uint32_t s = 0; s < strips; s++) {
        size_t at = (size_t)s * STRIP * 64;

        changes.busy[s] = diff(old_page + at, new_page + at, n, changes.word + 1 + s * STRIP);
        busy += (uint32_t)__builtin_popcountll(changes.busy[s]);
    }
    if (!busy)
        return 0;
    limit = GW_MIN(limit, 0xffffu);
    o.end = to + limit;
    if (busy * WORD_MAX > limit && least_bytes(changes.word + 1, words) > limit)
        return GW_XBZRLE_OVERFLOW;
    return put_runs(&o, &changes, strips) ? (int)(o.at - o.begin) : GW_XBZRLE_OVERFLOW;
}

#define VARIANT(x, ...)                                                                                                \
    __VA_ARGS__ static int encode_##x(const uint8_t *restrict old_page, const uint8_t *restrict new_page,              \
                                      uint32_t page_bytes, uint8_t *restrict out, uint32_t limit)                      \
    {                                                                                                                  \
        return encode_with(diff_##x, old_page, new_page, page_bytes, out, limit);                                      \
    }                                                                                                                  \
    static const struct gw_xbzrle x = {#x, encode_##x};

/* ---- portable ---- */

/* One bit for each byte that is not 0; bit 0 for the byte with the lowest address. */
INLINE uint64_t nonzero_bytes(uint64_t v)
{
    const uint64_t low = 0x7f7f7f7f7f7f7f7full;

    v = (((v & low) + low) | v) >> 7 & 0x0101010101010101ull;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v * 0x0102040810204080ull >> 56;
}

INLINE uint64_t diff_portable(const uint8_t *restrict a, const uint8_t *restrict b, uint32_t n, uint64_t *restrict word)
{
    uint64_t busy = 0;

    for (uint32_t i = 0; i < n; i++, a += 64, b += 64) {
        uint64_t x[8], y[8], m = 0;

        memcpy(x, a, 64);
        memcpy(y, b, 64);
        for (unsigned k = 0; k < 8; k++)
            m |= x[k] ^= y[k];
        if (m) {
            m = 0;
            for (unsigned k = 0; k < 8; k++)
                m |= nonzero_bytes(x[k]) << 8 * k;
            busy |= 1ull << i;
        }
        word[i] = m;
    }
    return busy;
}

VARIANT(portable)

#if defined(__x86_64__)

INLINE uint32_t same16(const uint8_t *a, const uint8_t *b)
{
    return (uint32_t)_mm_movemask_epi8(
        _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)a), _mm_loadu_si128((const __m128i *)b)));
}

INLINE uint64_t diff_sse2(const uint8_t *restrict a, const uint8_t *restrict b, uint32_t n, uint64_t *restrict word)
{
    uint64_t busy = 0;

    for (uint32_t i = 0; i < n; i++, a += 64, b += 64) {
        uint32_t low = same16(a, b) | same16(a + 16, b + 16) << 16;
        uint32_t high = same16(a + 32, b + 32) | same16(a + 48, b + 48) << 16;

        word[i] = ~((uint64_t)high << 32 | low);
        busy |= (uint64_t)(word[i] != 0) << i;
    }
    return busy;
}

#define AVX2 __attribute__((target("avx2,bmi,bmi2,popcnt")))

AVX2 INLINE uint32_t same32(const uint8_t *a, const uint8_t *b)
{
    return (uint32_t)_mm256_movemask_epi8(
        _mm256_cmpeq_epi8(_mm256_loadu_si256((const __m256i *)a), _mm256_loadu_si256((const __m256i *)b)));
}

AVX2 INLINE uint64_t diff_avx2(const uint8_t *restrict a, const uint8_t *restrict b, uint32_t n,
                               uint64_t *restrict word)
{
    const __m256i zero = _mm256_setzero_si256();
    uint64_t idle = 0;

    for (uint32_t i = 0; i < n; i++, a += 64, b += 64)
        word[i] = ~((uint64_t)same32(a + 32, b + 32) << 32 | same32(a, b));
    /* In a separate loop: reading back at once what was just stored in smaller parts is slow. */
    for (uint32_t i = 0; i < n; i += 4)
        idle |= (uint64_t)_mm256_movemask_pd(
                    (__m256d)_mm256_cmpeq_epi64(_mm256_loadu_si256((const __m256i *)(word + i)), zero))
                << i;
    return n == 64 ? ~idle : ~idle & ((1ull << n) - 1);
}

VARIANT(sse2)
VARIANT(avx2, AVX2)

#endif

const struct gw_xbzrle *gw_xbzrle_variant(unsigned i)
{
    const struct gw_xbzrle *have[3];
    unsigned n = 0;

#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
        __builtin_cpu_supports("popcnt"))
        have[n++] = &avx2;
    have[n++] = &sse2;
#endif
    have[n++] = &portable;
    return i < n ? have[i] : NULL;
}

const struct gw_xbzrle *gw_xbzrle_pick(void)
{
    return gw_xbzrle_variant(0);
}

/* ---- decode ---- */

/* The number at *at, which is before end. false: it is cut off, or has more than two bytes. */
INLINE bool get_number(const uint8_t **at, const uint8_t *end, uint32_t *ret)
{
    const uint8_t *p = *at;
    uint32_t n = *p++;

    if (n & 0x80) {
        if (p == end || *p & 0x80)
            return false;
        n = (n & 0x7f) | (uint32_t)*p++ << 7;
    }
    *at = p;
    *ret = n;
    return true;
}

/* n > 0. Short copies without a call; writes exactly n bytes. */
INLINE void copy(uint8_t *restrict to, const uint8_t *restrict from, uint32_t n)
{
    if (n > 32) {
        memcpy(to, from, n);
    } else if (n > 16) {
        memcpy(to, from, 16);
        memcpy(to + n - 16, from + n - 16, 16);
    } else if (n >= 8) {
        memcpy(to, from, 8);
        memcpy(to + n - 8, from + n - 8, 8);
    } else if (n >= 4) {
        memcpy(to, from, 4);
        memcpy(to + n - 4, from + n - 4, 4);
    } else {
        to[0] = from[0];
        to[n / 2] = from[n / 2];
        to[n - 1] = from[n - 1];
    }
}

int gw_xbzrle_decode(const uint8_t *restrict delta, uint32_t delta_bytes, uint8_t *restrict page, uint32_t page_bytes,
                     struct gw_error *err)
{
    const uint8_t *p = delta, *end = delta + delta_bytes, *number;
    uint32_t at = 0, same, changed;

    if (!delta_bytes || delta_bytes > page_bytes)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "xbzrle delta has %u bytes, allowed are 1 to %u", delta_bytes,
                       page_bytes);
    while (p < end) {
        number = p;
        if (!get_number(&p, end, &same) || (!same && number != delta) || same > page_bytes - at)
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "xbzrle delta, byte %u: bad length of an unchanged run",
                           (unsigned)(number - delta));
        at += same;
        number = p;
        if (p == end || !get_number(&p, end, &changed) || !changed || changed > page_bytes - at ||
            changed > (size_t)(end - p))
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "xbzrle delta, byte %u: bad length of a changed run",
                           (unsigned)(number - delta));
        copy(page + at, p, changed);
        at += changed;
        p += changed;
    }
    return 0;
}
