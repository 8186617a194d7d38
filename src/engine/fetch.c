/* SPDX-License-Identifier: MIT */
#include "engine/fetch.h"

#include <pthread.h>
#include <sys/sysinfo.h>

#include "ram/page/zero.h"

#define THREADS_MAX 16u
#define BUFFERS     (GW_FETCH_AHEAD + GW_FETCH_HELD)

/* Stripes are numbered through all blocks. One slot for each of the next GW_FETCH_AHEAD. */
struct slot {
    uint64_t number, turn;
    bool busy, ready;               /* busy: a thread fills it; under lock */
    uint8_t kinds[GW_FETCH_STRIPE]; /* 1: has contents */
    uint8_t *pages;                 /* NULL: there was none with contents, or it is over */
    uint64_t lent;                  /* what `given` was after a page of it was given out; 0: none was */
    struct gw_error error;
};

struct held {
    uint8_t *pages;
    uint64_t lent;
};

struct gw_fetch {
    struct gw_codec codec;
    struct gw_image *image;
    const struct gw_ram *ram;
    const unsigned *of_block;
    const struct gw_zero *zero;
    uint64_t *before; /* number of the first stripe of each block, and of the end */
    uint64_t given;   /* pages with contents, in all */
    uint8_t *kept;    /* ring of copies */
    unsigned next_kept;
    struct held held[GW_FETCH_HELD]; /* ring, those lent first first */
    unsigned first_held, held_count;

    pthread_mutex_t lock; /* what follows, and the slots' states */
    pthread_cond_t work;  /* for readers: there may be something to claim */
    pthread_cond_t done;  /* for the owner: what it wants is there */
    struct slot slots[GW_FETCH_AHEAD];
    uint8_t *idle[BUFFERS]; /* of stripes */
    unsigned idle_count;
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
    r = gw_image_fetch(f->image, block, first, count, s->kinds, s->pages, &s->error);
    for (unsigned i = 0; r >= 0 && i < count; i++)
        s->kinds[i] = s->kinds[i] && !gw_zero_page(f->zero, s->pages + i * page_bytes(f), page_bytes(f));
    if (r < 0 && !s->error.code)
        gw_fail(&s->error, r, GW_BLAME_LOCAL, "%s", strerror(-r));
}

/* The next stripe to be read ahead, or NULL. Under lock. */
static struct slot *claim(struct gw_fetch *f)
{
    uint64_t n = f->next_fill;
    struct slot *s = &f->slots[n % GW_FETCH_AHEAD];

    if (n >= f->before[f->ram->count] || n >= f->wanted + GW_FETCH_AHEAD || s->busy)
        return NULL;
    /* Each of the others has one at most, and no more than GW_FETCH_HELD are held. */
    s->pages = f->idle[--f->idle_count];
    s->number = n;
    s->turn = f->turn;
    s->busy = true;
    s->ready = false;
    s->lent = 0;
    f->next_fill++;
    return s;
}

/* Nobody will ask for it any more. Under lock. */
static bool is_over(const struct gw_fetch *f, const struct slot *s)
{
    return s->turn != f->turn || s->number < f->wanted;
}

/* Its memory goes to the idle, or is held as long as a writer may reference it. Under lock. */
static void release(struct gw_fetch *f, struct slot *s)
{
    if (!s->pages)
        return;
    if (s->lent)
        f->held[(f->first_held + f->held_count++) % GW_FETCH_HELD] = (struct held){s->pages, s->lent};
    else
        f->idle[f->idle_count++] = s->pages;
    s->pages = NULL;
}

static void *reader(void *arg)
{
    struct gw_fetch *f = arg;

    pthread_mutex_lock(&f->lock);
    while (!f->quit) {
        struct slot *s = claim(f);

        if (!s) {
            pthread_cond_wait(&f->work, &f->lock);
            continue;
        }
        pthread_mutex_unlock(&f->lock);
        fill(f, s);
        pthread_mutex_lock(&f->lock);
        s->busy = false;
        s->ready = true;
        if (is_over(f, s))
            release(f, s);
        else if (s->number == f->wanted)
            pthread_cond_signal(&f->done);
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* Another stripe than the last one. Under lock. */
static void move(struct gw_fetch *f, uint64_t number)
{
    bool ahead = number > f->wanted && number < f->next_fill;

    for (; f->held_count && f->held[f->first_held].lent + GW_FETCH_KEPT <= f->given; f->held_count--) {
        f->idle[f->idle_count++] = f->held[f->first_held].pages;
        f->first_held = (f->first_held + 1) % GW_FETCH_HELD;
    }
    f->wanted = number;
    if (!ahead) { /* another order than ours: on from there */
        f->next_fill = number;
        f->turn++;
    }
    for (unsigned i = 0; i < GW_FETCH_AHEAD; i++)
        if (!f->slots[i].busy && is_over(f, &f->slots[i]))
            release(f, &f->slots[i]);
    pthread_cond_broadcast(&f->work);
}

/* Waits for the stripe. Its slot stays as it is until another one is asked for. */
static int get(struct gw_fetch *f, uint64_t number, struct slot **ret, struct gw_error *err)
{
    struct slot *s = &f->slots[number % GW_FETCH_AHEAD];

    pthread_mutex_lock(&f->lock);
    if (number != f->wanted)
        move(f, number);
    while (s->busy || !s->ready || s->number != number || s->turn != f->turn)
        pthread_cond_wait(&f->done, &f->lock);
    pthread_mutex_unlock(&f->lock);
    if (s->error.code) {
        if (err)
            *err = s->error;
        return s->error.code;
    }
    *ret = s;
    return 0;
}

static const uint8_t *copy(struct gw_fetch *f, const uint8_t *page)
{
    uint8_t *p = f->kept + f->next_kept * page_bytes(f);

    memcpy(p, page, page_bytes(f));
    f->next_kept = (f->next_kept + 1) % GW_FETCH_KEPT;
    return p;
}

/* Pages [from, to) of the batch, which are of this stripe. */
static void give(struct gw_fetch *f, struct slot *s, struct gw_batch *batch, unsigned from, unsigned to)
{
    unsigned filled = 0;

    for (unsigned i = from; i < to; i++)
        filled += s->kinds[batch->page[i] % GW_FETCH_STRIPE];
    f->given += filled;
    for (unsigned i = from; i < to; i++) {
        unsigned at = batch->page[i] % GW_FETCH_STRIPE;
        const uint8_t *page = s->pages + at * page_bytes(f);

        batch->form[i] = s->kinds[at] ? GW_FORM_PLAIN : GW_FORM_ZERO;
        batch->body[i].data = !s->kinds[at] ? NULL : filled < GW_FETCH_HALF ? copy(f, page) : page;
    }
    if (filled >= GW_FETCH_HALF)
        s->lent = f->given;
}

static int start(struct gw_fetch *f, struct gw_error *err)
{
    unsigned want = GW_MIN((unsigned)GW_MAX(get_nprocs(), 1), THREADS_MAX);

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
    int r = f->threads ? 0 : start(f, err);

    for (unsigned from = 0, to; r >= 0 && from < batch->count; from = to) {
        uint64_t stripe = batch->page[from] / GW_FETCH_STRIPE;
        struct slot *s = NULL;

        for (to = from + 1; to < batch->count && batch->page[to] / GW_FETCH_STRIPE == stripe;)
            to++;
        r = get(f, f->before[batch->block->index] + stripe, &s, err);
        if (r >= 0)
            give(f, s, batch, from, to);
    }
    return r;
}

/* The guest frees it. */
static struct gw_codec *lent(struct gw_codec *codec)
{
    return NULL;
}

int gw_fetch_new(struct gw_image *image, const struct gw_ram *ram, const unsigned *of_block, struct gw_fetch **ret,
                 struct gw_error *err)
{
    struct gw_fetch *f = calloc(1, sizeof *f);
    bool good;

    if (!f)
        return gw_nomem(err, "pages of an image");
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->work, NULL);
    pthread_cond_init(&f->done, NULL);
    f->codec = (struct gw_codec){.encode = encode, .free = lent};
    f->image = image;
    f->ram = ram;
    f->of_block = of_block;
    f->zero = gw_zero_pick();
    f->before = calloc(ram->count + 1, sizeof *f->before);
    f->kept = aligned_alloc(64, (size_t)GW_FETCH_KEPT * ram->page_bytes); /* pages have 1 KiB or more */
    good = f->before && f->kept;
    for (; good && f->idle_count < BUFFERS; f->idle_count += good) {
        f->idle[f->idle_count] = aligned_alloc(4096, (size_t)GW_FETCH_STRIPE * ram->page_bytes);
        good = f->idle[f->idle_count];
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
    pthread_cond_broadcast(&f->work);
    pthread_mutex_unlock(&f->lock);
    for (unsigned i = 0; i < f->threads; i++)
        pthread_join(f->thread[i], NULL);
    for (unsigned i = 0; i < GW_FETCH_AHEAD; i++)
        free(f->slots[i].pages);
    for (unsigned i = 0; i < f->held_count; i++)
        free(f->held[(f->first_held + i) % GW_FETCH_HELD].pages);
    for (unsigned i = 0; i < f->idle_count; i++)
        free(f->idle[i]);
    free(f->before);
    free(f->kept);
    pthread_mutex_destroy(&f->lock);
    pthread_cond_destroy(&f->work);
    pthread_cond_destroy(&f->done);
    free(f);
    return NULL;
}
