/* SPDX-License-Identifier: MIT */
#include "mutate.h"

#include <stdio.h>

#include "base/endian.h"
#include "wire/numbers.h"

/* ---- anatomy ------------------------------------------------------------------------------------------------------ */

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "not a stream of a rig: %s\n", what);
    abort();
}

static void number(struct anatomy *a, size_t at, unsigned bytes)
{
    if (a->numbers < GW_ARRAY_LEN(a->number)) {
        a->number[a->numbers].at = at;
        a->number[a->numbers++].bytes = bytes;
    }
}

static void part(struct anatomy *a, size_t begin, size_t end)
{
    must(a->parts < GW_ARRAY_LEN(a->part), "too many parts");
    a->part[a->parts].begin = begin;
    a->part[a->parts++].end = end;
}

static size_t ram_list(struct anatomy *a, const uint8_t *d, size_t p)
{
    uint64_t left = gw_load_be64(d + p) & ~4095ull;

    number(a, p, 8);
    p += 8;
    while (left) {
        size_t n = d[p];
        uint64_t used = gw_load_be64(d + p + 1 + n);

        number(a, p, 1);
        number(a, p + 1 + n, 8);
        must(used && used <= left, "block list");
        left -= used;
        p += 9 + n;
    }
    return p;
}

static size_t ram_records(struct anatomy *a, const uint8_t *d, size_t p)
{
    for (;;) {
        uint64_t word = gw_load_be64(d + p);

        number(a, p, 8);
        p += 8;
        if (word == GW_RAMF_EOS)
            return p;
        if (!(word & GW_RAMF_CONTINUE)) {
            number(a, p, 1);
            p += 1u + d[p];
        }
        if (word & GW_RAMF_ZERO)
            number(a, p, 1);
        must(word & (GW_RAMF_ZERO | GW_RAMF_PAGE), "record");
        p += word & GW_RAMF_ZERO ? 1 : 4096;
    }
}

static size_t footer(struct anatomy *a, const uint8_t *d, size_t p, uint32_t id)
{
    must(d[p] == GW_ELEMENT_FOOTER && gw_load_be32(d + p + 1) == id, "footer");
    number(a, p, 1);
    number(a, p + 1, 4);
    return p + 5;
}

static size_t section(struct anatomy *a, const uint8_t *d, size_t p, size_t end)
{
    uint8_t type = d[p];
    uint32_t id = gw_load_be32(d + p + 1);
    bool ram = true;

    number(a, p + 1, 4);
    p += 5;
    if (type == GW_ELEMENT_START || type == GW_ELEMENT_FULL) {
        size_t n = d[p];

        ram = n == 3 && !memcmp(d + p + 1, "ram", 3);
        number(a, p, 1);
        number(a, p + 1 + n, 4);
        number(a, p + 5 + n, 4);
        p += 9 + n;
    }
    if (ram && type == GW_ELEMENT_START)
        p = ram_list(a, d, p);
    if (ram)
        return footer(a, d, ram_records(a, d, p), id);
    while (p + 5 <= end && !(d[p] == GW_ELEMENT_FOOTER && gw_load_be32(d + p + 1) == id)) {
        number(a, p, 1); /* counts of arrays, flags of subsections: any byte may be one */
        p++;
    }
    return footer(a, d, p, id);
}

void anatomy_of(const struct rig_bytes *stream, struct anatomy *a)
{
    const uint8_t *d = stream->data;
    size_t p = 13 + gw_load_be32(d + 9);

    a->parts = a->numbers = 0;
    number(a, 0, 4);
    number(a, 4, 4);
    number(a, 8, 1);
    number(a, 9, 4);
    part(a, 0, p);
    while (p < stream->bytes) {
        size_t begin = p;

        number(a, p, 1);
        switch (d[p]) {
        case GW_ELEMENT_EOF:
            p += 1;
            break;
        case GW_ELEMENT_VMDESC:
            number(a, p + 1, 4);
            p += 5 + gw_load_be32(d + p + 1);
            break;
        case GW_ELEMENT_COMMAND:
            number(a, p + 1, 2);
            number(a, p + 3, 2);
            p += 5u + gw_load_be16(d + p + 3);
            break;
        default:
            must(d[p] >= GW_ELEMENT_START && d[p] <= GW_ELEMENT_FULL, "element");
            p = section(a, d, p, stream->bytes);
        }
        part(a, begin, p);
    }
    must(p == stream->bytes, "end");
}

/* ---- damage ------------------------------------------------------------------------------------------------------- */

static uint64_t odd_number(struct zoo_rng *rng, uint64_t old, unsigned bytes)
{
    uint64_t max = bytes == 8 ? UINT64_MAX : (1ull << bytes * 8) - 1;
    const uint64_t odd[] = {0, 1, max, max - 1, max / 2, max / 2 + 1, old + 1, old - 1, old * 2, old ^ 1, old | 1ull << 31,
                            4096, 512, 255, old + 4096, old - 4096, max & ~4095ull, zoo_random(rng)};

    return odd[zoo_random(rng) % GW_ARRAY_LEN(odd)] & max;
}

static void store(uint8_t *p, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        p[i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
}

static uint64_t load(const uint8_t *p, unsigned bytes)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < bytes; i++)
        v = v << 8 | p[i];
    return v;
}

/* Replaces `gone` bytes at `at` by n bytes of `from`. */
static void splice(struct rig_bytes *b, size_t at, size_t gone, const uint8_t *from, size_t n)
{
    uint8_t *copy = malloc(GW_MAX(n, 1u));

    memcpy(copy, from, n);
    at = GW_MIN(at, b->bytes);
    gone = GW_MIN(gone, b->bytes - at);
    if (b->bytes - gone + n > b->cap) {
        b->cap = (b->bytes - gone + n) * 2;
        b->data = realloc(b->data, b->cap);
    }
    memmove(b->data + at + n, b->data + at + gone, b->bytes - at - gone);
    memcpy(b->data + at, copy, n);
    b->bytes = b->bytes - gone + n;
    free(copy);
}

/* Mostly outside of page contents, where damage has no effect. */
static size_t somewhere(const struct anatomy *a, struct zoo_rng *rng, size_t bytes)
{
    size_t at = zoo_random(rng) % 4 ? a->number[zoo_random(rng) % a->numbers].at + zoo_random(rng) % 8 : zoo_random(rng);

    return bytes ? at % bytes : 0;
}

static const char *wound(const struct anatomy *a, const struct rig_bytes *donor, const struct anatomy *da,
                         struct zoo_rng *rng, struct rig_bytes *b)
{
    uint8_t noise[64];
    unsigned i, k;

    if (!b->bytes)
        return "nothing";
    switch (zoo_random(rng) % 12) {
    case 0:
        for (i = 1 + zoo_random(rng) % 8; i--;)
            b->data[somewhere(a, rng, b->bytes)] ^= (uint8_t)(1u << zoo_random(rng) % 8);
        return "bits";
    case 1:
        for (i = 1 + zoo_random(rng) % 16; i--;)
            b->data[somewhere(a, rng, b->bytes)] = (uint8_t)(zoo_random(rng) % 3 ? zoo_random(rng) : 0xff);
        return "bytes";
    case 2:
    case 3:
    case 4:
        i = (unsigned)(zoo_random(rng) % a->numbers);
        if (a->number[i].at + a->number[i].bytes <= b->bytes) {
            uint8_t *p = b->data + a->number[i].at;

            store(p, odd_number(rng, load(p, a->number[i].bytes), a->number[i].bytes), a->number[i].bytes);
        }
        return "number";
    case 5:
        zoo_fill(noise, sizeof noise, rng);
        splice(b, somewhere(a, rng, b->bytes), 0, noise, 1 + zoo_random(rng) % sizeof noise);
        return "insertion";
    case 6:
        splice(b, somewhere(a, rng, b->bytes), 1 + zoo_random(rng) % 64, noise, 0);
        return "deletion";
    case 7: /* a section twice */
        i = (unsigned)(zoo_random(rng) % a->parts);
        k = (unsigned)(zoo_random(rng) % a->parts);
        if (a->part[i].end <= b->bytes)
            splice(b, a->part[k].begin, 0, b->data + a->part[i].begin, a->part[i].end - a->part[i].begin);
        return "duplicate";
    case 8: /* a section elsewhere */
        i = (unsigned)(zoo_random(rng) % a->parts);
        k = (unsigned)(zoo_random(rng) % a->parts);
        if (a->part[i].end <= b->bytes && a->part[k].end <= b->bytes && i < k) {
            size_t n = a->part[i].end - a->part[i].begin;

            splice(b, a->part[k].end, 0, b->data + a->part[i].begin, n);
            splice(b, a->part[i].begin, n, noise, 0);
        }
        return "move";
    case 9: /* a section of another machine's life */
        i = (unsigned)(zoo_random(rng) % da->parts);
        k = (unsigned)(zoo_random(rng) % a->parts);
        splice(b, a->part[k].begin, zoo_random(rng) % 2 ? a->part[k].end - a->part[k].begin : 0,
               donor->data + da->part[i].begin, da->part[i].end - da->part[i].begin);
        return "graft";
    case 10: /* a section is missing */
        i = (unsigned)(zoo_random(rng) % a->parts);
        splice(b, a->part[i].begin, a->part[i].end - a->part[i].begin, noise, 0);
        return "amputation";
    default:
        b->bytes = somewhere(a, rng, b->bytes);
        return "cut";
    }
}

const char *mutate(const struct rig_bytes *stream, const struct anatomy *a, const struct rig_bytes *donor,
                   const struct anatomy *donor_anatomy, struct zoo_rng *rng, struct rig_bytes *out)
{
    const char *what = "nothing";

    out->bytes = 0;
    splice(out, 0, 0, stream->data, stream->bytes);
    for (unsigned wounds = 1 + (unsigned)(zoo_random(rng) % 4) / 2; wounds--;)
        what = wound(a, donor, donor_anatomy, rng, out);
    return what;
}
