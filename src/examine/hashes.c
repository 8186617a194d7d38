/* SPDX-License-Identifier: MIT */
#include "examine/hashes.h"

#include "base/bitmap.h"

#define USED     1ull /* makes each slot in use nonzero */
#define REPEATED 2ull
#define CAP_MIN  4096u

static uint64_t *find(const struct gw_hashes *h, uint64_t hash)
{
    uint64_t key = (hash & ~(USED | REPEATED)) | USED, i = (hash >> 2) & (h->cap - 1);

    while (h->slot[i] && (h->slot[i] & ~REPEATED) != key)
        i = (i + 1) & (h->cap - 1);
    return &h->slot[i];
}

static int grow(struct gw_hashes *h)
{
    struct gw_hashes larger = {.cap = h->cap ? h->cap * 2 : CAP_MIN, .used = h->used};

    larger.slot = gw_bitmap_new(larger.cap * 64);
    if (!larger.slot)
        return -ENOMEM;
    for (uint64_t i = 0; i < h->cap; i++)
        if (h->slot[i])
            *find(&larger, h->slot[i]) = h->slot[i];
    gw_hashes_close(h);
    *h = larger;
    return 0;
}

int gw_hashes_add(struct gw_hashes *h, uint64_t hash)
{
    uint64_t *slot;

    if (h->used * 4 >= h->cap * 3 && grow(h) < 0)
        return -ENOMEM;
    slot = find(h, hash);
    h->used += !*slot;
    *slot = *slot ? *slot | REPEATED : (hash & ~REPEATED) | USED;
    return 0;
}

bool gw_hashes_is_repeated(const struct gw_hashes *h, uint64_t hash)
{
    return h->cap && (*find(h, hash) & REPEATED);
}

void gw_hashes_close(struct gw_hashes *h)
{
    gw_bitmap_free(h->slot, h->cap * 64);
    *h = (struct gw_hashes){0};
}
