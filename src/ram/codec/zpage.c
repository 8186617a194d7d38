/* SPDX-License-Identifier: MIT */
#include "ram/codec/zpage.h"

/* Looks at a sample of half of the bytes, including the highest byte of 16, 32 and 64 bits. If all values are equally
 * frequent, the sum of the squares of the frequencies is n + n * n / 256; this allows for an eighth more. Repeated
 * words, and bytes that equal the one before, are counted because they compress whatever the frequencies are. By chance
 * the 512 words of 4 KiB collide about 30 times, and 2 bytes equal the one before. Larger pages fill the table, so they
 * are always tried. */
bool gw_zpack_hopeless(const uint8_t *page, uint32_t page_bytes)
{
    uint32_t count[256] = {0}, again = 0, alike = 0;
    uint64_t seen[64] = {0}, squares = 0, n = page_bytes / 2;

    for (uint32_t at = 0; at + 8 <= page_bytes; at += 8) {
        uint64_t word, hash;

        memcpy(&word, page + at, sizeof word);
        count[word & 255]++;
        count[word >> 24 & 255]++;
        count[word >> 40 & 255]++;
        count[word >> 56]++;
        hash = word * 0x9e3779b97f4a7c15ull >> 52;
        again += seen[hash / 64] >> hash % 64 & 1;
        seen[hash / 64] |= 1ull << hash % 64;
        alike += !((word ^ word >> 8) & 255);
    }
    for (unsigned i = 0; i < 256; i++)
        squares += (uint64_t)count[i] * count[i];
    return again < 64 && alike < 16 && squares < n + n * n / 256 * 9 / 8;
}

#if defined(GW_HAVE_LIBDEFLATE)
#include <libdeflate.h>

int gw_zpack_new(unsigned level, struct gw_zpack **ret, struct gw_error *err)
{
    struct libdeflate_compressor *c = libdeflate_alloc_compressor((int)level);

    if (!c)
        return gw_nomem(err, "compression of pages");
    *ret = (struct gw_zpack *)c;
    return 0;
}

void gw_zpack_free(struct gw_zpack *p)
{
    libdeflate_free_compressor((struct libdeflate_compressor *)p);
}

uint32_t gw_zpack(struct gw_zpack *p, const uint8_t *page, uint32_t page_bytes, uint8_t *dst, uint32_t room)
{
    return (uint32_t)libdeflate_zlib_compress((struct libdeflate_compressor *)p, page, page_bytes, dst, room);
}

int gw_zunpack_new(struct gw_zunpack **ret, struct gw_error *err)
{
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();

    if (!d)
        return gw_nomem(err, "decompression of pages");
    *ret = (struct gw_zunpack *)d;
    return 0;
}

void gw_zunpack_free(struct gw_zunpack *u)
{
    libdeflate_free_decompressor((struct libdeflate_decompressor *)u);
}

int gw_zunpack(struct gw_zunpack *u, const uint8_t *coded, uint32_t bytes, uint8_t *page, uint32_t page_bytes,
               struct gw_error *err)
{
    size_t used = 0;

    switch (libdeflate_zlib_decompress_ex((struct libdeflate_decompressor *)u, coded, bytes, page, page_bytes, &used, NULL)) {
    case LIBDEFLATE_SUCCESS:
        if (used == bytes)
            return 0;
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "%u compressed bytes: the page ends after %zu", bytes, used);
    case LIBDEFLATE_SHORT_OUTPUT:
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "%u compressed bytes are less than a page", bytes);
    case LIBDEFLATE_INSUFFICIENT_SPACE:
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "%u compressed bytes are more than a page", bytes);
    default:
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "%u compressed bytes are no zlib stream of a page", bytes);
    }
}

#elif defined(GW_HAVE_ZLIB)
#include <zlib.h>

/* A window of 8 KiB; small tables, since they are cleared for each page. */
#define WINDOW_BITS 13
#define MEM_LEVEL   6

struct gw_zpack {
    z_stream z;
};

struct gw_zunpack {
    z_stream z;
};

int gw_zpack_new(unsigned level, struct gw_zpack **ret, struct gw_error *err)
{
    struct gw_zpack *p = calloc(1, sizeof *p);

    if (!p || deflateInit2(&p->z, (int)level, Z_DEFLATED, WINDOW_BITS, MEM_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK) {
        free(p);
        return gw_nomem(err, "compression of pages");
    }
    *ret = p;
    return 0;
}

void gw_zpack_free(struct gw_zpack *p)
{
    if (p)
        deflateEnd(&p->z);
    free(p);
}

uint32_t gw_zpack(struct gw_zpack *p, const uint8_t *page, uint32_t page_bytes, uint8_t *dst, uint32_t room)
{
    if (deflateReset(&p->z) != Z_OK)
        return 0;
    p->z.next_in = (Bytef *)page;
    p->z.avail_in = page_bytes;
    p->z.next_out = dst;
    p->z.avail_out = room;
    return deflate(&p->z, Z_FINISH) == Z_STREAM_END ? room - p->z.avail_out : 0;
}

int gw_zunpack_new(struct gw_zunpack **ret, struct gw_error *err)
{
    struct gw_zunpack *u = calloc(1, sizeof *u);

    if (!u || inflateInit(&u->z) != Z_OK) {
        free(u);
        return gw_nomem(err, "decompression of pages");
    }
    *ret = u;
    return 0;
}

void gw_zunpack_free(struct gw_zunpack *u)
{
    if (u)
        inflateEnd(&u->z);
    free(u);
}

int gw_zunpack(struct gw_zunpack *u, const uint8_t *coded, uint32_t bytes, uint8_t *page, uint32_t page_bytes,
               struct gw_error *err)
{
    int r = inflateReset(&u->z);

    u->z.next_in = (Bytef *)coded;
    u->z.avail_in = bytes;
    u->z.next_out = page;
    u->z.avail_out = page_bytes;
    if (r == Z_OK)
        r = inflate(&u->z, Z_FINISH);
    if (r == Z_MEM_ERROR)
        return gw_nomem(err, "decompression of pages");
    if (r != Z_STREAM_END || u->z.avail_out || u->z.avail_in)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "%u compressed bytes are no zlib stream of a page (%s)", bytes,
                       u->z.msg         ? u->z.msg
                       : u->z.avail_out ? "too few"
                                        : "too many");
    return 0;
}

#else

static int absent(struct gw_error *err)
{
    return gw_fail(err, -ENOTSUP, GW_BLAME_LOCAL, "pages are compressed, and this godwit was built without libdeflate and zlib");
}

int gw_zpack_new(unsigned level, struct gw_zpack **ret, struct gw_error *err)
{
    return absent(err);
}

void gw_zpack_free(struct gw_zpack *p)
{
}

uint32_t gw_zpack(struct gw_zpack *p, const uint8_t *page, uint32_t page_bytes, uint8_t *dst, uint32_t room)
{
    return 0;
}

int gw_zunpack_new(struct gw_zunpack **ret, struct gw_error *err)
{
    return absent(err);
}

void gw_zunpack_free(struct gw_zunpack *u)
{
}

int gw_zunpack(struct gw_zunpack *u, const uint8_t *coded, uint32_t bytes, uint8_t *page, uint32_t page_bytes,
               struct gw_error *err)
{
    return absent(err);
}
#endif
