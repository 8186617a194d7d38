/* SPDX-License-Identifier: MIT */
#include "image/parked/dedup.h"

#include <sys/random.h>

#define PRIME       ((1ull << 61) - 1)
#define LOW48       ((1ull << 48) - 1)
#define FIRST_SLOTS (1u << 14)

struct slot {
    uint32_t number; /* number + 1; 0: empty */
    uint32_t digest[3];
};

struct gw_dedup {
    size_t words;    /* words of a page */
    uint64_t *a, *b; /* words + 1 each; one allocation */
    struct slot *slots;
    uint32_t mask, used;
};

static int draw(uint64_t *key, size_t count, struct gw_error *err)
{
    for (size_t done = 0; done < count * sizeof *key;) {
        ssize_t n = getrandom((uint8_t *)key + done, GW_MIN(count * sizeof *key - done, 256), 0);

        if (n < 0 && errno != EINTR)
            return gw_fail(err, -errno, GW_BLAME_LOCAL, "random numbers: %s", strerror(errno));
        done += n < 0 ? 0 : (size_t)n;
    }
    for (size_t i = 0; i < count; i++) {
        key[i] >>= 3;
        /* 2^61 - 1 itself is 0. That makes 0 twice as likely as others: of no importance at 2^-61. */
        if (key[i] == PRIME)
            key[i] = 0;
    }
    return 0;
}

int gw_dedup_new(size_t page_bytes, struct gw_dedup **ret, struct gw_error *err)
{
    struct gw_dedup *d = calloc(1, sizeof *d);
    int r;

    if (d) {
        d->words = page_bytes / 4;
        d->mask = FIRST_SLOTS - 1;
        d->a = malloc(2 * (d->words + 1) * sizeof *d->a);
        d->slots = calloc(FIRST_SLOTS, sizeof *d->slots);
    }
    if (!d || !d->a || !d->slots) {
        gw_dedup_free(d);
        return gw_nomem(err, "table of pages");
    }
    d->b = d->a + d->words + 1;
    r = draw(d->a, 2 * (d->words + 1), err);
    if (r < 0)
        gw_dedup_free(d);
    else
        *ret = d;
    return r;
}

void gw_dedup_free(struct gw_dedup *d)
{
    if (!d)
        return;
    if (d->a)
        explicit_bzero(d->a, 2 * (d->words + 1) * sizeof *d->a);
    free(d->a);
    free(d->slots);
    free(d);
}

static uint64_t reduce(unsigned __int128 sum)
{
    uint64_t v;

    sum = (sum & PRIME) + (sum >> 61);
    v = (uint64_t)(sum & PRIME) + (uint64_t)(sum >> 61);
    v = (v & PRIME) + (v >> 61);
    return v == PRIME ? 0 : v;
}

struct gw_digest gw_dedup_digest(const struct gw_dedup *d, const void *page)
{
    /* Products are below 2^93, so that 2^35 of them fit. */
    unsigned __int128 a = d->a[0], b = d->b[0];
    const uint8_t *m = page;

    for (size_t i = 0; i < d->words; i++) {
        uint32_t word;

        memcpy(&word, m + 4 * i, 4);
        a += (unsigned __int128)d->a[i + 1] * word;
        b += (unsigned __int128)d->b[i + 1] * word;
    }
    return (struct gw_digest){reduce(a) & LOW48, reduce(b) & LOW48};
}

/* The slot of the digest, or the empty slot for it. */
static struct slot *find(struct slot *slots, uint32_t mask, const uint32_t digest[3])
{
    uint32_t i = digest[0] & mask;

    while (slots[i].number && memcmp(slots[i].digest, digest, sizeof slots[i].digest))
        i = (i + 1) & mask;
    return &slots[i];
}

static int grow(struct gw_dedup *d, struct gw_error *err)
{
    uint32_t mask = d->mask * 2 + 1;
    struct slot *slots = calloc((size_t)mask + 1, sizeof *slots);

    if (!slots)
        return gw_nomem(err, "table of pages");
    for (uint32_t i = 0; i <= d->mask; i++)
        if (d->slots[i].number)
            *find(slots, mask, d->slots[i].digest) = d->slots[i];
    free(d->slots);
    d->slots = slots;
    d->mask = mask;
    return 0;
}

int gw_dedup_find(struct gw_dedup *d, struct gw_digest digest, uint32_t number, uint32_t *ret_number,
                  struct gw_error *err)
{
    uint32_t packed[3] = {(uint32_t)digest.a, (uint32_t)digest.b, (uint32_t)(digest.a >> 32 << 16 | digest.b >> 32)};
    struct slot *s = find(d->slots, d->mask, packed);
    int r = 0;

    if (s->number) {
        *ret_number = s->number - 1;
        return 0;
    }
    *ret_number = number;
    if (d->used >= (uint32_t)((d->mask + 1ull) * 7 / 8)) {
        if (d->mask + 1ull >= GW_DEDUP_MAX)
            return 0;
        r = grow(d, err);
        if (r < 0)
            return r;
        s = find(d->slots, d->mask, packed);
    }
    s->number = number + 1;
    memcpy(s->digest, packed, sizeof packed);
    d->used++;
    return 0;
}
