/* SPDX-License-Identifier: MIT */
#include "ram/codec/zero.h"

#include "ram/page/zero.h"

/* Most pages are not zero in their first words, so the cost is waiting for these words, and for the translation of
 * their address: hardware does not prefetch beyond the end of a page. Prefetches them some pages ahead. */
#define AHEAD 12

struct zero {
    struct gw_codec codec;
    const struct gw_zero *detect;
};

static int encode(struct gw_codec *codec, struct gw_batch *batch, struct gw_error *err)
{
    struct zero *c = GW_CONTAINER(codec, struct zero, codec);

    for (unsigned i = 0; i < batch->count; i++) {
        if (i + AHEAD < batch->count && batch->form[i + AHEAD] == GW_FORM_OPEN)
            __builtin_prefetch(batch->body[i + AHEAD].data);
        if (batch->form[i] == GW_FORM_OPEN && gw_zero_page(c->detect, batch->body[i].data, batch->body[i].bytes))
            batch->form[i] = GW_FORM_ZERO;
    }
    return 0;
}

static struct gw_codec *codec_free(struct gw_codec *codec)
{
    free(GW_CONTAINER(codec, struct zero, codec));
    return NULL;
}

int gw_codec_zero_new(struct gw_codec **ret, struct gw_error *err)
{
    struct zero *c = calloc(1, sizeof *c);

    if (!c)
        return gw_nomem(err, "zero codec");
    *c = (struct zero){.codec = {.encode = encode, .free = codec_free}, .detect = gw_zero_pick()};
    *ret = &c->codec;
    return 0;
}
