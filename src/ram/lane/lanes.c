/* SPDX-License-Identifier: MIT */
#include "ram/lane/lanes.h"

#include "base/thread.h"
#include "ram/lane/flight.h"

/* Batches for each lane: one that is being written, one that waits, and one that the writer still references; and one
 * that its codecs hold. */
#define BATCHES_PER_LANE 3u
#define BATCHES_HELD     1u
#define NO_BARRIER       GW_BARRIER_COUNT

struct way {
    struct gw_lanes *lanes;
    struct gw_flight flight;

    /* if the lane has a thread */
    unsigned index;
    pthread_t thread;
    bool threaded;
    struct gw_writer writer;
    _Atomic uint64_t bytes;
    _Atomic uint64_t missed; /* how often the kernel had copied bodies at a barrier (gw_zerocopy_missed) */
    /* under lanes->lock */
    struct gw_batch *waiting;
    enum gw_barrier barrier; /* the barrier to be reached; NO_BARRIER: none */
    struct gw_error error;   /* the first error */
};

struct gw_lanes {
    struct gw_lanes_config config;
    struct way way[GW_LANES_MAX];
    struct gw_lane *front; /* NULL: there is none */
    struct gw_flight main; /* for urgent batches; its lane is NULL: they go like all others */
    struct way *last;      /* the last one that got a batch */
    bool following;        /* the barrier POSTCOPY was reached */
    unsigned count, next; /* next: the lane that is tried first */
    bool begun;
    bool complete; /* the last barrier was reached: all bytes were written */
    struct gw_pool pool;

    pthread_mutex_t lock;   /* guards the fields below, and those of the ways that say so */
    pthread_cond_t work;    /* wakes lanes */
    pthread_cond_t changed; /* wakes the session's thread */
    bool quit;
};

int gw_lanes_new(const struct gw_lanes_config *config, struct gw_lanes **ret, struct gw_error *err)
{
    struct gw_lanes *l = calloc(1, sizeof *l);

    if (!l)
        return gw_nomem(err, "lanes");
    l->config = *config;
    gw_pool_init(&l->pool);
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->work, NULL);
    pthread_cond_init(&l->changed, NULL);
    *ret = l;
    return 0;
}

struct gw_lanes *gw_lanes_free(struct gw_lanes *l)
{
    if (!l)
        return NULL;
    gw_lanes_end(l);
    for (unsigned i = 0; i < l->count; i++)
        gw_lane_free(l->way[i].flight.lane);
    gw_lane_free(l->front);
    gw_lane_free(l->main.lane);
    gw_pool_destroy(&l->pool);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->work);
    pthread_cond_destroy(&l->changed);
    free(l);
    return NULL;
}

int gw_lanes_add(struct gw_lanes *l, struct gw_lane *take_lane, struct gw_error *err)
{
    if (l->count == (l->config.open ? GW_LANES_MAX : 1)) {
        gw_lane_free(take_lane);
        return gw_fail(err, -ENOSPC, GW_BLAME_LOCAL, "more than %u lanes", l->count);
    }
    l->way[l->count] = (struct way){
        .lanes = l, .flight = {.lane = take_lane, .pool = &l->pool}, .index = l->count, .barrier = NO_BARRIER};
    l->count++;
    return 0;
}

void gw_lanes_set_front(struct gw_lanes *l, struct gw_lane *take_lane)
{
    gw_lane_free(l->front);
    l->front = take_lane;
}

void gw_lanes_set_urgent(struct gw_lanes *l, struct gw_lane *take_lane)
{
    gw_lane_free(l->main.lane);
    l->main = (struct gw_flight){.lane = take_lane, .pool = &l->pool};
}

int gw_lanes_batch(struct gw_lanes *l, struct gw_source *source, struct gw_writer *w, struct gw_batch **ret,
                   struct gw_error *err)
{
    if (!l->config.open) {
        struct gw_flight *f = &l->way[0].flight;
        int r;

        gw_flight_land(f, w);
        r = gw_pool_empty(&l->pool) ? gw_flight_flush(f, w, err) : 0;
        if (r < 0)
            return r;
    }
    *ret = gw_pool_take(&l->pool, source);
    return 0;
}

/* ---- lanes with a thread ------------------------------------------------------------------------------------------
 */

static void note_error(struct way *y, const struct gw_error *error)
{
    pthread_mutex_lock(&y->lanes->lock);
    if (!y->error.code)
        y->error = *error;
    pthread_cond_broadcast(&y->lanes->changed);
    pthread_mutex_unlock(&y->lanes->lock);
}

/* The error of any lane; if several failed, of the first in their order. Under lock. */
static int first_error(const struct gw_lanes *l, struct gw_error *err)
{
    for (unsigned i = 0; i < l->count; i++) {
        const struct way *y = &l->way[i];

        if (!y->error.code)
            continue;
        if (err)
            *err = y->error;
        return y->error.code;
    }
    return 0;
}

static void put_batch(struct way *y, struct gw_batch *b, bool failed)
{
    struct gw_error error = GW_ERROR_INIT;
    int r;

    if (failed) {
        gw_pool_give_back(&y->lanes->pool, b);
        return;
    }
    r = gw_flight_put(&y->flight, b, &y->writer, &error);
    /* Flush now: no later call would flush this channel. */
    if (r >= 0)
        r = gw_writer_flush(&y->writer, &error);
    atomic_store_explicit(&y->bytes, gw_writer_offset(&y->writer), memory_order_relaxed);
    if (r < 0) {
        gw_context(&error, "page channel %u", y->index);
        note_error(y, &error);
    }
    gw_flight_land(&y->flight, &y->writer);
}

static void reach(struct way *y, enum gw_barrier kind, bool failed)
{
    struct gw_error error = GW_ERROR_INIT;
    int r = failed ? 0 : gw_flight_barrier(&y->flight, kind, &y->writer, &error);

    /* At the end of a step no page is sent again yet. */
    if (r >= 0 && !failed)
        r = kind == GW_BARRIER_STEP ? gw_writer_flush(&y->writer, &error) : gw_writer_settle(&y->writer, &error);
    if (kind == GW_BARRIER_POSTCOPY) /* another thread may be sending a requested page on this channel */
        gw_channel_prompt(y->writer.channel);
    atomic_store_explicit(&y->bytes, gw_writer_offset(&y->writer), memory_order_relaxed);
    if (y->writer.zerocopy)
        atomic_store_explicit(&y->missed, gw_zerocopy_missed(y->writer.zerocopy), memory_order_relaxed);
    if (r < 0) {
        gw_context(&error, "page channel %u", y->index);
        note_error(y, &error);
    }
    gw_flight_land(&y->flight, &y->writer);
}

/* There is nothing to do: waits for the oldest batch. */
static void await_oldest(struct way *y)
{
    struct gw_error error = GW_ERROR_INIT;

    if (gw_flight_await(&y->flight, &y->writer, &error) < 0) {
        gw_context(&error, "page channel %u", y->index);
        note_error(y, &error);
    }
}

static void *way_main(void *arg)
{
    struct way *y = arg;
    struct gw_lanes *l = y->lanes;

    pthread_mutex_lock(&l->lock);
    for (;;) {
        struct gw_batch *b = y->waiting;
        enum gw_barrier kind = y->barrier;
        bool failed = y->error.code;

        if (!b && kind == NO_BARRIER) {
            if (l->quit)
                break;
            if (y->flight.flying) {
                pthread_mutex_unlock(&l->lock);
                await_oldest(y);
                pthread_mutex_lock(&l->lock);
                continue;
            }
            pthread_cond_wait(&l->work, &l->lock);
            continue;
        }
        y->waiting = NULL;
        pthread_cond_broadcast(&l->changed);
        pthread_mutex_unlock(&l->lock);
        if (b)
            put_batch(y, b, failed);
        else
            reach(y, kind, failed);
        pthread_mutex_lock(&l->lock);
        if (!b) {
            y->barrier = NO_BARRIER;
            pthread_cond_broadcast(&l->changed);
        }
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

static int start(struct way *y, struct gw_error *err)
{
    struct gw_lanes *l = y->lanes;
    struct gw_channel *channel;
    int r = l->config.open(l->config.opaque, y->index, &channel, err);

    y->error = (struct gw_error)GW_ERROR_INIT;
    y->barrier = NO_BARRIER;
    if (r >= 0)
        r = gw_writer_init(&y->writer, channel, err);
    if (r >= 0 && l->config.zerocopy)
        r = gw_writer_zerocopy(&y->writer, err);
    if (r < 0)
        return r;
    y->writer.account = l->config.account;
    gw_writer_cause(&y->writer, GW_CAUSE_RAM_META);
    r = gw_thread_start(&y->thread, way_main, y, err);
    y->threaded = r >= 0;
    return r;
}

/* A lane without a waiting batch; the search starts after the last one. Under lock. NULL: none. */
static struct way *free_way(struct gw_lanes *l)
{
    for (unsigned i = 0; i < l->count; i++) {
        struct way *y = &l->way[(l->next + i) % l->count];

        if (y->waiting)
            continue;
        l->next = (y->index + 1) % l->count;
        return y;
    }
    return NULL;
}

/* The lane for this batch, if it has no waiting batch. Under lock. */
static struct way *way_for(struct gw_lanes *l, const struct gw_batch *b)
{
    if (!b->goes_on || !l->last)
        return free_way(l);
    return l->last->waiting ? NULL : l->last;
}

static int hand_over(struct gw_lanes *l, struct gw_batch *b, struct gw_error *err)
{
    struct way *y;
    int r;

    pthread_mutex_lock(&l->lock);
    while (!(r = first_error(l, err)) && !(y = way_for(l, b)))
        pthread_cond_wait(&l->changed, &l->lock);
    if (r >= 0) {
        l->last = y;
        y->waiting = b;
        pthread_cond_broadcast(&l->work);
    }
    pthread_mutex_unlock(&l->lock);
    if (r < 0)
        gw_pool_give_back(&l->pool, b);
    return r;
}

static int reach_all(struct gw_lanes *l, enum gw_barrier kind, struct gw_error *err)
{
    bool passes = l->following && kind == GW_BARRIER_STEP; /* no page is sent again that could be overtaken */
    int r;

    pthread_mutex_lock(&l->lock);
    /* A lane processes its waiting batch before the barrier. */
    for (unsigned i = 0; i < l->count && !passes; i++)
        l->way[i].barrier = kind;
    pthread_cond_broadcast(&l->work);
    for (unsigned i = 0; i < l->count; i++)
        while (l->way[i].barrier != NO_BARRIER)
            pthread_cond_wait(&l->changed, &l->lock);
    r = first_error(l, err);
    pthread_mutex_unlock(&l->lock);
    return r;
}

/* ---- a session ----------------------------------------------------------------------------------------------------
 */

uint64_t gw_lanes_body_bytes(unsigned count, uint32_t page_bytes)
{
    return (uint64_t)count * BATCHES_PER_LANE * GW_BATCH_PAGES * page_bytes;
}

int gw_lanes_begin(struct gw_lanes *l, struct gw_error *err)
{
    unsigned batches = l->count * BATCHES_PER_LANE;
    int r = l->front ? gw_lane_begin(l->front, err) : 0;

    l->begun = true;
    l->quit = l->complete = l->following = false;
    l->last = NULL;
    if (r >= 0 && l->main.lane)
        r = gw_lane_begin(l->main.lane, err);
    for (unsigned i = 0; i < l->count; i++)
        batches += gw_lane_holds(l->way[i].flight.lane) ? BATCHES_HELD : 0;
    if (r >= 0)
        r = gw_pool_fill(&l->pool, batches, err);
    for (unsigned i = 0; r >= 0 && i < l->count; i++) {
        r = gw_lane_begin(l->way[i].flight.lane, err);
        if (r >= 0 && l->config.open)
            r = start(&l->way[i], err);
    }
    return r;
}

int gw_lanes_list(struct gw_lanes *l, struct gw_ram_block *b, struct gw_writer *w, struct gw_error *err)
{
    return gw_lane_list(l->way[0].flight.lane, b, w, err);
}

int gw_lanes_submit(struct gw_lanes *l, struct gw_batch *b, struct gw_writer *w, struct gw_error *err)
{
    bool urgent = b->urgent, here = urgent && l->main.lane; /* here: the caller's thread writes the batch itself */
    struct gw_flight *f = here ? &l->main : &l->way[0].flight;
    int r = b->count && l->front ? gw_lane_put(l->front, b, w, err) : 0;

    if (!b->count || r < 0) {
        gw_pool_give_back(&l->pool, b);
        return r;
    }
    if (l->config.open && !here)
        return hand_over(l, b, err);
    r = gw_flight_put(f, b, w, err);
    if (r >= 0 && urgent)
        r = gw_flight_finish(f, w, err);
    return r >= 0 && urgent ? gw_flight_flush(f, w, err) : r;
}

int gw_lanes_barrier(struct gw_lanes *l, enum gw_barrier kind, struct gw_writer *w, struct gw_error *err)
{
    struct gw_flight *f = &l->way[0].flight;
    int r = l->config.open ? reach_all(l, kind, err) : gw_flight_barrier(f, kind, w, err);

    if (r >= 0 && l->main.lane)
        r = gw_flight_barrier(&l->main, kind, w, err);
    if (r >= 0 && l->front)
        r = gw_lane_barrier(l->front, kind, w, err);
    l->following |= kind == GW_BARRIER_POSTCOPY;
    if (r >= 0 && kind == GW_BARRIER_END && f->flying && !l->config.open)
        r = gw_flight_flush(f, w, err);
    l->complete = r >= 0 && kind == GW_BARRIER_END;
    return r;
}

void gw_lanes_end(struct gw_lanes *l)
{
    if (!l->begun)
        return;
    pthread_mutex_lock(&l->lock);
    l->quit = true;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    /* A lane may be blocked in writing to a peer that reads no more. */
    for (unsigned i = 0; i < l->count && !l->complete; i++)
        if (l->way[i].threaded)
            gw_channel_shutdown(l->way[i].writer.channel);
    for (unsigned i = 0; i < l->count; i++) {
        struct way *y = &l->way[i];

        if (y->threaded)
            pthread_join(y->thread, NULL);
        y->threaded = false;
        if (l->config.open)
            gw_writer_close(&y->writer);
        gw_flight_end(&y->flight);
    }
    if (l->front)
        gw_lane_end(l->front);
    if (l->main.lane)
        gw_flight_end(&l->main);
    gw_pool_drain(&l->pool);
    l->begun = false;
}

uint64_t gw_lanes_bytes(const struct gw_lanes *l)
{
    uint64_t n = 0;

    for (unsigned i = 0; l->config.open && i < l->count; i++)
        n += atomic_load_explicit(&l->way[i].bytes, memory_order_relaxed);
    return n;
}

void gw_lanes_progress(const struct gw_lanes *l, struct gw_progress *sum)
{
    for (unsigned i = 0; i < l->count; i++)
        gw_lane_progress(l->way[i].flight.lane, sum);
    if (l->front)
        gw_lane_progress(l->front, sum);
    if (l->main.lane)
        gw_lane_progress(l->main.lane, sum);
    sum->channel_bytes += gw_lanes_bytes(l);
    for (unsigned i = 0; i < l->count; i++)
        sum->missed_zero_copy += atomic_load_explicit(&l->way[i].missed, memory_order_relaxed);
}
