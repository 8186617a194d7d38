/* SPDX-License-Identifier: MIT */
#include "ram/codec/plain.h"

static int encode(struct gw_codec *c, struct gw_batch *batch, struct gw_error *err)
{
    for (unsigned i = 0; i < batch->count; i++)
        if (batch->form[i] == GW_FORM_OPEN)
            batch->form[i] = GW_FORM_PLAIN;
    return 0;
}

static struct gw_codec *codec_free(struct gw_codec *c)
{
    free(c);
    return NULL;
}

int gw_codec_plain_new(struct gw_codec **ret, struct gw_error *err)
{
    struct gw_codec *c = calloc(1, sizeof *c);

    if (!c)
        return gw_nomem(err, "plain codec");
    *c = (struct gw_codec){.encode = encode, .free = codec_free};
    *ret = c;
    return 0;
}
