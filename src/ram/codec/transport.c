/* SPDX-License-Identifier: MIT */
#include "ram/codec/transport.h"

struct asking {
    struct gw_codec codec;
    struct gw_transport *transport;
    const struct gw_cancel *cancel;
    struct gw_account *account;
    _Atomic uint64_t pages; /* pages that the transport has taken */
};

static int encode(struct gw_codec *codec, struct gw_batch *batch, struct gw_error *err)
{
    struct asking *c = GW_CONTAINER(codec, struct asking, codec);
    uint64_t taken = 0;
    int r = 0;

    for (unsigned i = 0; r >= 0 && i < batch->count; i++) {
        struct gw_transport_page page = {.block = batch->block->name, .data = batch->body[i].data, .bytes = batch->body[i].bytes,
                                         .offset = batch->page[i] * batch->body[i].bytes};

        if (batch->form[i] != GW_FORM_OPEN)
            continue;
        r = gw_transport_take(c->transport, &page, err);
        if (r <= GW_TAKE_DECLINED)
            continue;
        batch->form[i] = GW_FORM_SAME;
        taken++;
        if (c->account)
            gw_account_add(c->account, GW_CAUSE_RAM_PAGE, page.bytes);
    }
    atomic_fetch_add_explicit(&c->pages, taken, memory_order_relaxed);
    return r < 0 ? r : 0;
}

static int barrier(struct gw_codec *codec, enum gw_barrier kind, struct gw_error *err)
{
    struct asking *c = GW_CONTAINER(codec, struct asking, codec);

    return kind == GW_BARRIER_STEP ? 0 : gw_transport_wait(c->transport, c->cancel, err);
}

static void progress(struct gw_codec *codec, struct gw_progress *sum)
{
    struct asking *c = GW_CONTAINER(codec, struct asking, codec);

    sum->plain_pages += atomic_load_explicit(&c->pages, memory_order_relaxed);
}

static void end(struct gw_codec *codec)
{
    gw_transport_abort(GW_CONTAINER(codec, struct asking, codec)->transport);
}

static struct gw_codec *codec_free(struct gw_codec *codec)
{
    free(GW_CONTAINER(codec, struct asking, codec));
    return NULL;
}

int gw_codec_transport_new(struct gw_transport *t, const struct gw_cancel *cancel, struct gw_account *account,
                           struct gw_codec **ret, struct gw_error *err)
{
    struct asking *c = calloc(1, sizeof *c);

    if (!c)
        return gw_nomem(err, "page transport");
    *c = (struct asking){
        .codec = {.encode = encode, .barrier = barrier, .progress = progress, .end = end, .free = codec_free},
        .transport = t, .cancel = cancel, .account = account};
    *ret = &c->codec;
    return 0;
}
