/* SPDX-License-Identifier: MIT */
#include "engine/starting.h"

#include "base/thread.h"
#include "engine/recv.h"

static struct gw_postcopy_in *in(struct gw_recv *r)
{
    return &r->postcopy;
}

static int start(struct gw_recv *r, bool for_good, struct gw_error *err)
{
    if (!for_good)
        return gw_recv_run_machine(r, err);
    gw_recv_run_for_good(r);
    return 0;
}

static void *start_machine(void *arg)
{
    struct gw_recv *r = arg;
    struct gw_error error = GW_ERROR_INIT;
    int e = start(r, in(r)->starts_for_good, &error);
    bool lost;

    pthread_mutex_lock(&r->session.lock);
    lost = in(r)->ended && in(r)->result < 0;
    pthread_mutex_unlock(&r->session.lock);
    /* called on this thread, since the session's thread may have to wait for a processor */
    if (e >= 0 && in(r)->start_told && !lost)
        in(r)->start_told(r);
    pthread_mutex_lock(&r->session.lock);
    in(r)->start_result = e;
    in(r)->start_error = error;
    in(r)->started = true;
    pthread_cond_broadcast(&r->session.changed);
    pthread_mutex_unlock(&r->session.lock);
    return NULL;
}

static int begin(struct gw_recv *r, void (*tell)(struct gw_recv *r), struct gw_error *err)
{
    int e;

    in(r)->starts_for_good = !tell;
    in(r)->start_told = tell;
    in(r)->started = false;
    e = gw_thread_start(&in(r)->starter, start_machine, r, err);
    in(r)->starts = e >= 0;
    return e;
}

/* false: reading failed before the machine had started. */
static bool await(struct gw_recv *r)
{
    bool started, failed;

    pthread_mutex_lock(&r->session.lock);
    while (!in(r)->started && !in(r)->ended)
        gw_session_wait_until(&r->session, UINT64_MAX);
    started = in(r)->started;
    failed = in(r)->ended && in(r)->result < 0;
    pthread_mutex_unlock(&r->session.lock);
    if (started || failed || gw_follow_check_end(r, NULL) < 0)
        return started;
    gw_follow_release(r); /* nothing more comes: pages that the source never had to send are zeros */
    return true;
}

static int start_here(struct gw_recv *r, void (*tell)(struct gw_recv *r), struct gw_error *err)
{
    int e = start(r, !tell, err);

    if (e >= 0 && tell)
        tell(r);
    return e;
}

int gw_starting_run(struct gw_recv *r, void (*tell)(struct gw_recv *r), struct gw_error *err)
{
    struct gw_error why = GW_ERROR_INIT;

    if (!in(r)->threaded) /* no thread waits for a page */
        return start_here(r, tell, err);
    if (begin(r, tell, &why) < 0) {
        if (!tell)
            gw_recv_not_started(r, &why);
        else if (err)
            *err = why;
        return tell ? why.code : 0;
    }
    if (!await(r)) {
        gw_session_log(&r->session, "the connection is lost before the machine has started here; the start continues when the "
                                    "memory that it needs arrives");
        return 0;
    }
    gw_starting_join(r);
    if (in(r)->start_result < 0 && err)
        *err = in(r)->start_error;
    return in(r)->start_result;
}

void gw_starting_late(struct gw_recv *r)
{
    struct gw_error why = GW_ERROR_INIT;

    if (begin(r, NULL, &why) < 0)
        gw_recv_not_started(r, &why);
}

void gw_starting_join(struct gw_recv *r)
{
    if (in(r)->starts)
        pthread_join(in(r)->starter, NULL);
    in(r)->starts = false;
}

void gw_starting_end(struct gw_recv *r)
{
    bool beside = in(r)->starts;

    gw_starting_join(r);
    if (beside && in(r)->start_result < 0)
        gw_recv_run_for_good(r);
}
