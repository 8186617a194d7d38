/* SPDX-License-Identifier: MIT */
#include "ram/source/requests.h"

#include "ram/source/around.h"

struct request {
    struct gw_ram_block *block;
    uint64_t first, end; /* pages: whole host pages, cut off at the end of the block */
};

struct gw_requests {
    struct gw_around around;
    struct gw_source *inner; /* around.inner */
    struct gw_ram *ram;
    bool open;
    bool held;
    struct gw_ram_block *some; /* the first block that is sent and has pages */
    enum gw_requests_kind kind; /* the kind of the last batch */
    struct request rest;       /* rest of a host page that was begun; first == end: none */
    struct request neighbours; /* neighbours of the last requested page */

    /* served apart */
    bool apart, large;    /* large: host pages have several target pages, and only one thread at a time takes pages */
    void (*wake)(void *opaque);
    void *opaque;
    pthread_mutex_t pick; /* with large: held while pages are taken; guards `rest`. Taken before lock */
    struct request serving; /* the rest of the current request. Belongs to the serving thread */
    bool inside;            /* serving is in the middle of a host page, and holds `pick` */
    atomic_bool rest_wanted; /* the serving thread waits for `rest` */

    pthread_mutex_t lock; /* guards the fields below */
    pthread_cond_t room, work;
    struct request hint; /* neighbours of the page that was served last; first == end: none */
    struct request queue[GW_REQUESTS_MAX];
    unsigned head, count;
    struct gw_ram_block *named; /* block of the last request that named one */
    uint64_t asked;
    bool closed, finished;
};

static struct gw_requests *of(struct gw_source *source)
{
    return GW_CONTAINER(source, struct gw_requests, around.source);
}

/* Number of target pages in a host page of this block. */
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
    while (q->apart && !q->count && !q->closed && !q->finished)
        pthread_cond_wait(&q->work, &q->lock);
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
                    : gw_fail(err, -EPROTO, GW_BLAME_PEER, "the destination asks for a page, and no request before it has named "
                              "a block");
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
        r = gw_fail(err, -ECANCELED, GW_BLAME_CALLER, "the destination asks for pages, and this session has stopped sending them");
    } else {
        q->queue[(q->head + q->count++) % GW_REQUESTS_MAX] = (struct request){
            b, offset >> q->ram->page_bits, GW_MIN((offset + bytes) >> q->ram->page_bits, b->pages)};
        q->asked++;
        pthread_cond_signal(&q->work);
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
    pthread_cond_broadcast(&q->work);
    pthread_mutex_unlock(&q->lock);
}

void gw_requests_close(struct gw_requests *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    q->count = 0;
    pthread_cond_broadcast(&q->room);
    pthread_cond_broadcast(&q->work);
    pthread_mutex_unlock(&q->lock);
}

bool gw_requests_waiting(struct gw_requests *q)
{
    bool any;

    if (q->apart)
        return atomic_load(&q->rest_wanted);
    pthread_mutex_lock(&q->lock);
    any = q->count;
    pthread_mutex_unlock(&q->lock);
    return any;
}

enum gw_requests_kind gw_requests_kind(const struct gw_requests *q)
{
    return q->kind;
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

static int begin(struct gw_source *source, const bool *goes, struct gw_error *err)
{
    struct gw_requests *q = of(source);

    q->some = NULL;
    for (unsigned i = 0; i < q->ram->count && !q->some; i++)
        if (goes[i] && q->ram->blocks[i]->pages)
            q->some = q->ram->blocks[i];
    return q->inner->begin(q->inner, goes, err);
}

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

void gw_requests_owe_one(struct gw_requests *q)
{
    uint64_t first, end;

    for (unsigned i = 0; i < q->ram->count; i++)
        if (q->inner->due(q->inner, q->ram->blocks[i], 0, &first, &end))
            return;
    if (q->some)
        q->inner->owe(q->inner, q->some, 0, host_end(q, q->some, 0));
}

void gw_requests_hold(struct gw_requests *q, bool hold)
{
    q->held = hold;
}

/* Gives the due pages of a request, and removes from it those that were given or are not due. */
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

static struct request behind(const struct gw_requests *q, const struct request *asked)
{
    uint64_t end = asked->end + GW_REQUESTS_NEIGHBOURS * host_pages(q, asked->block);

    return (struct request){asked->block, asked->end, GW_MIN(end, asked->block->pages)};
}

/* Gives one host page of a request. The rest of the request comes before everything except the rest of that page. */
static int give_asked(struct gw_requests *q, struct gw_batch *batch, struct gw_error *err)
{
    struct request asked;
    int r = 0;

    batch->count = 0;
    while (r >= 0 && !batch->count && pop(q, &asked)) {
        r = give(q, &asked, batch, err);
        q->rest = asked;
        if (batch->count)
            q->neighbours = behind(q, &asked);
    }
    return r;
}

/* Gives pages that became due again after the inner source had given its last page. */
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

/* Remembers the rest of the host page if the batch ends inside it. */
static void note_rest(struct gw_requests *q, const struct gw_batch *batch)
{
    uint64_t next, end;

    if (!batch->count || q->rest.first < q->rest.end)
        return;
    next = batch->page[batch->count - 1] + 1;
    end = host_end(q, batch->block, next - 1);
    q->rest = (struct request){batch->block, next, end};
}

static void take_hint(struct gw_requests *q)
{
    pthread_mutex_lock(&q->lock);
    if (q->hint.first < q->hint.end)
        q->neighbours = q->hint;
    q->hint = (struct request){0};
    pthread_mutex_unlock(&q->lock);
}

/* Whether the request begins in the middle of a host page. */
static bool is_inside(const struct gw_requests *q, const struct request *r)
{
    return r->first < r->end && r->first % host_pages(q, r->block);
}

static int next_open(struct gw_requests *q, struct gw_batch *batch, unsigned max, struct gw_error *err)
{
    bool inside = is_inside(q, &q->rest);
    int r = give(q, &q->rest, batch, err);

    batch->goes_on = inside && r >= 0 && batch->count;
    if (q->rest.first == q->rest.end)
        atomic_store(&q->rest_wanted, false);
    if (r < 0 || batch->count)
        return r;
    q->kind = GW_REQUESTS_ASKED;
    if (q->apart)
        take_hint(q);
    else
        r = give_asked(q, batch, err);
    if (r >= 0 && !batch->count && !q->held) {
        q->kind = GW_REQUESTS_BESIDE;
        r = give(q, &q->neighbours, batch, err);
    }
    if (r >= 0 && !batch->count)
        q->kind = GW_REQUESTS_OTHER;
    if (r >= 0 && !batch->count && !q->held)
        r = q->inner->next(q->inner, batch, max, err);
    if (r >= 0 && !batch->count && !q->held)
        r = give_left(q, batch, err);
    if (r >= 0)
        note_rest(q, batch);
    return r;
}

static void lock_pick(struct gw_requests *q)
{
    if (q->large)
        pthread_mutex_lock(&q->pick);
}

static void unlock_pick(struct gw_requests *q)
{
    if (q->large)
        pthread_mutex_unlock(&q->pick);
}

static int next(struct gw_source *source, struct gw_batch *batch, unsigned max, struct gw_error *err)
{
    struct gw_requests *q = of(source);
    int r;

    if (!q->open)
        return q->inner->next(q->inner, batch, max, err);
    lock_pick(q);
    r = next_open(q, batch, max, err);
    unlock_pick(q);
    batch->urgent = r >= 0 && batch->count && q->kind == GW_REQUESTS_ASKED;
    return r;
}

/* ---- served apart ------------------------------------------------------------------------------------------------ */

void gw_requests_serve_apart(struct gw_requests *q, void (*wake)(void *opaque), void *opaque)
{
    for (unsigned i = 0; i < q->ram->count; i++)
        q->large |= host_pages(q, q->ram->blocks[i]) > 1;
    q->wake = wake;
    q->opaque = opaque;
    q->apart = true;
}

/* Whether `rest` belongs to the host page that is being served. Under pick. */
static bool is_begun(const struct gw_requests *q)
{
    uint64_t n = host_pages(q, q->serving.block);

    return q->rest.first < q->rest.end && q->rest.block == q->serving.block && q->rest.first / n == q->serving.first / n;
}

static void leave(struct gw_requests *q)
{
    if (q->inside)
        unlock_pick(q);
    q->inside = false;
}

/* Continues the current host page, or begins the next one. 1: the batch has pages; 0: it has none. */
static int serve(struct gw_requests *q, struct gw_batch *batch, struct gw_error *err)
{
    struct request *s = &q->serving;
    uint64_t end = GW_MIN(host_end(q, s->block, s->first), s->end), n = GW_MIN(end - s->first, (uint64_t)GW_BATCH_PAGES);
    bool begun = false;
    int r = 0;

    if (!q->inside) {
        lock_pick(q);
        begun = q->large && is_begun(q);
        if (begun)
            atomic_store(&q->rest_wanted, true);
    }
    q->inside = true;
    if (!begun)
        r = q->inner->take(q->inner, batch, s->block, s->first, n, err);
    s->first = begun ? end : s->first + n;
    if (r < 0 || s->first == end)
        leave(q);
    if (begun)
        q->wake(q->opaque);
    return r < 0 ? r : batch->count > 0;
}

int gw_requests_serve(struct gw_requests *q, struct gw_batch *batch, struct gw_error *err)
{
    int r = 0;

    batch->count = 0;
    while (!r) {
        bool goes_on = q->serving.first < q->serving.end;

        if (!goes_on && !pop(q, &q->serving))
            return 0;
        if (!goes_on) {
            pthread_mutex_lock(&q->lock);
            q->hint = behind(q, &q->serving);
            pthread_mutex_unlock(&q->lock);
        }
        r = serve(q, batch, err);
    }
    return r;
}

static struct gw_source *source_free(struct gw_source *source)
{
    struct gw_requests *q = of(source);

    q->inner->free(q->inner);
    pthread_mutex_destroy(&q->pick);
    pthread_cond_destroy(&q->work);
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
                                           "capability postcopy-ram: the source of these pages has a fixed order and cannot serve "
                                           "requests");

        take_inner->free(take_inner);
        return r;
    }
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->room, NULL);
    pthread_cond_init(&q->work, NULL);
    pthread_mutex_init(&q->pick, NULL);
    q->inner = take_inner;
    q->ram = ram;
    gw_around_init(&q->around, take_inner);
    q->around.source.next = next;
    q->around.source.begin = begin;
    q->around.source.free = source_free;
    q->around.source.take = NULL; /* requested pages are given through gw_requests_ask */
    q->around.source.owe = NULL;
    *ret = &q->around.source;
    *ret_requests = q;
    return 0;
}
