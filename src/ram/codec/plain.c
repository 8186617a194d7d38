/* SPDX-License-Identifier: MIT */
#include "ram/codec/plain.h"

static int encode(struct gw_codec *c, struct gw_batch *batch, struct gw_error *err)
{
    for (unsigned i = 0; i < batch->count; i++)
        if (batch->form[i] == GW_FORM_OPEN)
            batch->form[i] = GW_FORM_PLAIN;
    return 0;
}

void gw_codec_plain_init(struct gw_codec *c)
{
    *c = (struct gw_codec){.encode = encode};
}
