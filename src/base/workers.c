/* SPDX-License-Identifier: MIT */
#include "base/workers.h"
#include "base/thread.h"

#include <assert.h>
#include <pthread.h>

struct slot {
    uint64_t n, turn;
    bool busy, done;
    int r;
    struct gw_error error;
};

/* first <= begun <= first + slots, and begun <= end except after a jump. */
struct gw_workers {
    const struct gw_workers_ops *ops;
    void *opaque;
    pthread_mutex_t lock;
    pthread_cond_t work; /* wakes threads: there may be a number to begin */
    pthread_cond_t done; /* wakes the owner */
    uint64_t first, begun, end;
    uint64_t turn; /* number of times that the order was left: results of an earlier turn are not valid */
    bool stop;
    struct slot *slots;
    unsigned slot_count, thread_count;
    unsigned started; /* threads that have taken their index */
    pthread_t threads[GW_WORKERS_MAX];
};

static struct slot *slot_of(struct gw_workers *w, uint64_t n)
{
    return &w->slots[n % w->slot_count];
}

/* Whether the result of number n is available. Under the lock, like all functions below. */
static bool is_done(struct gw_workers *w, uint64_t n)
{
    const struct slot *s = slot_of(w, n);

    return s->n == n && s->turn == w->turn && s->done;
}

/* Whether number `begun` can begin now. */
static bool can_begin(struct gw_workers *w)
{
    uint64_t n = w->begun;

    if (w->stop || n >= w->end || n - w->first >= w->slot_count || slot_of(w, n)->busy)
        return false;
    for (uint64_t older = w->first; w->ops->apart && older < n; older++)
        if (!is_done(w, older) &&
            !w->ops->apart(w->opaque, (unsigned)(n % w->slot_count), (unsigned)(older % w->slot_count)))
            return false;
    return true;
}

static void wake(struct gw_workers *w)
{
    if (can_begin(w))
        pthread_cond_signal(&w->work);
}

static void *run(void *opaque)
{
    struct gw_workers *w = opaque;
    unsigned thread;

    pthread_mutex_lock(&w->lock);
    thread = w->started++;
    while (!w->stop) {
        struct gw_error error = GW_ERROR_INIT;
        struct slot *s;
        uint64_t n;
        int r;

        if (!can_begin(w)) {
            pthread_cond_wait(&w->work, &w->lock);
            continue;
        }
        n = w->begun++;
        s = slot_of(w, n);
        s->n = n;
        s->turn = w->turn;
        s->busy = true;
        s->done = false;
        wake(w); /* each thread that begins wakes the next one, as long as there is work */
        pthread_mutex_unlock(&w->lock);
        r = w->ops->work(w->opaque, thread, n, (unsigned)(n % w->slot_count), &error);
        if (r < 0 && !error.code)
            gw_fail(&error, r, GW_BLAME_LOCAL, "%s", strerror(-r));
        pthread_mutex_lock(&w->lock);
        s->busy = false;
        s->done = true;
        s->r = r;
        s->error = error;
        pthread_cond_signal(&w->done);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

unsigned gw_workers_threads(unsigned asked, unsigned max)
{
    long processors = asked ? (long)asked : sysconf(_SC_NPROCESSORS_ONLN);

    return (unsigned)GW_MIN(GW_MAX(processors, 1), (long)GW_MIN(max, GW_WORKERS_MAX));
}

int gw_workers_new(const struct gw_workers_ops *ops, void *opaque, unsigned threads, unsigned slots,
                   struct gw_workers **ret, struct gw_error *err)
{
    struct gw_workers *w = calloc(1, sizeof *w);
    int r = 0;

    assert(threads && threads <= GW_WORKERS_MAX && slots);
    if (!w || !(w->slots = calloc(slots, sizeof *w->slots))) {
        free(w);
        return gw_nomem(err, "worker threads");
    }
    w->ops = ops;
    w->opaque = opaque;
    w->slot_count = slots;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->work, NULL);
    pthread_cond_init(&w->done, NULL);
    for (; w->thread_count < threads && r >= 0; w->thread_count += r >= 0)
        r = gw_thread_start(&w->threads[w->thread_count], run, w, w->thread_count ? NULL : err);
    if (!w->thread_count) {
        gw_workers_free(w);
        return r;
    }
    *ret = w;
    return 0;
}

void gw_workers_submit(struct gw_workers *w, uint64_t end)
{
    pthread_mutex_lock(&w->lock);
    w->end = GW_MAX(w->end, end);
    wake(w);
    pthread_mutex_unlock(&w->lock);
}

static void move(struct gw_workers *w, uint64_t n)
{
    if (n < w->first || n > w->begun) {
        w->begun = n;
        w->turn++;
    }
    w->first = n;
    wake(w);
}

int gw_workers_take(struct gw_workers *w, uint64_t n, struct gw_error *err)
{
    struct slot *s = slot_of(w, n);
    int r;

    pthread_mutex_lock(&w->lock);
    assert(n < w->end);
    move(w, n);
    while (!w->stop && !is_done(w, n))
        pthread_cond_wait(&w->done, &w->lock);
    if (!is_done(w, n)) {
        r = gw_fail(err, -ECANCELED, GW_BLAME_CALLER, "cancelled");
    } else {
        r = s->r;
        if (r < 0 && err)
            *err = s->error;
    }
    pthread_mutex_unlock(&w->lock);
    return r;
}

void gw_workers_release(struct gw_workers *w, uint64_t n)
{
    pthread_mutex_lock(&w->lock);
    move(w, n);
    pthread_mutex_unlock(&w->lock);
}

void gw_workers_cancel(struct gw_workers *w)
{
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_broadcast(&w->work);
    pthread_cond_broadcast(&w->done);
    pthread_mutex_unlock(&w->lock);
}

void gw_workers_free(struct gw_workers *w)
{
    if (!w)
        return;
    gw_workers_cancel(w);
    for (unsigned i = 0; i < w->thread_count; i++)
        pthread_join(w->threads[i], NULL);
    pthread_cond_destroy(&w->done);
    pthread_cond_destroy(&w->work);
    pthread_mutex_destroy(&w->lock);
    free(w->slots);
    free(w);
}
