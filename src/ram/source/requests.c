/* SPDX-License-Identifier: MIT */
#include "ram/source/requests.h"

struct request {
    struct gw_ram_block *block;
    uint64_t first, end; /* pages: whole host pages, cut at the end of the block */
    bool urgent;         /* somebody waits for them */
};

struct gw_requests {
    struct gw_source source;
    struct gw_source *inner;
    struct gw_ram *ram;
    bool open;
    bool held;
    bool urgent;
    struct request rest;       /* of a host page that was begun; first == end: none was */
    struct request neighbours; /* of the last page that was asked for */

    pthread_mutex_t lock; /* what follows */
    pthread_cond_t room;
    struct request queue[GW_REQUESTS_MAX];
    unsigned head, count;
    struct gw_ram_block *named; /* by the last request that named one */
    uint64_t asked;
    bool closed, finished;
};

static struct gw_requests *of(struct gw_source *source)
{
    return GW_CONTAINER(source, struct gw_requests, source);
}

/* Target pages of a host page of this block. */
static uint64_t host_pages(const struct gw_requests *q, const struct gw_ram_block *b)
{
    return GW_MAX(b->page_bytes >> q->ram->page_bits, UINT64_C(1));
}

static uint64_t host_end(const struct gw_requests *q, const struct gw_ram_block *b, uint64_t page)
{
    uint64_t n = host_pages(q, b);

    return GW_MIN((page / n + 1) * n, b->pages);
}

/* ---- the queue --------------------------------------------------------------------------------------------------- */

static bool pop(struct gw_requests *q, struct request *ret)
{
    bool any;

    pthread_mutex_lock(&q->lock);
    any = q->count;
    if (any) {
        *ret = q->queue[q->head];
        q->head = (q->head + 1) % GW_REQUESTS_MAX;
        q->count--;
        pthread_cond_signal(&q->room);
    }
    pthread_mutex_unlock(&q->lock);
    return any;
}

static int check(const struct gw_requests *q, const struct gw_ram_block *b, uint64_t offset, uint64_t bytes,
                 struct gw_error *err)
{
    uint64_t unit = GW_MAX(b->page_bytes, (uint64_t)q->ram->page_bytes);

    if (!bytes || offset % unit || bytes % unit)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                       "the destination asks for %" PRIu64 " bytes at 0x%" PRIx64 " of block %s, whose pages have %" PRIu64
                       " bytes", bytes, offset, b->name, unit);
    if (offset >= b->used_bytes || bytes > (b->used_bytes + unit - 1) / unit * unit - offset)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                       "the destination asks for %" PRIu64 " bytes at 0x%" PRIx64 " of block %s, which has 0x%" PRIx64, bytes,
                       offset, b->name, b->used_bytes);
    return 0;
}

int gw_requests_ask(struct gw_requests *q, const char *name, uint64_t offset, uint64_t bytes, struct gw_error *err)
{
    struct gw_ram_block *b = name ? gw_ram_find(q->ram, name) : q->named;
    int r;

    if (!b || !gw_ram_migrates(b))
        return name ? gw_fail(err, -EPROTO, GW_BLAME_PEER, "the destination asks for a page of block %s, which is not sent", name)
                    : gw_fail(err, -EPROTO, GW_BLAME_PEER, "the destination asks for a page and has never said of which block");
    r = check(q, b, offset, bytes, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&q->lock);
    q->named = b;
    while (q->count == GW_REQUESTS_MAX && !q->closed && !q->finished)
        pthread_cond_wait(&q->room, &q->lock);
    if (q->finished) {
        q->asked++;
    } else if (q->closed) {
        r = gw_fail(err, -ECANCELED, GW_BLAME_CALLER, "nobody serves the pages that are asked for any more");
    } else {
        q->queue[(q->head + q->count++) % GW_REQUESTS_MAX] = (struct request){
            b, offset >> q->ram->page_bits, GW_MIN((offset + bytes) >> q->ram->page_bits, b->pages), true};
        q->asked++;
    }
    pthread_mutex_unlock(&q->lock);
    return r;
}

void gw_requests_finish(struct gw_requests *q)
{
    pthread_mutex_lock(&q->lock);
    q->finished = true;
    q->count = 0;
    pthread_cond_broadcast(&q->room);
    pthread_mutex_unlock(&q->lock);
}

void gw_requests_close(struct gw_requests *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    q->count = 0;
    pthread_cond_broadcast(&q->room);
    pthread_mutex_unlock(&q->lock);
}

bool gw_requests_waiting(struct gw_requests *q)
{
    bool any;

    pthread_mutex_lock(&q->lock);
    any = q->count;
    pthread_mutex_unlock(&q->lock);
    return any;
}

bool gw_requests_urgent(const struct gw_requests *q)
{
    return q->urgent;
}

uint64_t gw_requests_count(struct gw_requests *q)
{
    uint64_t n;

    pthread_mutex_lock(&q->lock);
    n = q->asked;
    pthread_mutex_unlock(&q->lock);
    return n;
}

/* ---- the source -------------------------------------------------------------------------------------------------- */

void gw_requests_open(struct gw_requests *q)
{
    for (unsigned i = 0; i < q->ram->count; i++) {
        struct gw_ram_block *b = q->ram->blocks[i];
        uint64_t n = host_pages(q, b), first, end, at = 0;

        while (n > 1 && q->inner->due(q->inner, b, at, &first, &end)) {
            first -= first % n;
            at = host_end(q, b, end - 1);
            q->inner->owe(q->inner, b, first, at - first);
        }
    }
    q->open = true;
}

void gw_requests_hold(struct gw_requests *q, bool hold)
{
    q->held = hold;
}

/* Gives what is due of it, and takes what it gave, or found not to be due, off it. */
static int give(struct gw_requests *q, struct request *from, struct gw_batch *batch, struct gw_error *err)
{
    int r = 0;

    batch->count = 0;
    while (r >= 0 && !batch->count && from->first < from->end) {
        uint64_t n = GW_MIN(from->end - from->first, (uint64_t)GW_BATCH_PAGES);

        r = q->inner->take(q->inner, batch, from->block, from->first, n, err);
        from->first += n;
    }
    return r;
}

/* One host page of a request: the rest of it waits in front of everything but that page's own rest. */
static int give_asked(struct gw_requests *q, struct gw_batch *batch, struct gw_error *err)
{
    struct request asked;
    int r = 0;

    batch->count = 0;
    while (r >= 0 && !batch->count && pop(q, &asked)) {
        r = give(q, &asked, batch, err);
        q->rest = asked;
        if (batch->count)
            q->neighbours = (struct request){
                asked.block, asked.end,
                GW_MIN(asked.end + GW_REQUESTS_NEIGHBOURS * host_pages(q, asked.block), asked.block->pages), false};
    }
    return r;
}

/* What became due again behind the back of the other source, which has given its last page. */
static int give_left(struct gw_requests *q, struct gw_batch *batch, struct gw_error *err)
{
    int r = 0;

    batch->count = 0;
    for (unsigned i = 0; r >= 0 && !batch->count && i < q->ram->count; i++) {
        struct request left = {.block = q->ram->blocks[i]};

        if (!q->inner->due(q->inner, left.block, 0, &left.first, &left.end))
            continue;
        r = give(q, &left, batch, err);
        q->rest = left;
    }
    return r;
}

/* A batch that ends inside a host page is gone on with. */
static void note_rest(struct gw_requests *q, const struct gw_batch *batch)
{
    uint64_t next, end;

    if (!batch->count || q->rest.first < q->rest.end)
        return;
    next = batch->page[batch->count - 1] + 1;
    end = host_end(q, batch->block, next - 1);
    q->rest = (struct request){batch->block, next, end, false};
}

static int next(struct gw_source *source, struct gw_batch *batch, unsigned max, struct gw_error *err)
{
    struct gw_requests *q = of(source);
    int r;

    if (!q->open)
        return q->inner->next(q->inner, batch, max, err);
    r = give(q, &q->rest, batch, err);
    q->urgent = batch->urgent = q->rest.urgent;
    if (r < 0 || batch->count)
        return r;
    r = give_asked(q, batch, err);
    q->urgent = batch->urgent = r >= 0 && batch->count;
    if (r >= 0 && !batch->count && !q->held)
        r = give(q, &q->neighbours, batch, err);
    if (r >= 0 && !batch->count && !q->held)
        r = q->inner->next(q->inner, batch, max, err);
    if (r >= 0 && !batch->count && !q->held)
        r = give_left(q, batch, err);
    if (r >= 0)
        note_rest(q, batch);
    return r;
}

static int sync_inner(struct gw_source *source, uint64_t *ret_fresh, struct gw_error *err)
{
    return of(source)->inner->sync(of(source)->inner, ret_fresh, err);
}

static uint64_t pending(struct gw_source *source)
{
    return of(source)->inner->pending(of(source)->inner);
}

static void sent(struct gw_source *source, struct gw_batch *batch)
{
    struct gw_source *inner = of(source)->inner;

    if (inner->sent)
        inner->sent(inner, batch);
}

static void end(struct gw_source *source)
{
    of(source)->inner->end(of(source)->inner);
}

static int begin(struct gw_source *source, const bool *goes, struct gw_error *err)
{
    return of(source)->inner->begin(of(source)->inner, goes, err);
}

static bool due(struct gw_source *source, const struct gw_ram_block *b, uint64_t from, uint64_t *ret_first, uint64_t *ret_end)
{
    return of(source)->inner->due(of(source)->inner, b, from, ret_first, ret_end);
}

static void settle(struct gw_source *source, struct gw_ram_block *b, uint64_t first, uint64_t count)
{
    of(source)->inner->settle(of(source)->inner, b, first, count);
}

static struct gw_source *source_free(struct gw_source *source)
{
    struct gw_requests *q = of(source);

    q->inner->free(q->inner);
    pthread_cond_destroy(&q->room);
    pthread_mutex_destroy(&q->lock);
    free(q);
    return NULL;
}

int gw_source_requests_new(struct gw_source *take_inner, struct gw_ram *ram, struct gw_source **ret,
                           struct gw_requests **ret_requests, struct gw_error *err)
{
    struct gw_requests *q = take_inner->take ? calloc(1, sizeof *q) : NULL;

    if (!q) {
        int r = take_inner->take ? gw_nomem(err, "requests for pages")
                                 : gw_fail(err, -ENOTSUP, GW_BLAME_CALLER,
                                           "capability postcopy-ram: these pages can be sent in their own order only");

        take_inner->free(take_inner);
        return r;
    }
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->room, NULL);
    q->inner = take_inner;
    q->ram = ram;
    q->source = (struct gw_source){.begin = begin,
                                   .next = next,
                                   .sync = sync_inner,
                                   .pending = pending,
                                   .sent = sent,
                                   .end = end,
                                   .free = source_free,
                                   .due = due,
                                   .settle = settle};
    *ret = &q->source;
    *ret_requests = q;
    return 0;
}
