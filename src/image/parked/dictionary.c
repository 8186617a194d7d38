/* SPDX-License-Identifier: MIT */
#include "image/parked/dictionary.h"

#include "image/parked/dedup.h"
#include "image/parked/pack.h"
#include "ram/page/zero.h"

struct sample {
    struct gw_image *image;
    const struct gw_zero *zero;
    struct gw_dedup *dedup;
    uint8_t *pages;          /* candidates for the dictionary */
    uint32_t count, nonzero; /* pages examined; nonzero: those of them that are not zeros */

    uint32_t frame_pages; /* this and the following members: for gw_parked_dictionary_pays */
    struct gw_packer *packer[2];
    uint64_t packed_bytes[2];
};

static int look(struct sample *s, unsigned block, uint64_t page, struct gw_error *err)
{
    uint32_t page_bytes = s->image->page_bytes, number;
    uint8_t *to = s->pages + (size_t)s->count * page_bytes, kind;
    int r = gw_image_map(s->image, block, page, 1, &kind, err);

    if (r < 0 || !kind)
        return r;
    r = gw_image_pages(s->image, block, page, 1, to, err);
    if (r < 0 || gw_zero_page(s->zero, to, page_bytes))
        return r;
    s->nonzero++;
    if (gw_pack_noise(to, page_bytes))
        return 0;
    r = gw_dedup_find(s->dedup, gw_dedup_digest(s->dedup, to), s->count, &number, err);
    if (r >= 0 && number == s->count)
        s->count++;
    return r;
}

static uint64_t all_pages(const struct gw_image *image)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < image->block_count; i++)
        n += image->blocks[i].pages;
    return n;
}

/* Calls f for that many pages at equal distances. */
static int walk(struct sample *s, uint64_t all, uint64_t many,
                int (*f)(struct sample *s, unsigned block, uint64_t page, struct gw_error *err), struct gw_error *err)
{
    uint64_t base = 0; /* pages before the current block */
    unsigned block = 0;
    int r = 0;

    for (uint64_t i = 0; i < many && r >= 0; i++) {
        uint64_t at = all / many * i + all % many * i / many;

        while (at - base >= s->image->blocks[block].pages)
            base += s->image->blocks[block++].pages;
        r = f(s, block, at - base, err);
    }
    return r;
}

/* Selects pages of the sample at equal distances and moves them to its front. */
static size_t thin_out(struct sample *s, uint64_t bytes)
{
    uint32_t page_bytes = s->image->page_bytes;
    uint64_t want = GW_MIN(GW_MIN(bytes, GW_PARKED_DICTIONARY_USUAL) / page_bytes, s->count);

    for (uint64_t i = 0; i < want; i++)
        memmove(s->pages + i * page_bytes, s->pages + i * s->count / want * page_bytes, page_bytes);
    return want * page_bytes;
}

int gw_parked_dictionary(struct gw_image *image, uint8_t **ret, size_t *ret_bytes, struct gw_error *err)
{
    struct sample s = {.image = image, .zero = gw_zero_pick()};
    uint64_t all = all_pages(image), many = GW_MIN(all, GW_PARKED_SAMPLE_BYTES / image->page_bytes);
    size_t bytes = 0;
    int r;

    if (all * image->page_bytes / GW_PARKED_DICTIONARY_SHARE < GW_PARKED_DICTIONARY_LEAST)
        return 0;
    s.pages = aligned_alloc(64, GW_PARKED_SAMPLE_BYTES);
    r = s.pages ? gw_dedup_new(image->page_bytes, &s.dedup, err) : gw_nomem(err, "dictionary");
    if (r >= 0)
        r = walk(&s, all, many, look, err);
    if (r >= 0)
        bytes = thin_out(&s, all * image->page_bytes / GW_PARKED_DICTIONARY_SHARE / many * s.nonzero);
    gw_dedup_free(s.dedup);
    if (r < 0 || bytes < GW_PARKED_DICTIONARY_LEAST) {
        free(s.pages);
        return r;
    }
    memset(s.pages, 0, GW_PARKED_DICTIONARY_ZEROS);
    *ret = s.pages;
    *ret_bytes = bytes;
    return 0;
}

/* ---- what it is worth --------------------------------------------------------------------------------------------- */

#define TRIED_FRAMES 61u /* a prime, so that the tried frames begin at other pages than the dictionary's */
#define WORTH        40u

/* Measures the frame that begins here. A frame that zstd cannot compress does not count. */
static int try_frame(struct sample *s, unsigned block, uint64_t page, struct gw_error *err)
{
    uint64_t pages = GW_MIN(s->image->blocks[block].pages - page, s->frame_pages);
    size_t bytes = pages * s->image->page_bytes, packed[2];
    uint8_t *to = s->pages + bytes;
    int r = gw_image_pages(s->image, block, page, pages, s->pages, err);

    if (r < 0 || gw_zero_page(s->zero, s->pages, s->image->page_bytes))
        return r;
    for (unsigned i = 0; i < 2; i++)
        packed[i] = gw_packer_pack(s->packer[i], s->pages, bytes, to, bytes - 1);
    for (unsigned i = 0; i < 2 && packed[0] && packed[1]; i++)
        s->packed_bytes[i] += packed[i];
    return 0;
}

int gw_parked_dictionary_pays(struct gw_image *image, uint32_t frame_pages, const struct gw_dictionary *dictionary, int plain_level,
                              bool *ret, struct gw_error *err)
{
    struct sample s = {.image = image, .zero = gw_zero_pick(), .frame_pages = frame_pages};
    uint64_t all = all_pages(image);
    int r;

    s.pages = aligned_alloc(64, gw_div_up((size_t)2 * frame_pages * image->page_bytes, 64) * 64);
    r = s.pages ? gw_packer_new(plain_level, NULL, &s.packer[0], err) : gw_nomem(err, "dictionary");
    if (r >= 0)
        r = gw_packer_new(plain_level, dictionary, &s.packer[1], err);
    if (r >= 0)
        r = walk(&s, all, GW_MIN(all, TRIED_FRAMES), try_frame, err);
    if (r >= 0)
        *ret = s.packed_bytes[1] < s.packed_bytes[0] - s.packed_bytes[0] / WORTH;
    gw_packer_free(s.packer[0]);
    gw_packer_free(s.packer[1]);
    free(s.pages);
    return r;
}
