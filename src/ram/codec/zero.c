/* SPDX-License-Identifier: MIT */
#include "ram/codec/zero.h"

#include "ram/page/holes.h"
#include "ram/page/zero.h"

/* Most pages show at their first words that they are not zero, so what this costs is waiting for these, and for the
 * translation of their address: no hardware fetches across a page's end. Ask for them some pages ahead. */
#define AHEAD 12

struct zero {
    struct gw_codec codec;
    const struct gw_ram *ram;
    uint32_t page_bytes;
    unsigned page_bits;
    const struct gw_zero *detect;
    struct gw_holes *holes; /* NULL: all pages are read */
};

/* Asks once for the whole batch where its pages lie close together, as they do in a first pass; pages that got dirty one
 * by one are no holes. */
static void claim_holes(const struct zero *c, struct gw_batch *batch)
{
    uint64_t first = batch->page[0], span = batch->page[batch->count - 1] - first + 1;
    uint64_t map[GW_BATCH_PAGES * 2 / 64];

    if (span > GW_BATCH_PAGES * 2 || span > batch->count * 2ull ||
        !gw_holes_find(c->holes, batch->block, first, span, map))
        return;
    for (unsigned i = 0; i < batch->count; i++)
        if (batch->form[i] == GW_FORM_OPEN && gw_bitmap_test(map, batch->page[i] - first))
            batch->form[i] = GW_FORM_ZERO;
}

static int encode(struct gw_codec *codec, struct gw_batch *batch, struct gw_error *err)
{
    struct zero *c = GW_CONTAINER(codec, struct zero, codec);
    const uint8_t *host = batch->block->host;

    if (batch->count)
        claim_holes(c, batch);
    for (unsigned i = 0; i < batch->count; i++) {
        if (i + AHEAD < batch->count && batch->form[i + AHEAD] == GW_FORM_OPEN)
            __builtin_prefetch(host + (batch->page[i + AHEAD] << c->page_bits));
        if (batch->form[i] == GW_FORM_OPEN && gw_zero_page(c->detect, host + (batch->page[i] << c->page_bits), c->page_bytes))
            batch->form[i] = GW_FORM_ZERO;
    }
    return 0;
}

static int begin(struct gw_codec *codec, struct gw_error *err)
{
    struct zero *c = GW_CONTAINER(codec, struct zero, codec);

    c->holes = gw_holes_free(c->holes);
    return gw_holes_new(c->ram, &c->holes, err);
}

static void end(struct gw_codec *codec)
{
    struct zero *c = GW_CONTAINER(codec, struct zero, codec);

    c->holes = gw_holes_free(c->holes);
}

static struct gw_codec *codec_free(struct gw_codec *codec)
{
    end(codec);
    free(GW_CONTAINER(codec, struct zero, codec));
    return NULL;
}

int gw_codec_zero_new(const struct gw_ram *ram, struct gw_codec **ret, struct gw_error *err)
{
    struct zero *c = calloc(1, sizeof *c);

    if (!c)
        return gw_nomem(err, "zero codec");
    *c = (struct zero){.codec = {.begin = begin, .encode = encode, .end = end, .free = codec_free},
                       .ram = ram,
                       .page_bytes = ram->page_bytes,
                       .page_bits = ram->page_bits,
                       .detect = gw_zero_pick()};
    *ret = &c->codec;
    return 0;
}
