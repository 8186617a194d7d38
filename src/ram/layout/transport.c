/* SPDX-License-Identifier: MIT */
#include "ram/layout/transport.h"

#include "wire/numbers.h"

struct gw_transport_out {
    struct gw_writer *writer;
};

struct gw_transport_in {
    struct gw_reader *reader;
    struct gw_store *store;
    const struct gw_ram *ram;
    const struct gw_ram_listed *listed;
};

struct hook {
    struct gw_hook hook;
    struct gw_transport *transport;
    const struct gw_ram *ram;
    struct gw_ram_listed listed;
};

void gw_transport_put(struct gw_transport_out *out, const void *data, size_t bytes)
{
    gw_put_u64(out->writer, GW_RAMF_HOOK);
    gw_put_bytes(out->writer, data, bytes);
}

int gw_layout_transport_tell(struct gw_transport *t, enum gw_transport_stretch stretch, bool end, struct gw_writer *w,
                             struct gw_error *err)
{
    int (*tell)(void *, enum gw_transport_stretch, struct gw_transport_out *, struct gw_error *) = end ? t->ops.end : t->ops.begin;
    enum gw_cause old = gw_writer_cause(w, GW_CAUSE_RAM_META);
    struct gw_transport_out out = {w};
    int r = tell ? gw_transport_result(tell(t->opaque, stretch, &out, err), end ? "end" : "begin", err) : 0;

    gw_writer_cause(w, old);
    return r < 0 ? r : 0;
}

int gw_transport_get(struct gw_transport_in *in, void *buf, size_t bytes, struct gw_error *err)
{
    return bytes ? gw_reader_direct(in->reader, &(struct iovec){buf, bytes}, 1, err) : 0;
}

int gw_transport_placed(struct gw_transport_in *in, const char *block, uint64_t offset, uint64_t bytes, struct gw_error *err)
{
    struct gw_ram_block *b = gw_ram_listed_find(in->listed, in->ram, block);
    uint64_t mask = in->ram->page_bytes - 1;
    int r = 0;

    if (!b || (offset | bytes) & mask || offset > b->used_bytes ||
        bytes > b->used_bytes - offset)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                       "page transport: 0x%" PRIx64 " bytes at 0x%" PRIx64 " of RAM block %.255s are not whole pages of a block "
                       "of this machine", bytes,
                       offset, block);
    for (uint64_t page = offset >> in->ram->page_bits; r >= 0 && bytes; page++, bytes -= in->ram->page_bytes)
        r = in->store->place(in->store, b, page, err);
    return r;
}

static int record(struct gw_hook *hook, struct gw_reader *r, struct gw_store *store, struct gw_error *err)
{
    struct hook *h = GW_CONTAINER(hook, struct hook, hook);
    struct gw_transport_in in = {r, store, h->ram, &h->listed};
    uint64_t at = gw_reader_offset(r);
    int e = gw_transport_result(h->transport->ops.record(h->transport->opaque, &in, err), "record", err);

    if (e < 0)
        gw_context(err, "HOOK record at byte %" PRIu64, at - 8);
    return e < 0 ? e : 0;
}

static int add(struct gw_hook *hook, struct gw_ram_block *b, struct gw_error *err)
{
    struct hook *h = GW_CONTAINER(hook, struct hook, hook);
    const struct gw_page_transport_ops *ops = &h->transport->ops;
    int r = gw_ram_listed_add(&h->listed, b, err);

    if (r < 0)
        return r;
    return ops->block ? gw_transport_result(ops->block(h->transport->opaque, b->name, b->host, b->used_bytes, err), b->name, err) : 0;
}

static void over(struct gw_hook *hook, bool ok)
{
    struct hook *h = GW_CONTAINER(hook, struct hook, hook);

    if (h->transport->ops.over)
        h->transport->ops.over(h->transport->opaque, ok);
    gw_ram_listed_clear(&h->listed);
}

static struct gw_hook *hook_free(struct gw_hook *hook)
{
    struct hook *h = GW_CONTAINER(hook, struct hook, hook);

    gw_ram_listed_clear(&h->listed);
    free(h);
    return NULL;
}

int gw_layout_transport_hook_new(const struct gw_ram *ram, struct gw_transport *t, struct gw_hook **ret, struct gw_error *err)
{
    struct hook *h = calloc(1, sizeof *h);

    if (!h)
        return gw_nomem(err, "page transport");
    *h = (struct hook){.hook = {record, add, over, hook_free}, .transport = t, .ram = ram};
    *ret = &h->hook;
    return 0;
}
