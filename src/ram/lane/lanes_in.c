/* SPDX-License-Identifier: MIT */
#include "ram/lane/lanes_in.h"
#include "base/thread.h"

#include <pthread.h>

struct way {
    struct gw_lanes_in *lanes;
    struct gw_layout_in *layout;
    struct gw_store *store; /* where the lane's pages go */
    struct gw_store *own;   /* the same if it belongs to this lane, else NULL */
    struct gw_channel *channel;
    struct gw_reader reader;
    pthread_t thread;
    bool threaded;
    /* under lanes->lock */
    uint64_t reached; /* number of marks */
    struct gw_error error;
};

struct gw_lanes_in {
    struct gw_lanes_config config;
    struct gw_store *store;
    struct way way[GW_LANES_MAX];
    unsigned count;

    pthread_mutex_t lock; /* guards the fields below */
    pthread_cond_t changed;
    uint64_t passed; /* number of barriers: a lane reads on until it has reached one more than this */
    bool following; /* the machine may run */
    bool quit;
};

int gw_lanes_in_new(const struct gw_lanes_config *config, struct gw_lanes_in **ret, struct gw_error *err)
{
    struct gw_lanes_in *l = calloc(1, sizeof *l);

    if (!l)
        return gw_nomem(err, "lanes");
    l->config = *config;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->changed, NULL);
    *ret = l;
    return 0;
}

struct gw_lanes_in *gw_lanes_in_free(struct gw_lanes_in *l)
{
    if (!l)
        return NULL;
    gw_lanes_in_end(l);
    for (unsigned i = 0; i < l->count; i++)
        l->way[i].layout->free(l->way[i].layout);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->changed);
    free(l);
    return NULL;
}

int gw_lanes_in_add(struct gw_lanes_in *l, struct gw_layout_in *take_layout, struct gw_error *err)
{
    if (l->count == GW_LANES_MAX) {
        take_layout->free(take_layout);
        return gw_fail(err, -ENOSPC, GW_BLAME_LOCAL, "more than %u lanes", l->count);
    }
    l->way[l->count++] = (struct way){.lanes = l, .layout = take_layout};
    return 0;
}

int gw_lanes_in_add_block(struct gw_lanes_in *l, struct gw_ram_block *b, struct gw_error *err)
{
    int r = 0;

    for (unsigned i = 0; r >= 0 && i < l->count; i++)
        r = l->way[i].layout->add(l->way[i].layout, b, err);
    return r;
}

/* Once the machine may run, it waits for pages that would be lost with a channel: a lost channel is then reported like
 * invalid data. */
static void tell(struct way *y, const struct gw_error *why)
{
    struct gw_lanes_in *l = y->lanes;
    bool following, quit;

    if (atomic_load(&y->layout->over))
        return;
    pthread_mutex_lock(&l->lock);
    following = l->following;
    quit = l->quit;
    pthread_mutex_unlock(&l->lock);
    if (following && !quit && l->config.lost)
        l->config.lost(l->config.opaque, why);
    /* An error of the channel itself is known to the source too, and it may just be the end of the migration. */
    if (!following && why->blame != GW_BLAME_CHANNEL && l->config.failed)
        l->config.failed(l->config.opaque, why);
}

/* Reads from mark to mark, and waits at each until all lanes have reached theirs. */
static void *way_main(void *arg)
{
    struct way *y = arg;
    struct gw_lanes_in *l = y->lanes;
    int r = 0;

    pthread_mutex_lock(&l->lock);
    while (!l->quit && r >= 0) {
        struct gw_error error = GW_ERROR_INIT;

        if (y->reached > l->passed) {
            pthread_cond_wait(&l->changed, &l->lock);
            continue;
        }
        pthread_mutex_unlock(&l->lock);
        r = y->layout->get(y->layout, &y->reader, y->store, &error);
        if (r < 0) {
            gw_context(&error, "page channel %u", (unsigned)(y - l->way));
            tell(y, &error);
            /* The source's lane fails then too. Otherwise it would block, the source's session would wait for it, and
             * this session for the main stream. */
            gw_channel_shutdown(y->channel);
        }
        pthread_mutex_lock(&l->lock);
        if (r < 0)
            y->error = error;
        else
            y->reached++;
        pthread_cond_broadcast(&l->changed);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

static int start(struct gw_lanes_in *l, unsigned i, struct gw_error *err)
{
    struct way *y = &l->way[i];
    int r = l->config.open(l->config.opaque, i, &y->channel, err);

    y->reached = 0;
    y->store = l->store;
    y->error = (struct gw_error)GW_ERROR_INIT;
    if (r >= 0)
        r = gw_reader_init(&y->reader, y->channel, err);
    if (r < 0)
        return r;
    r = gw_thread_start(&y->thread, way_main, y, err);
    y->threaded = r >= 0;
    return r;
}

int gw_lanes_in_begin(struct gw_lanes_in *l, struct gw_store *store, atomic_bool *touched, struct gw_error *err)
{
    int r = 0;

    l->store = store;
    l->passed = 0;
    l->quit = l->following = false;
    for (unsigned i = 0; r >= 0 && i < l->count; i++) {
        l->way[i].layout->touched = touched;
        atomic_store(&l->way[i].layout->over, false);
        r = start(l, i, err);
    }
    return r;
}

/* Waits until all lanes have reached their next mark, or one has failed. Under lock. */
static int await_all(struct gw_lanes_in *l, struct gw_error *err)
{
    for (;;) {
        unsigned there = 0;

        for (unsigned i = 0; i < l->count; i++) {
            const struct way *y = &l->way[i];

            if (y->error.code) {
                if (err)
                    *err = y->error;
                return y->error.code;
            }
            there += y->reached > l->passed;
        }
        if (there == l->count)
            return 0;
        pthread_cond_wait(&l->changed, &l->lock);
    }
}

/* Under lock, while all lanes wait. */
static void let_go_on(struct gw_lanes_in *l)
{
    l->passed++;
    pthread_cond_broadcast(&l->changed);
}

int gw_lanes_in_barrier(struct gw_lanes_in *l, struct gw_error *err)
{
    int r;

    pthread_mutex_lock(&l->lock);
    r = await_all(l, err);
    if (r >= 0)
        let_go_on(l);
    pthread_mutex_unlock(&l->lock);
    return r;
}

/* Pages from here on are placed while the machine runs. Under lock, while the lane waits. */
static int turn(struct gw_lanes_in *l, struct way *y, struct gw_error *err)
{
    int r = l->store->lane ? l->store->lane(l->store, &y->own, err) : 0;

    if (r < 0)
        return r;
    y->store = y->own ? y->own : l->store;
    gw_channel_prompt(y->channel);
    return 0;
}

int gw_lanes_in_follow(struct gw_lanes_in *l, struct gw_error *err)
{
    int r;

    pthread_mutex_lock(&l->lock);
    r = await_all(l, err);
    for (unsigned i = 0; r >= 0 && i < l->count; i++)
        r = turn(l, &l->way[i], err);
    if (r >= 0) {
        l->following = true;
        let_go_on(l);
    }
    pthread_mutex_unlock(&l->lock);
    return r;
}

void gw_lanes_in_over(struct gw_lanes_in *l)
{
    for (unsigned i = 0; i < l->count; i++)
        atomic_store(&l->way[i].layout->over, true);
}

void gw_lanes_in_end(struct gw_lanes_in *l)
{
    pthread_mutex_lock(&l->lock);
    l->quit = true;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
    for (unsigned i = 0; i < l->count; i++)
        if (l->way[i].channel)
            gw_channel_shutdown(l->way[i].channel);
    for (unsigned i = 0; i < l->count; i++) {
        struct way *y = &l->way[i];

        if (y->threaded)
            pthread_join(y->thread, NULL);
        y->threaded = false;
        gw_reader_close(&y->reader);
        if (y->own)
            y->own->free(y->own);
        y->own = NULL;
        y->channel = NULL;
        y->layout->reset(y->layout);
    }
}

void gw_lanes_in_progress(const struct gw_lanes_in *l, struct gw_progress *sum)
{
    for (unsigned i = 0; i < l->count; i++)
        gw_progress_add(sum, l->way[i].layout->pages);
}
