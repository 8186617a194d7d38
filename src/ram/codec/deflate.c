/* SPDX-License-Identifier: MIT */
#include "ram/codec/deflate.h"

#include "base/workers.h"
#include "ram/codec/zpage.h"

/* ---- sending ------------------------------------------------------------------------------------------------------
 */

#define LENGTH_BYTES 4u  /* bytes of a record between its head and the stream */
#define JOB_PAGES    16u /* enough to make the cost of handing over small */
#define JOBS         64u /* of one batch */
#define SLOTS        (2 * JOBS)
#define PERIOD_NS    GW_NS_PER_S

struct job {
    struct gw_batch *batch;
    unsigned from, end, pages;
    _Atomic uint64_t owned; /* 2 * its number, plus 1 when it is owned */
};

struct packer { /* What one thread uses. */
    struct gw_zpack *pack;
    uint8_t *copy;
};

struct deflate {
    struct gw_codec codec;
    const struct gw_ram *ram;
    struct gw_clock clock;
    struct gw_deflate_config config;
    struct packer *packers;
    struct gw_workers *workers;
    struct job job[SLOTS];
    uint64_t begun, finished; /* counts jobs */

    _Atomic uint64_t pages, bytes, busy; /* totals */
    uint64_t handled;                    /* pages of all forms in this accounting period */
    struct gw_compression_stats period;  /* the totals when the period began */
    uint64_t began_ns;                   /* start of the period */
    _Atomic double busy_rate, compression_rate;
};

static struct deflate *of(struct gw_codec *codec)
{
    return GW_CONTAINER(codec, struct deflate, codec);
}

static void pack_page(struct deflate *d, struct packer *p, struct gw_batch *batch, unsigned i)
{
    uint32_t bytes = d->ram->page_bytes, n;
    struct gw_body *body = &batch->body[i];
    uint8_t *room = gw_batch_room(batch, i, bytes); /* the room exists: encode has allocated it */

    memcpy(p->copy, body->data, bytes);
    n = gw_zpack_hopeless(p->copy, bytes) ? 0 : gw_zpack(p->pack, p->copy, bytes, room, bytes - bytes / 16);
    if (n) {
        batch->form[i] = GW_FORM_DEFLATE;
        *body = (struct gw_body){room, n};
        atomic_fetch_add_explicit(&d->pages, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&d->bytes, LENGTH_BYTES + n, memory_order_relaxed);
    } else if (body->data == room) { /* an earlier codec has put the page there */
        memcpy(room, p->copy, bytes);
    }
}

static int work(void *opaque, unsigned thread, uint64_t n, unsigned slot, struct gw_error *err)
{
    struct deflate *d = opaque;
    struct job *j = &d->job[slot];
    uint64_t mine = 2 * n;

    if (!atomic_compare_exchange_strong(&j->owned, &mine, mine + 1))
        return 0;
    for (unsigned i = j->from; i < j->end; i++)
        if (j->batch->form[i] == GW_FORM_OPEN)
            pack_page(d, &d->packers[thread], j->batch, i);
    return 0;
}

/* Pages in a job: enough for every thread to get some, and not more jobs than JOBS. */
static unsigned share(const struct deflate *d, unsigned open)
{
    unsigned pages = (unsigned)GW_MIN(gw_div_up(open, 2 * d->config.threads), JOB_PAGES);

    return (unsigned)GW_MAX(pages, gw_div_up(open, JOBS));
}

static int encode(struct gw_codec *codec, struct gw_batch *batch, struct gw_error *err)
{
    struct deflate *d = of(codec);
    unsigned open = 0, pages, from = 0, n = 0;

    d->handled += batch->count;
    for (unsigned i = 0; i < batch->count; i++)
        open += batch->form[i] == GW_FORM_OPEN;
    if (!open || batch->urgent) /* an urgent batch would have to wait for a thread too */
        return 0;
    if (!gw_batch_room(batch, 0, d->ram->page_bytes))
        return gw_nomem(err, "compressed pages");
    pages = share(d, open);
    for (unsigned i = 0; open; i++) {
        struct job *j = &d->job[d->begun % SLOTS];

        if (batch->form[i] != GW_FORM_OPEN)
            continue;
        open--;
        if (++n < pages && open)
            continue;
        j->batch = batch;
        j->from = from;
        j->end = from = i + 1;
        j->pages = n;
        n = 0;
        atomic_store(&j->owned, 2 * d->begun);
        d->begun++;
    }
    gw_workers_submit(d->workers, d->begun);
    return 0;
}

static int finish(struct gw_codec *codec, struct gw_batch *batch, struct gw_error *err)
{
    struct deflate *d = of(codec);
    int r = 0;

    while (r >= 0 && d->finished < d->begun) {
        struct job *j = &d->job[d->finished % SLOTS];
        uint64_t free_one = 2 * d->finished;

        if (j->batch != batch)
            break;
        if (!d->config.wait && atomic_compare_exchange_strong(&j->owned, &free_one, free_one + 1))
            atomic_fetch_add_explicit(&d->busy, j->pages, memory_order_relaxed);
        else
            r = gw_workers_take(d->workers, d->finished, err);
        j->batch = NULL;
        d->finished++;
    }
    gw_workers_release(d->workers, d->finished);
    return r;
}

static int barrier(struct gw_codec *codec, enum gw_barrier kind, struct gw_error *err)
{
    struct deflate *d = of(codec);
    uint64_t now = gw_now_ns(&d->clock);
    struct gw_compression_stats sum = {.pages = d->pages, .busy = d->busy, .bytes = d->bytes};

    if ((kind != GW_BARRIER_ROUND && kind != GW_BARRIER_SWITCH) || now - d->began_ns < PERIOD_NS)
        return 0;
    d->busy_rate = gw_ratio(sum.busy - d->period.busy, d->handled);
    d->compression_rate = gw_ratio((sum.pages - d->period.pages) * d->ram->page_bytes, sum.bytes - d->period.bytes);
    d->period = sum;
    d->handled = 0;
    d->began_ns = now;
    return 0;
}

static void end(struct gw_codec *codec)
{
    struct deflate *d = of(codec);

    gw_workers_free(d->workers);
    d->workers = NULL;
    for (unsigned i = 0; d->packers && i < d->config.threads; i++) {
        gw_zpack_free(d->packers[i].pack);
        free(d->packers[i].copy);
    }
    free(d->packers);
    d->packers = NULL;
}

static int begin(struct gw_codec *codec, struct gw_error *err)
{
    static const struct gw_workers_ops ops = {.work = work};
    struct deflate *d = of(codec);
    int r = 0;

    end(codec);
    d->begun = d->finished = d->handled = 0;
    d->period = (struct gw_compression_stats){.pages = d->pages, .busy = d->busy, .bytes = d->bytes};
    d->began_ns = gw_now_ns(&d->clock);
    d->packers = calloc(d->config.threads, sizeof *d->packers);
    if (!d->packers)
        return gw_nomem(err, "compression of pages");
    for (unsigned i = 0; r >= 0 && i < d->config.threads; i++) {
        d->packers[i].copy = aligned_alloc(GW_RAM_ALIGNMENT, d->ram->page_bytes);
        r = d->packers[i].copy ? gw_zpack_new(d->config.level, &d->packers[i].pack, err)
                               : gw_nomem(err, "compression of pages");
    }
    return r < 0 ? r : gw_workers_new(&ops, d, d->config.threads, SLOTS, &d->workers, err);
}

static void progress(struct gw_codec *codec, struct gw_progress *sum)
{
    struct deflate *d = of(codec);

    sum->compression = (struct gw_compression_stats){.threads = d->config.threads,
                                                     .pages = d->pages,
                                                     .busy = d->busy,
                                                     .bytes = d->bytes,
                                                     .busy_rate = d->busy_rate,
                                                     .compression_rate = d->compression_rate};
}

static struct gw_codec *codec_free(struct gw_codec *codec)
{
    end(codec);
    free(of(codec));
    return NULL;
}

int gw_codec_deflate_new(const struct gw_ram *ram, const struct gw_deflate_config *config, const struct gw_clock *clock,
                         struct gw_codec **ret, struct gw_error *err)
{
    struct deflate *d = calloc(1, sizeof *d);

    if (!d)
        return gw_nomem(err, "compression of pages");
    *d = (struct deflate){.codec = {.begin = begin,
                                    .encode = encode,
                                    .finish = finish,
                                    .barrier = barrier,
                                    .progress = progress,
                                    .end = end,
                                    .free = codec_free},
                          .ram = ram,
                          .clock = *clock,
                          .config = *config};
    d->config.threads = gw_workers_threads(config->threads, GW_WORKERS_MAX);
    *ret = &d->codec;
    return 0;
}

/* ---- receiving ----------------------------------------------------------------------------------------------------
 */

#define GROUP_PAGES 16u
#define GROUP_BYTES 65536u
#define HASHES      4096u

struct item {
    struct gw_ram_block *block;
    uint64_t page, at;
    uint8_t *dst;
    uint32_t from, bytes; /* offset and size in the group's buffer */
};

struct group {
    struct item item[GROUP_PAGES];
    unsigned count;
    uint32_t bytes;
    uint8_t *coded;
};

struct decoder {
    struct gw_codec codec;
    const struct gw_ram *ram;
    unsigned threads, groups;
    struct gw_store *store;
    struct gw_zunpack **unpack; /* one for each thread */
    struct gw_workers *workers; /* NULL: no record came yet */
    struct group *group;
    uint64_t filling, taken; /* numbers of groups: the one that is being filled; the oldest that may be unfinished */
    uint16_t pages[HASHES];  /* number of pages in groups, by hash */
};

static struct decoder *decoder_of(struct gw_codec *codec)
{
    return GW_CONTAINER(codec, struct decoder, codec);
}

/* Consecutive pages have different hashes. */
static uint16_t *hash(struct decoder *d, const struct gw_ram_block *b, uint64_t page)
{
    return &d->pages[(page + b->index * 1021u) % HASHES];
}

static int unpack(void *opaque, unsigned thread, uint64_t n, unsigned slot, struct gw_error *err)
{
    struct decoder *d = opaque;
    struct group *g = &d->group[slot];

    for (unsigned i = 0; i < g->count; i++) {
        const struct item *t = &g->item[i];
        int r = gw_zunpack(d->unpack[thread], g->coded + t->from, t->bytes, t->dst, d->ram->page_bytes, err);

        if (r < 0) {
            gw_context(err, "compressed page at byte %" PRIu64 ": offset 0x%" PRIx64 " of RAM block %s", t->at,
                       t->page << d->ram->page_bits, t->block->name);
            return r;
        }
        r = d->store->place(d->store, t->block, t->page, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static void close_threads(struct decoder *d)
{
    gw_workers_free(d->workers);
    d->workers = NULL;
    for (unsigned i = 0; d->unpack && i < d->threads; i++)
        gw_zunpack_free(d->unpack[i]);
    free(d->unpack);
    d->unpack = NULL;
    for (unsigned i = 0; d->group && i < d->groups; i++)
        free(d->group[i].coded);
    free(d->group);
    d->group = NULL;
}

/* Bytes that a group can hold: a stream may be a little longer than its page. */
static uint32_t group_bytes(const struct decoder *d)
{
    return GW_MAX(GROUP_BYTES, 2 * d->ram->page_bytes);
}

static int open_threads(struct decoder *d, struct gw_error *err)
{
    static const struct gw_workers_ops ops = {.work = unpack};
    int r = 0;

    d->filling = d->taken = 0;
    d->unpack = calloc(d->threads, sizeof *d->unpack);
    d->group = calloc(d->groups, sizeof *d->group);
    if (!d->unpack || !d->group)
        r = gw_nomem(err, "decompression of pages");
    for (unsigned i = 0; r >= 0 && i < d->groups; i++)
        if (!(d->group[i].coded = malloc(group_bytes(d))))
            r = gw_nomem(err, "decompression of pages");
    for (unsigned i = 0; r >= 0 && i < d->threads; i++)
        r = gw_zunpack_new(&d->unpack[i], err);
    if (r >= 0)
        r = gw_workers_new(&ops, d, d->threads, d->groups, &d->workers, err);
    if (r < 0)
        close_threads(d);
    return r;
}

/* Waits for the oldest group. Its slot is free then, even after a failure. */
static int take(struct decoder *d, struct gw_error *err)
{
    struct group *g = &d->group[d->taken % d->groups];
    int r = gw_workers_take(d->workers, d->taken, err);

    for (unsigned i = 0; i < g->count; i++)
        --*hash(d, g->item[i].block, g->item[i].page);
    g->count = g->bytes = 0;
    gw_workers_release(d->workers, ++d->taken);
    return r;
}

static void submit(struct decoder *d)
{
    if (d->group[d->filling % d->groups].count)
        gw_workers_submit(d->workers, ++d->filling);
}

/* Waits until all pages so far are placed. The first error is returned; the groups after it are still waited for. */
static int settle(struct decoder *d, struct gw_error *err)
{
    int first = 0;

    submit(d);
    while (d->taken < d->filling) {
        int r = take(d, first < 0 ? NULL : err);

        first = first < 0 ? first : r;
    }
    return first;
}

static int await(struct gw_codec *codec, struct gw_ram_block *b, uint64_t page, struct gw_error *err)
{
    struct decoder *d = decoder_of(codec);

    if (!d->workers || (b && !*hash(d, b, page)))
        return 0;
    return settle(d, err);
}

static int decode_later(struct gw_codec *codec, struct gw_store *store, struct gw_ram_block *b, uint64_t page, uint64_t at,
                        const uint8_t *coded, size_t bytes, uint8_t *dst, struct gw_error *err)
{
    struct decoder *d = decoder_of(codec);
    struct group *g;
    int r = d->workers ? 0 : open_threads(d, err);

    if (r >= 0 && d->store != store) { /* threads read d->store: wait for them before it changes */
        r = settle(d, err);
        d->store = store;
    }
    if (r < 0)
        return r;
    g = &d->group[d->filling % d->groups];
    if (g->count == GROUP_PAGES || bytes > group_bytes(d) - g->bytes)
        submit(d);
    if (d->filling - d->taken == d->groups)
        r = take(d, err);
    if (r < 0)
        return r;
    g = &d->group[d->filling % d->groups];
    memcpy(g->coded + g->bytes, coded, bytes);
    g->item[g->count++] = (struct item){b, page, at, dst, g->bytes, (uint32_t)bytes};
    g->bytes += (uint32_t)bytes;
    ++*hash(d, b, page);
    return 0;
}

static struct gw_codec *decoder_free(struct gw_codec *codec)
{
    close_threads(decoder_of(codec));
    free(decoder_of(codec));
    return NULL;
}

int gw_codec_deflate_decoder_new(const struct gw_ram *ram, unsigned threads, struct gw_codec **ret, struct gw_error *err)
{
    struct decoder *d = calloc(1, sizeof *d);

    if (!d)
        return gw_nomem(err, "decompression of pages");
    threads = gw_workers_threads(threads, GW_WORKERS_MAX);
    *d = (struct decoder){.codec = {.decode_later = decode_later, .await = await, .free = decoder_free},
                          .ram = ram,
                          .threads = threads,
                          .groups = 2 * threads + 2};
    *ret = &d->codec;
    return 0;
}
