/* SPDX-License-Identifier: MIT */
#include "channel/links.h"

#include <time.h>

#include "channel/cancel.h"
#include "godwit/clock.h"

struct gw_links_admitted {
    struct gw_links *links;
    struct gw_channel *channel; /* NULL: handed over, or refused. Under the lock */
    struct gw_reader *reader;
    pthread_t thread;
    bool done; /* the thread ends without touching anything more. Under the lock */
};

void gw_links_init(struct gw_links *l, const struct gw_links_ops *ops, void *opaque, uint64_t hello_ns)
{
    pthread_condattr_t attr;

    *l = (struct gw_links){.ops = ops, .opaque = opaque, .hello_ns = hello_ns};
    pthread_mutex_init(&l->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&l->changed, &attr);
    pthread_condattr_destroy(&attr);
}

static void free_reader(struct gw_reader *r)
{
    if (r)
        gw_reader_close(r);
    free(r);
}

static bool is_valid(enum gw_link purpose, unsigned index)
{
    return purpose <= GW_LINK_PAGES && index < (purpose == GW_LINK_PAGES ? GW_LINKS_PAGES : 1);
}

static int fail_invalid(enum gw_link purpose, unsigned index, struct gw_error *err)
{
    return gw_fail(err, -ERANGE, GW_BLAME_PEER, "channel %u of kind %u cannot be", index, (unsigned)purpose);
}

/* ---- registered ----------------------------------------------------------------------------------------------------
 */

void gw_links_put(struct gw_links *l, enum gw_link purpose, unsigned index, struct gw_channel *channel)
{
    pthread_mutex_lock(&l->lock);
    l->place[purpose + index].channel = channel;
    if (channel && l->shut)
        gw_channel_shutdown(channel);
    pthread_mutex_unlock(&l->lock);
}

int gw_links_open(struct gw_links *l, gw_dial_fn dial, void *opaque, enum gw_link purpose, unsigned index,
                  struct gw_cancel *cancel, struct gw_channel **ret, struct gw_error *err)
{
    struct gw_channel *channel = NULL;
    bool taken;
    int r;

    if (!is_valid(purpose, index))
        return fail_invalid(purpose, index, err);
    r = dial(opaque, purpose, index, cancel, &channel, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&l->lock);
    taken = l->place[purpose + index].channel;
    if (!taken)
        l->place[purpose + index].channel = channel;
    if (l->shut)
        gw_channel_shutdown(channel);
    pthread_mutex_unlock(&l->lock);
    if (taken) {
        gw_channel_free(channel);
        return gw_fail(err, -EEXIST, GW_BLAME_CALLER, "this channel is open already");
    }
    *ret = channel;
    return 0;
}

void gw_links_shut(struct gw_links *l)
{
    pthread_mutex_lock(&l->lock);
    l->shut = true;
    for (size_t i = 0; i < GW_ARRAY_LEN(l->place); i++)
        if (l->place[i].channel)
            gw_channel_shutdown(l->place[i].channel);
    for (size_t i = 0; i < GW_ARRAY_LEN(l->admitted); i++)
        if (l->admitted[i] && l->admitted[i]->channel)
            gw_channel_shutdown(l->admitted[i]->channel);
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
}

void gw_links_shut_pages(struct gw_links *l)
{
    pthread_mutex_lock(&l->lock);
    for (size_t i = GW_LINK_PAGES; i < GW_ARRAY_LEN(l->place); i++)
        if (l->place[i].channel && !l->place[i].reader)
            gw_channel_shutdown(l->place[i].channel);
    pthread_mutex_unlock(&l->lock);
}

/* ---- admitted ------------------------------------------------------------------------------------------------------
 */

/* Reads no more than the classifier asks for. */
static int find_out(struct gw_links_admitted *a, struct gw_link_id *ret, struct gw_error *err)
{
    struct gw_links *l = a->links;
    uint64_t deadline = gw_deadline(l->hello_ns);
    const uint8_t *first = NULL;
    bool silent = false;

    for (;;) {
        size_t got = gw_reader_buffered(a->reader);
        int need = l->ops->classify(l->opaque, first, got, silent, ret, err);
        uint64_t now = gw_now_ns(&gw_clock_real);
        int r;

        if (need <= 0)
            return need;
        if (silent || (size_t)need <= got || need > GW_LINKS_FIRST)
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "cannot be told by %zu bytes", got);
        /* What is there already is read, however late this thread is. */
        gw_channel_set_timeout(a->channel, !deadline ? 0 : now < deadline ? deadline - now : 1);
        a->reader->readahead = (size_t)need - got - 1;
        r = gw_reader_need(a->reader, got + 1, &first, err);
        if (r == -ETIMEDOUT && !got) {
            /* A reader keeps its error: what comes later needs a new one. */
            gw_reader_close(a->reader);
            r = gw_reader_init(a->reader, a->channel, err);
            silent = true;
        }
        if (r < 0)
            return r;
    }
}

static int settle(struct gw_links_admitted *a, const struct gw_link_id *id, struct gw_error *err)
{
    struct gw_links *l = a->links;
    int r = 0;

    if (!is_valid(id->purpose, id->index))
        return fail_invalid(id->purpose, id->index, err);
    if (id->consume > gw_reader_buffered(a->reader))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "its greeting is incomplete");
    gw_reader_skip(a->reader, id->consume);
    a->reader->readahead = GW_READER_CAP;
    gw_channel_set_timeout(a->channel, 0);
    pthread_mutex_lock(&l->lock);
    if (l->shut) {
        r = gw_fail_canceled(err);
    } else if (l->place[id->purpose + id->index].channel) {
        r = gw_fail(err, -EEXIST, GW_BLAME_PEER, "another connection is channel %u of kind %u", id->index,
                    (unsigned)id->purpose);
    } else {
        l->place[id->purpose + id->index].channel = a->channel;
        l->place[id->purpose + id->index].reader = a->reader;
        a->channel = NULL;
        a->reader = NULL;
    }
    pthread_mutex_unlock(&l->lock);
    return r;
}

static void refuse(struct gw_links_admitted *a, const struct gw_error *why)
{
    struct gw_links *l = a->links;
    struct gw_channel *channel = a->channel;

    if (l->ops->dropped)
        l->ops->dropped(l->opaque, channel->name, why);
    pthread_mutex_lock(&l->lock);
    a->channel = NULL;
    pthread_mutex_unlock(&l->lock);
    free_reader(a->reader);
    a->reader = NULL;
    gw_channel_free(channel);
}

static void *admitted_main(void *arg)
{
    struct gw_links_admitted *a = arg;
    struct gw_links *l = a->links;
    struct gw_error error = GW_ERROR_INIT;
    struct gw_link_id id = {0};
    int r = find_out(a, &id, &error);

    if (r >= 0)
        r = settle(a, &id, &error);
    if (r < 0) {
        if (!error.code)
            gw_fail(&error, r, GW_BLAME_PEER, "%s", strerror(-r));
        refuse(a, &error);
    }
    pthread_mutex_lock(&l->lock);
    a->done = true;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* A free seat, with those joined that are done. Under the lock; a thread that is done needs it no more. */
static struct gw_links_admitted **seat(struct gw_links *l)
{
    for (size_t i = 0; i < GW_ARRAY_LEN(l->admitted); i++) {
        struct gw_links_admitted *a = l->admitted[i];

        if (a && !a->done)
            continue;
        if (a)
            pthread_join(a->thread, NULL);
        free(a);
        l->admitted[i] = NULL;
        return &l->admitted[i];
    }
    return NULL;
}

int gw_links_admit(struct gw_links *l, struct gw_channel *take_channel, struct gw_error *err)
{
    struct gw_links_admitted *a = calloc(1, sizeof *a), **place;
    int r = a && (a->reader = calloc(1, sizeof *a->reader)) ? gw_reader_init(a->reader, take_channel, err)
                                                            : gw_nomem(err, "a connection");

    if (r >= 0) {
        *a = (struct gw_links_admitted){.links = l, .channel = take_channel, .reader = a->reader};
        pthread_mutex_lock(&l->lock);
        place = seat(l);
        if (l->shut)
            r = gw_fail_canceled(err);
        else if (!place)
            r = gw_fail(err, -EBUSY, GW_BLAME_PEER, "%s: too many connections that say nothing", take_channel->name);
        else if ((r = -pthread_create(&a->thread, NULL, admitted_main, a)))
            gw_fail(err, r, GW_BLAME_LOCAL, "cannot start a thread: %s", strerror(-r));
        else
            *place = a;
        pthread_mutex_unlock(&l->lock);
    }
    if (r < 0) {
        gw_channel_free(take_channel);
        if (a)
            free_reader(a->reader);
        free(a);
    }
    return r;
}

int gw_links_wait(struct gw_links *l, enum gw_link purpose, unsigned index, uint64_t timeout_ns,
                  struct gw_channel **ret_channel, struct gw_reader **ret_reader, struct gw_error *err)
{
    uint64_t deadline = gw_deadline(timeout_ns);
    struct timespec t = {.tv_sec = (time_t)(deadline / GW_NS_PER_S), .tv_nsec = (long)(deadline % GW_NS_PER_S)};
    char text[GW_DURATION_TEXT];
    int r = 0;

    if (!is_valid(purpose, index))
        return fail_invalid(purpose, index, err);
    pthread_mutex_lock(&l->lock);
    while (!l->shut && !l->place[purpose + index].reader && r != ETIMEDOUT)
        r = deadline ? pthread_cond_timedwait(&l->changed, &l->lock, &t) : pthread_cond_wait(&l->changed, &l->lock);
    if (l->shut) {
        r = gw_fail_canceled(err);
    } else if (l->place[purpose + index].reader) {
        *ret_channel = l->place[purpose + index].channel;
        *ret_reader = l->place[purpose + index].reader;
        l->place[purpose + index].reader = NULL;
        r = 0;
    } else {
        r = gw_fail(err, -ETIMEDOUT, GW_BLAME_CHANNEL, "a channel of the source has not come within %s",
                    gw_duration_text(text, timeout_ns));
    }
    pthread_mutex_unlock(&l->lock);
    return r;
}

void gw_links_fini(struct gw_links *l)
{
    pthread_mutex_lock(&l->lock);
    l->shut = true;
    for (size_t i = 0; i < GW_ARRAY_LEN(l->admitted); i++)
        if (l->admitted[i] && l->admitted[i]->channel)
            gw_channel_shutdown(l->admitted[i]->channel);
    pthread_mutex_unlock(&l->lock);
    for (size_t i = 0; i < GW_ARRAY_LEN(l->admitted); i++)
        if (l->admitted[i]) {
            pthread_join(l->admitted[i]->thread, NULL);
            free(l->admitted[i]);
        }
    for (size_t i = 0; i < GW_ARRAY_LEN(l->place); i++)
        if (l->place[i].reader) {
            free_reader(l->place[i].reader);
            gw_channel_free(l->place[i].channel);
        }
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
}
