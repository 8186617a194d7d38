/* SPDX-License-Identifier: MIT */
#include "ram/source/record.h"

#include "ram/source/around.h"

struct record {
    struct gw_around around;
    const struct gw_requests *requests;
    const struct gw_ram *ram;
    struct gw_working_set *set;
};

static struct record *of(struct gw_source *source)
{
    return GW_CONTAINER(source, struct record, around.source);
}

static int next(struct gw_source *source, struct gw_batch *batch, unsigned max, struct gw_error *err)
{
    struct record *c = of(source);
    int r = c->around.inner->next(c->around.inner, batch, max, err);
    enum gw_requests_kind kind = gw_requests_kind(c->requests);

    for (unsigned i = 0, n; r >= 0 && kind != GW_REQUESTS_OTHER && i < batch->count; i += n) {
        for (n = 1; i + n < batch->count && batch->page[i + n] == batch->page[i] + n;)
            n++;
        r = gw_working_set_add(c->set, c->ram->page_bytes, batch->block->name, batch->block->pages, kind == GW_REQUESTS_BESIDE,
                               batch->page[i], n, err);
    }
    return r;
}

static struct gw_source *source_free(struct gw_source *source)
{
    struct record *c = of(source);

    c->around.inner->free(c->around.inner);
    free(c);
    return NULL;
}

int gw_source_record_new(struct gw_source *take_inner, const struct gw_requests *requests, const struct gw_ram *ram,
                         struct gw_working_set *set, struct gw_source **ret, struct gw_error *err)
{
    struct record *c = calloc(1, sizeof *c);

    if (!c) {
        take_inner->free(take_inner);
        return gw_nomem(err, "record of pages");
    }
    gw_around_init(&c->around, take_inner);
    c->around.source.next = next;
    c->around.source.free = source_free;
    c->requests = requests;
    c->ram = ram;
    c->set = set;
    *ret = &c->around.source;
    return 0;
}
