/* SPDX-License-Identifier: MIT */
#include "engine/urgent_in.h"

#include "base/thread.h"
#include "engine/recv.h"

/* Between two checks whether all pages have come. */
#define LOOK_NS (2 * GW_NS_PER_MS)
/* Time in which the bytes that a source had written before it closed the channel must arrive. */
#define REST_NS (30 * GW_NS_PER_S)

static struct gw_live *section(struct gw_recv *r)
{
    for (unsigned i = 0; i < r->plan.lives; i++)
        if (r->plan.live[i]->ops->load_urgent)
            return r->plan.live[i];
    return NULL;
}

static int open(struct gw_recv *r, struct gw_error *err)
{
    struct gw_urgent_in *u = &r->urgent;
    struct gw_vm *vm = r->session.vm;
    int e;

    if (r->door) {
        e = gw_door_urgent(r, u->quit, &u->channel, &u->reader, err);
        if (e >= 0)
            gw_links_put(&r->session.links, GW_LINK_URGENT, 0, u->channel);
    } else {
        e = gw_links_open(&r->session.links, vm->dial_pages.dial, vm->dial_pages.opaque, GW_LINK_URGENT, 0, u->quit, &u->channel, err);
        if (e >= 0)
            e = gw_reader_init(&u->reader, u->channel, err);
    }
    if (e < 0)
        return e;
    gw_channel_set_timeout(u->channel, 0); /* no page comes until one is requested */
    if (gw_cancel_triggered(u->quit))
        gw_channel_shutdown(u->channel); /* end may have been called before the channel existed */
    return 0;
}

static void close_channel(struct gw_recv *r)
{
    struct gw_urgent_in *u = &r->urgent;

    if (!u->channel)
        return;
    gw_links_put(&r->session.links, GW_LINK_URGENT, 0, NULL);
    gw_reader_close(&u->reader);
    u->channel = gw_channel_free(u->channel);
}

/* A source closes the channel when it has written all of its main stream, much of which may still be under way. If the
 * main stream takes longer than this, the channel was lost, and with it perhaps a requested page. */
static void await_main(struct gw_recv *r)
{
    struct gw_session *x = &r->session;
    uint64_t until_ns = gw_now_ns(&x->vm->clock) + (r->timeout_ns ? GW_MIN(r->timeout_ns, REST_NS) : REST_NS);

    pthread_mutex_lock(&x->lock);
    r->urgent.ended = true;
    pthread_cond_broadcast(&x->changed);
    while (!r->urgent.over && gw_session_wait_until(x, until_ns))
        ;
    pthread_mutex_unlock(&x->lock);
}

/* The thread has stopped reading. */
static void ended(struct gw_recv *r, const struct gw_error *why)
{
    struct gw_urgent_in *u = &r->urgent;
    bool lost;

    if (why->code == -ENODATA)
        await_main(r);
    lost = why->code && gw_follow_lacking(r);
    pthread_mutex_lock(&r->session.lock);
    u->ended = true;
    lost &= !u->over;
    if (lost)
        u->error = *why;
    pthread_cond_broadcast(&r->session.changed);
    pthread_mutex_unlock(&r->session.lock);
    if (lost)
        gw_links_shut_main(&r->session.links);
}

/* A connection that sent bytes which are no pages may not be from the source, as long as other connections are left. */
static bool was_stranger(struct gw_recv *r, const struct gw_error *why)
{
    if (why->blame != GW_BLAME_PEER || !gw_door_waits(r))
        return false;
    gw_session_log(&r->session, "%s: dropped: %s", r->urgent.channel->name, why->text);
    return true;
}

static void *read_pages(void *arg)
{
    struct gw_recv *r = arg;
    struct gw_urgent_in *u = &r->urgent;
    struct gw_live *live = section(r);
    struct gw_error error;
    int e;

    do {
        error = (struct gw_error)GW_ERROR_INIT;
        e = open(r, &error);
        if (e >= 0)
            e = live->ops->load_urgent(live, &u->reader, &error);
    } while (e < 0 && u->channel && was_stranger(r, &error) && (close_channel(r), true));
    if (e < 0)
        gw_context(&error, "channel of urgent pages");
    ended(r, &error);
    return NULL;
}

int gw_urgent_in_begin(struct gw_recv *r, struct gw_error *err)
{
    struct gw_urgent_in *u = &r->urgent;
    int e;

    gw_door_keep(r);
    if (!r->classify.urgent || !section(r) || (!r->door && !r->session.vm->dial_pages.dial))
        return 0;
    e = gw_cancel_new(&u->quit, err);
    if (e < 0)
        return e;
    e = gw_thread_start(&u->thread, read_pages, r, err);
    u->threaded = e >= 0;
    if (e < 0)
        u->quit = gw_cancel_free(u->quit);
    return e;
}

void gw_urgent_in_await(struct gw_recv *r)
{
    struct gw_session *x = &r->session;
    struct gw_urgent_in *u = &r->urgent;
    /* A machine of an image requests nothing. */
    uint64_t left = u->threaded && x->vm->guest->store_following ? gw_follow_lacking(r) : 0, before = left;
    uint64_t since_ns = gw_now_ns(&x->vm->clock), now_ns = since_ns;
    bool ended = false;

    while (left && !ended && (!r->timeout_ns || now_ns - since_ns < r->timeout_ns) && gw_session_check(x, NULL) >= 0) {
        pthread_mutex_lock(&x->lock);
        if (!u->ended)
            gw_session_wait_until(x, now_ns + LOOK_NS);
        ended = u->ended;
        pthread_mutex_unlock(&x->lock);
        left = gw_follow_lacking(r);
        now_ns = gw_now_ns(&x->vm->clock);
        if (left < before)
            since_ns = now_ns;
        before = left;
    }
}

int gw_urgent_in_check(struct gw_recv *r, struct gw_error *err)
{
    int e;

    pthread_mutex_lock(&r->session.lock);
    e = r->urgent.error.code;
    if (e < 0 && err)
        *err = r->urgent.error;
    pthread_mutex_unlock(&r->session.lock);
    return e;
}

void gw_urgent_in_leave(struct gw_recv *r)
{
    bool waits;

    pthread_mutex_lock(&r->session.lock);
    r->urgent.over = true;
    waits = r->urgent.threaded && !r->urgent.ended;
    pthread_mutex_unlock(&r->session.lock);
    if (waits && r->channel)
        gw_recv_farewell(r, NULL);
    gw_urgent_in_end(r);
}

void gw_urgent_in_end(struct gw_recv *r)
{
    struct gw_urgent_in *u = &r->urgent;

    if (!u->threaded)
        return;
    gw_cancel_trigger(u->quit);
    pthread_mutex_lock(&r->session.lock);
    u->over = true;
    pthread_cond_broadcast(&r->session.changed);
    pthread_mutex_unlock(&r->session.lock);
    gw_links_shut_pages(&r->session.links);
    pthread_join(u->thread, NULL);
    close_channel(r);
    gw_cancel_free(u->quit);
    *u = (struct gw_urgent_in){.quit = NULL};
}
