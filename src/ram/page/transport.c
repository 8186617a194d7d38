/* SPDX-License-Identifier: MIT */
#include "ram/page/transport.h"

#include <time.h>

#define LOOK_NS 20000000 /* interval between checks for a cancel, while waiting */

int gw_transport_new(const struct gw_page_transport_ops *ops, void *opaque, struct gw_transport **ret, struct gw_error *err)
{
    struct gw_transport *t = calloc(1, sizeof *t);

    if (!t)
        return gw_nomem(err, "page transport");
    t->ops = *ops;
    t->opaque = opaque;
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->changed, NULL);
    *ret = t;
    return 0;
}

struct gw_transport *gw_transport_free(struct gw_transport *t)
{
    if (!t)
        return NULL;
    pthread_mutex_destroy(&t->lock);
    pthread_cond_destroy(&t->changed);
    free(t);
    return NULL;
}

int gw_transport_result(int r, const char *what, struct gw_error *err)
{
    if (r >= 0)
        return r;
    if (err && !err->code)
        gw_fail(err, r, GW_BLAME_EMBEDDER, "%s", strerror(-r));
    if (err && err->blame == GW_BLAME_NONE)
        err->blame = GW_BLAME_EMBEDDER;
    gw_context(err, "page transport: %s", what);
    return r;
}

/* The first error of completed pages. Under lock. */
static int told(const struct gw_transport *t, struct gw_error *err)
{
    return t->result ? gw_fail(err, t->result, GW_BLAME_EMBEDDER, "page transport: a page that it accepted was not sent: %s",
                               strerror(-t->result))
                     : 0;
}

int gw_transport_take(struct gw_transport *t, const struct gw_transport_page *page, struct gw_error *err)
{
    int r;

    pthread_mutex_lock(&t->lock);
    r = told(t, err);
    t->due += r == 0; /* before the call: the page may complete before the call returns */
    pthread_mutex_unlock(&t->lock);
    if (r < 0)
        return r;
    r = t->ops.take(t->opaque, page, err);
    if (r == GW_TAKE_LATER)
        return r;
    pthread_mutex_lock(&t->lock);
    t->due -= t->due > 0;
    pthread_mutex_unlock(&t->lock);
    if (r > GW_TAKE_LATER)
        return gw_fail(err, -EINVAL, GW_BLAME_EMBEDDER, "page transport: take returned %d, which is none of its results", r);
    return gw_transport_result(r, "take", err);
}

void gw_transport_taken(struct gw_transport *t, unsigned pages, int result)
{
    pthread_mutex_lock(&t->lock);
    t->due -= GW_MIN((uint64_t)pages, t->due);
    if (result < 0 && !t->result)
        t->result = result;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
}

int gw_transport_wait(struct gw_transport *t, const struct gw_cancel *cancel, struct gw_error *err)
{
    int r = 0;

    pthread_mutex_lock(&t->lock);
    while (t->due && !t->result && r == 0) {
        struct timespec until;

        if (cancel && gw_cancel_triggered(cancel)) {
            r = gw_fail(err, -ECANCELED, GW_BLAME_CALLER, "cancelled");
            break;
        }
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += LOOK_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&t->changed, &t->lock, &until);
    }
    if (r == 0)
        r = told(t, err);
    pthread_mutex_unlock(&t->lock);
    return r;
}

void gw_transport_abort(struct gw_transport *t)
{
    bool due;

    pthread_mutex_lock(&t->lock);
    due = t->due;
    pthread_mutex_unlock(&t->lock);
    if (due && t->ops.abort)
        t->ops.abort(t->opaque);
    pthread_mutex_lock(&t->lock);
    while (t->due && !t->ops.abort)
        pthread_cond_wait(&t->changed, &t->lock);
    t->due = 0;
    t->result = 0;
    pthread_mutex_unlock(&t->lock);
}
