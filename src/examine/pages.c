/* SPDX-License-Identifier: MIT */
#include "examine/pages.h"

#include <math.h>

#define K1 0x9e3779b97f4a7c15ull
#define K2 0xc2b2ae3d27d4eb4full

static uint64_t mix(uint64_t h, uint64_t w)
{
    h = (h ^ w) * K1;
    return h ^ h >> 29;
}

/* Four lanes, so that the multiplications overlap. bytes is a multiple of 32. *ret_or: zero if all bytes are zero. */
static uint64_t hash(const uint8_t *page, size_t bytes, uint64_t *ret_or)
{
    uint64_t a = K1, b = K2, c = ~K1, d = ~K2, any = 0;

    for (size_t i = 0; i < bytes; i += 32) {
        uint64_t w[4];

        memcpy(w, page + i, sizeof w);
        any |= w[0] | w[1] | w[2] | w[3];
        a = mix(a, w[0]);
        b = mix(b, w[1]);
        c = mix(c, w[2]);
        d = mix(d, w[3]);
    }
    *ret_or = any;
    return mix(mix(mix(mix(K2, a), b), c), d) | 1;
}

uint64_t gw_page_hash(const uint8_t *page, size_t bytes)
{
    uint64_t any, h = hash(page, bytes, &any);

    return any ? h : 0;
}

static uint64_t *slot(uint64_t *set, uint64_t cap, uint64_t h)
{
    uint64_t i = (h >> 1) & (cap - 1);

    while (set[i] && set[i] != h)
        i = (i + 1) & (cap - 1);
    return &set[i];
}

static bool grow(struct gw_pages *p)
{
    uint64_t cap = p->cap ? p->cap * 2 : 4096, *set = cap <= GW_PAGES_MAX ? calloc(cap, sizeof *set) : NULL;

    if (!set) {
        p->full = true;
        return false;
    }
    for (uint64_t i = 0; i < p->cap; i++)
        if (p->set[i])
            *slot(set, cap, p->set[i]) = p->set[i];
    free(p->set);
    p->set = set;
    p->cap = cap;
    return true;
}

void gw_pages_add(struct gw_pages *p, const uint8_t *page, size_t bytes)
{
    uint64_t any, h = hash(page, bytes, &any), *s;

    p->pages++;
    if (!any) {
        p->zero++;
        return;
    }
    /* A full set still finds the hashes that it has; one free slot ends each search. */
    if (!p->full && p->distinct * 4 >= p->cap * 3)
        grow(p);
    if (!p->cap)
        return;
    s = slot(p->set, p->cap, h);
    if (*s) {
        p->duplicate++;
        return;
    }
    if (p->full)
        return;
    *s = h;
    if (p->distinct++ % 16 == 0) {
        for (size_t i = 0; i < bytes; i++)
            p->histogram[page[i]]++;
        p->sampled += bytes;
    }
}

double gw_pages_entropy(const struct gw_pages *p)
{
    double bits = 0;

    for (unsigned i = 0; i < 256; i++) {
        double f = p->sampled ? (double)p->histogram[i] / (double)p->sampled : 0;

        if (f > 0)
            bits -= f * log2(f);
    }
    return bits;
}

void gw_pages_close(struct gw_pages *p)
{
    free(p->set);
    *p = (struct gw_pages){0};
}
