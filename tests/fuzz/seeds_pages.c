/* SPDX-License-Identifier: MIT
 *
 * What pages look like on their way: multifd packets, mapped-ram, deltas, compressed ones.
 */
#include <stdlib.h>
#include <zlib.h>

#include "base/endian.h"
#include "seeds.h"
#include "wire/mapped.h"

/* Channels of real peers behind their greeting, each with the coding in front (fuzz_packet.c). */
int seeds_packet(void)
{
    static const char *const names[] = {"multifd-10.0.ch0.src2dst.bin", "multifd-zlib-7.2.ch0.src2dst.bin",
                                        "multifd-zstd-10.0.ch1.src2dst.bin"};
    static uint8_t data[SEEDS_CAPTURE_MAX];

    for (unsigned i = 0; i < GW_ARRAY_LEN(names); i++) {
        size_t n = seeds_load(names[i], data);

        if (n <= 64)
            return 1;
        data[63] = (uint8_t)i;
        if (seeds_put(names[i], data + 63, GW_MIN(n - 63, (size_t)65536)))
            return 1;
    }
    return 0;
}

/* A block of 64 pages of which each has a bit, none has, and as every other page; good, cut, with heads that do not fit together
 * (fuzz_mapped.c). */
int seeds_mapped(void)
{
    static const char *const names[] = {"all", "none", "some", "cut", "behind", "within"};
    static const uint64_t maps[] = {UINT64_MAX, 0, 0x5555555555555555, 1, 1, 1};
    struct gw_wire_mapped good;

    if (gw_mapped_lay("r", 64 * 4096, 4096, 0, &good, NULL) < 0)
        return 1;
    for (unsigned k = 0; k < GW_ARRAY_LEN(names); k++) {
        struct gw_wire_mapped m = good;
        uint8_t out[512] = {(uint8_t)k}, *p;
        struct gw_out o;
        size_t n;

        m.pages_at = k == 4 ? m.pages_at << 40 : k == 5 ? m.map_at : m.pages_at;
        gw_out_memory(&o);
        gw_mapped_put(&o, 4096, &m);
        while (gw_out_data(&o, &n) && n < good.map_at)
            gw_put_u8(&o, 0);
        gw_put_u64(&o, maps[k]); /* the same in either order */
        p = gw_out_take(&o, &n);
        if (!p || n > sizeof out - 23)
            return 1;
        gw_store_be16(out + 1, (uint16_t)n);
        gw_store_be32(out + 3, (uint32_t)good.end);
        memcpy(out + 7, p, n);
        gw_store_be64(out + 7 + n, 0x10); /* of the list, which goes on behind the pages; of the section */
        gw_store_be64(out + 15 + n, 0x10);
        free(p);
        if (seeds_put(names[k], out, 7 + n + (k == 3 ? 12 : 16)))
            return 1;
    }
    return 0;
}

/* Deltas of a page of 4 KiB, good and bad; lists of changes (fuzz_xbzrle.c). */
int seeds_xbzrle(void)
{
    static const uint8_t one[] = {4, 0x67, 1, 0x35, 0x92, 0x1f, 6, 5, 5, 5, 5, 5, 5};
    static const uint8_t last[] = {4, 0xff, 0x1f, 1, 9}, behind[] = {4, 0x80, 0x20, 1, 9};
    static const uint8_t longer[] = {4, 0x80, 0, 0x81, 0, 7, 0x81, 0, 1, 8}, cut[] = {4, 0x10, 3, 1, 2};
    static const uint8_t few[] = {5, 0, 0, 100, 8, 30, 1, 2, 1, 3, 70, 245, 4};
    static const uint8_t much[] = {13, 0, 0, 0, 255, 0, 255, 1, 255}, limited[] = {5, 1, 20, 10, 15, 10, 15};

    return seeds_put("one", one, sizeof one) | seeds_put("last", last, sizeof last) | seeds_put("behind", behind, sizeof behind) |
           seeds_put("longer", longer, sizeof longer) | seeds_put("cut", cut, sizeof cut) | seeds_put("few", few, sizeof few) |
           seeds_put("much", much, sizeof much) | seeds_put("limited", limited, sizeof limited);
}

/* RAM records, with good and bad compressed pages (fuzz_compress.c). */
int seeds_compressed(void)
{
    static const char *const names[] = {"good", "cut", "changed", "long", "again"};
    uint8_t page[4096], out[8192];
    int r = 0;

    for (unsigned k = 0; k < GW_ARRAY_LEN(names); k++) {
        size_t at = 1;

        out[0] = (uint8_t)k;
        for (unsigned i = 0; i < 3; i++) {
            uLongf n = 1000;
            uint8_t *record = out + at;

            for (unsigned b = 0; b < sizeof page; b++)
                page[b] = (uint8_t)(b * i >> 7);
            memcpy(record, (const uint8_t[]){0, 0, 0, 0, 0, 0, 1, i ? 0x20 : 0}, 8);
            record[6] = (uint8_t)((k == 4 ? 0 : i) << 4 | 1);
            record += 8;
            if (!i) {
                memcpy(record, "\1r", 2);
                record += 2;
            }
            if (compress(record + 4, &n, page, sizeof page - (k == 3 && i == 1)) != Z_OK)
                return 1;
            if (i == 1 && k == 1)
                n /= 2;
            if (i == 1 && k == 2)
                record[4 + n / 2] ^= 0x10;
            memcpy(record, (const uint8_t[]){0, 0, (uint8_t)(n >> 8), (uint8_t)n}, 4);
            at = (size_t)(record - out) + 4 + n;
        }
        memcpy(out + at, (const uint8_t[]){0, 0, 0, 0, 0, 0, 0, 0x10}, 8);
        r |= seeds_put(names[k], out, at + 8);
    }
    return r;
}
