/* SPDX-License-Identifier: MIT */
#include "engine/fetch.h"

#include <pthread.h>
#include <sys/sysinfo.h>

#include "ram/page/zero.h"

#define THREADS_MAX 4

/* Stripes are numbered through all blocks. One slot for each of the next GW_FETCH_STRIPES. */
struct slot {
    uint64_t number, turn;
    bool busy, ready;               /* busy: a thread fills it; under lock */
    uint8_t kinds[GW_FETCH_STRIPE]; /* 1: has contents */
    uint8_t *pages;
    struct gw_error error;
};

struct gw_fetch {
    struct gw_codec codec;
    struct gw_image *image;
    const struct gw_ram *ram;
    const unsigned *of_block;
    const struct gw_zero *zero;
    uint64_t *before; /* number of the first stripe of each block, and of the end */
    uint8_t *kept;    /* ring of pages */
    unsigned next_kept;
    const uint8_t *body[GW_BATCH_PAGES];
    struct slot slots[GW_FETCH_STRIPES];

    pthread_mutex_t lock; /* what follows, and the slots' states */
    pthread_cond_t changed;
    uint64_t wanted;    /* the stripe that is asked for, or was last */
    uint64_t next_fill; /* the first that nobody has begun */
    uint64_t turn; /* how often the order was left: what was read in an earlier turn may be read again at any time */
    bool quit;
    pthread_t thread[THREADS_MAX];
    unsigned threads;
};

static uint64_t page_bytes(const struct gw_fetch *f)
{
    return f->ram->page_bytes;
}

static int fill_run(struct gw_fetch *f, struct slot *s, unsigned block, uint64_t first, unsigned from, unsigned to)
{
    uint8_t *p = s->pages + from * page_bytes(f);
    int r = gw_image_pages(f->image, block, first + from, to - from, p, &s->error);

    for (unsigned i = from; r >= 0 && i < to; i++, p += page_bytes(f))
        s->kinds[i] = !gw_zero_page(f->zero, p, page_bytes(f));
    return r;
}

static void fill(struct gw_fetch *f, struct slot *s)
{
    unsigned at = 0, block;
    uint64_t first, count;
    int r;

    while (s->number >= f->before[at + 1])
        at++;
    block = f->of_block[at];
    first = (s->number - f->before[at]) * GW_FETCH_STRIPE;
    count = GW_MIN(f->ram->blocks[at]->pages - first, GW_FETCH_STRIPE);
    s->error = (struct gw_error)GW_ERROR_INIT;
    r = gw_image_map(f->image, block, first, count, s->kinds, &s->error);
    for (unsigned from = 0, to; r >= 0 && from < count; from = to) {
        uint8_t there = s->kinds[from];

        for (to = from + 1; to < count && s->kinds[to] == there; to++)
            ;
        if (there)
            r = fill_run(f, s, block, first, from, to);
    }
    if (r < 0 && !s->error.code)
        gw_fail(&s->error, r, GW_BLAME_LOCAL, "%s", strerror(-r));
}

/* The next stripe to be read ahead, or NULL. Under lock. */
static struct slot *claim(struct gw_fetch *f)
{
    uint64_t n = f->next_fill;
    struct slot *s = &f->slots[n % GW_FETCH_STRIPES];

    if (n >= f->before[f->ram->count] || n >= f->wanted + GW_FETCH_STRIPES || s->busy)
        return NULL;
    s->number = n;
    s->turn = f->turn;
    s->busy = true;
    s->ready = false;
    f->next_fill++;
    return s;
}

static void *reader(void *arg)
{
    struct gw_fetch *f = arg;

    pthread_mutex_lock(&f->lock);
    while (!f->quit) {
        struct slot *s = claim(f);

        if (!s) {
            pthread_cond_wait(&f->changed, &f->lock);
            continue;
        }
        pthread_mutex_unlock(&f->lock);
        fill(f, s);
        pthread_mutex_lock(&f->lock);
        s->busy = false;
        s->ready = true;
        pthread_cond_broadcast(&f->changed);
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* Waits for the stripe. Its slot stays as it is until another one is asked for. */
static int get(struct gw_fetch *f, uint64_t number, const struct slot **ret, struct gw_error *err)
{
    struct slot *s = &f->slots[number % GW_FETCH_STRIPES];

    pthread_mutex_lock(&f->lock);
    if (number != f->wanted) {
        bool ahead = number > f->wanted && number < f->next_fill;

        f->wanted = number;
        if (!ahead) { /* another order than ours: on from there */
            f->next_fill = number;
            f->turn++;
        }
        pthread_cond_broadcast(&f->changed);
    }
    while (s->busy || !s->ready || s->number != number || s->turn != f->turn)
        pthread_cond_wait(&f->changed, &f->lock);
    pthread_mutex_unlock(&f->lock);
    if (s->error.code) {
        if (err)
            *err = s->error;
        return s->error.code;
    }
    *ret = s;
    return 0;
}

static const uint8_t *keep(struct gw_fetch *f, const uint8_t *page)
{
    uint8_t *p = f->kept + f->next_kept * page_bytes(f);

    memcpy(p, page, page_bytes(f));
    f->next_kept = (f->next_kept + 1) % GW_FETCH_KEPT;
    return p;
}

static int start(struct gw_fetch *f, struct gw_error *err)
{
    unsigned want = (unsigned)GW_MIN(GW_MAX(get_nprocs(), 1), THREADS_MAX);

    for (; f->threads < want; f->threads++) {
        int r = pthread_create(&f->thread[f->threads], NULL, reader, f);

        if (r && !f->threads)
            return gw_fail(err, -r, GW_BLAME_LOCAL, "cannot start a thread: %s", strerror(r));
        if (r)
            break;
    }
    return 0;
}

static int encode(struct gw_codec *codec, struct gw_batch *batch, struct gw_error *err)
{
    struct gw_fetch *f = GW_CONTAINER(codec, struct gw_fetch, codec);
    const struct slot *s = NULL;
    uint64_t have = UINT64_MAX;
    int r = f->threads ? 0 : start(f, err);

    batch->body = f->body;
    for (unsigned i = 0; r >= 0 && i < batch->count; i++) {
        uint64_t number = f->before[batch->block->index] + batch->page[i] / GW_FETCH_STRIPE;
        unsigned at = batch->page[i] % GW_FETCH_STRIPE;

        if (number != have)
            r = get(f, number, &s, err);
        have = number;
        if (r < 0)
            break;
        batch->form[i] = s->kinds[at] ? GW_FORM_PLAIN : GW_FORM_ZERO;
        f->body[i] = s->kinds[at] ? keep(f, s->pages + at * page_bytes(f)) : NULL;
    }
    return r;
}

int gw_fetch_new(struct gw_image *image, const struct gw_ram *ram, const unsigned *of_block, struct gw_fetch **ret,
                 struct gw_error *err)
{
    struct gw_fetch *f = calloc(1, sizeof *f);
    bool good;

    if (!f)
        return gw_nomem(err, "pages of an image");
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    f->codec.encode = encode;
    f->image = image;
    f->ram = ram;
    f->of_block = of_block;
    f->zero = gw_zero_pick();
    f->before = calloc(ram->count + 1, sizeof *f->before);
    f->kept = aligned_alloc(4096, (size_t)GW_FETCH_KEPT * ram->page_bytes);
    good = f->before && f->kept;
    for (unsigned i = 0; good && i < GW_FETCH_STRIPES; i++) {
        f->slots[i].pages = aligned_alloc(4096, (size_t)GW_FETCH_STRIPE * ram->page_bytes);
        good = f->slots[i].pages;
    }
    if (!good) {
        gw_fetch_free(f);
        return gw_nomem(err, "pages of an image");
    }
    for (unsigned i = 0; i < ram->count; i++)
        f->before[i + 1] = f->before[i] + gw_div_up(ram->blocks[i]->pages, GW_FETCH_STRIPE);
    *ret = f;
    return 0;
}

struct gw_codec *gw_fetch_codec(struct gw_fetch *f)
{
    return &f->codec;
}

struct gw_fetch *gw_fetch_free(struct gw_fetch *f)
{
    if (!f)
        return NULL;
    pthread_mutex_lock(&f->lock);
    f->quit = true;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    for (unsigned i = 0; i < f->threads; i++)
        pthread_join(f->thread[i], NULL);
    for (unsigned i = 0; i < GW_FETCH_STRIPES; i++)
        free(f->slots[i].pages);
    free(f->before);
    free(f->kept);
    pthread_mutex_destroy(&f->lock);
    pthread_cond_destroy(&f->changed);
    free(f);
    return NULL;
}
