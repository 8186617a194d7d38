/* SPDX-License-Identifier: MIT */
#include "base/thread.h"
#include "engine/recv.h"
#include "engine/visitor.h"

/* A visitor keeps its place for at least this time, however many others wait for it. */
#define FAIR_NS  (250 * GW_NS_PER_MS)
#define TURN_NS  (2 * GW_NS_PER_MS)
#define IDLE_NS  (500 * GW_NS_PER_MS)
#define SHORT_NS (100 * GW_NS_PER_MS)

/* ---- visitors ----------------------------------------------------------------------------------------------------- */

struct gw_door {
    struct gw_listener *listener; /* borrowed */
    struct gw_visitor visitors[GW_RECV_WAITING];
    uint64_t served_ns;    /* when the session began to serve its source */
    struct gw_cancel *end; /* ends the doorman */
    pthread_t thread;
    bool watched;
};

/* Returns a free place; else evicts the longest-waiting visitor, but not before FAIR_NS: the head of a source may need
 * time on its way. NULL: leave the connection in the backlog. */
static struct gw_visitor *seat(struct gw_recv *r)
{
    struct gw_visitor *v = r->door->visitors, *oldest = NULL;
    uint64_t fair_ns = GW_MIN(r->hello_ns, FAIR_NS);

    for (unsigned i = 0; i < GW_RECV_WAITING; i++) {
        if (!v[i].used)
            return &v[i];
        if (!v[i].good && (!oldest || v[i].deadline_ns < oldest->deadline_ns))
            oldest = &v[i];
    }
    if (!oldest || gw_now_ns(&gw_clock_real) < oldest->deadline_ns - r->hello_ns + fair_ns)
        return NULL;
    gw_session_log(&r->session, "%s: dropped: too many connections have sent nothing yet", oldest->channel->name);
    gw_visitor_drop(oldest);
    return oldest;
}

/* A page channel has sent its greeting: it waits for its session from now on. */
static void seat_pages(struct gw_recv *r, struct gw_visitor *v)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_visitor gone = *v;
    char name[sizeof gone.channel->name];

    pthread_join(v->thread, NULL);
    gw_reader_close(&v->reader); /* it has read exactly the greeting */
    gw_strcopy(name, sizeof name, gone.channel->name);
    *v = (struct gw_visitor){0};
    gw_trace_door(&r->session.vm->trace, name, "is a channel for pages");
    if (gw_pages_arrived(r, gone.link.index, gone.uuid, gone.channel, &err) < 0)
        gw_session_refused(&r->session, "%s: dropped: %s", name, err.text);
}

/* Checks the visitors: drops those that failed or timed out. Returns the first with a good head. */
static struct gw_visitor *survey(struct gw_recv *r)
{
    struct gw_session *x = &r->session;
    uint64_t t = gw_now_ns(&gw_clock_real);
    struct gw_visitor *v = r->door->visitors, *good = NULL;

    for (unsigned i = 0; i < GW_RECV_WAITING; i++) {
        bool done, waits;

        if (!v[i].used)
            continue;
        pthread_mutex_lock(&x->lock);
        done = v[i].done;
        waits = r->classify.urgent && (done ? v[i].urgent : !v[i].spoke);
        pthread_mutex_unlock(&x->lock);
        if (waits)
            continue; /* kept for LISTEN */
        if (done && v[i].result >= 0 && v[i].pages) {
            seat_pages(r, &v[i]);
        } else if (done && v[i].result >= 0 && v[i].probe) {
            gw_visitor_drop(&v[i]); /* the probe was answered */
        } else if (done && v[i].result >= 0) {
            v[i].good = true;
            good = good ? good : &v[i];
        } else if (done && v[i].result != -ETIMEDOUT) {
            /* It sent magic and version, so it is a migration source. */
            struct gw_error why = v[i].error;
            bool pages = v[i].pages && why.blame == GW_BLAME_PEER;

            (v[i].head.bytes || pages ? gw_session_refused : gw_session_log)(x, "%s: dropped: %s", v[i].channel->name,
                                                                             why.text);
            gw_visitor_drop(&v[i]);
            if (pages)
                gw_pages_refused(r, &why);
        } else if (done || t >= v[i].deadline_ns) {
            gw_session_log(x, "%s: dropped: no migration stream began within %" PRIu64 " ms", v[i].channel->name,
                           (uint64_t)(r->hello_ns / GW_NS_PER_MS));
            gw_visitor_drop(&v[i]);
        }
    }
    return good;
}

/* How long the current source may send nothing but its head: less when more visitors with a good head wait. */
static uint64_t patience_ns(const struct gw_recv *r)
{
    unsigned good = 0;

    for (unsigned i = 0; i < GW_RECV_WAITING; i++)
        good += r->door->visitors[i].good;
    return GW_MAX(r->hello_ns / GW_MAX(good, 1u), GW_MIN(r->hello_ns, FAIR_NS));
}

static bool anybody(const struct gw_door *door)
{
    for (unsigned i = 0; i < GW_RECV_WAITING; i++)
        if (door->visitors[i].used)
            return true;
    return false;
}

/* One turn: accepts at most one connection. *ret_good is the first visitor with a good head, or NULL. 0, or
 * -ECANCELED. */
static int attend(struct gw_recv *r, struct gw_cancel *cancel, struct gw_visitor **ret_good, struct gw_error *err)
{
    struct gw_visitor *place;
    struct gw_channel *channel = NULL;
    int e;

    *ret_good = survey(r);
    if (*ret_good && !r->channel)
        return 0;
    place = seat(r);
    if (!place) {
        gw_clock_real.sleep_ns(NULL, TURN_NS);
        return gw_cancel_triggered(cancel) ? gw_fail(err, -ECANCELED, GW_BLAME_CALLER, "cancelled") : 0;
    }
    e = gw_listener_accept(r->door->listener, anybody(r->door) ? TURN_NS : IDLE_NS, cancel, &channel, err);
    if (e == -ETIMEDOUT)
        return 0;
    if (e == -ECANCELED)
        return e;
    if (e >= 0)
        e = gw_visitor_begin(place, r, channel, err);
    if (e < 0) {
        /* Descriptors or threads may be short for a moment; the listener still works. */
        gw_session_log(&r->session, "a connection was not taken: %s", err->text);
        gw_clock_real.sleep_ns(NULL, SHORT_NS);
    }
    return 0;
}

static void take(struct gw_recv *r, struct gw_visitor *v)
{
    pthread_join(v->thread, NULL);
    gw_trace_door(&r->session.vm->trace, v->channel->name, "is accepted");
    r->channel = v->channel;
    r->reader = v->reader;
    if (!v->recover)
        r->head = v->head;
    *v = (struct gw_visitor){0};
}

/* ---- the doorman ------------------------------------------------------------------------------------------------- */

/* As long as the current source has changed nothing, other connections are accepted, and the next source replaces it if
 * it sends nothing but its head. With multifd the door stays open to the end: a source with more channels than this
 * side expects waits for all of them, and must be told. */
static void *doorman_main(void *arg)
{
    struct gw_recv *r = arg;
    struct gw_error error = GW_ERROR_INIT;

    while (!gw_recv_touched(r) || r->classify.pages) {
        struct gw_visitor *good;

        if (attend(r, r->door->end, &good, &error) < 0)
            break;
        if (!good || gw_now_ns(&gw_clock_real) < r->door->served_ns + patience_ns(r) || gw_recv_touched(r))
            continue;
        gw_session_log(&r->session,
                       "%s: another source waits, and this one has sent nothing but its head for %" PRIu64 " ms",
                       r->channel->name, (uint64_t)(patience_ns(r) / GW_NS_PER_MS));
        gw_channel_shutdown(r->channel);
        break;
    }
    return NULL;
}

void gw_door_watch(struct gw_recv *r)
{
    struct gw_door *door = r->door;

    if (!door || gw_cancel_new(&door->end, NULL) < 0)
        return; /* then no source is replaced */
    door->served_ns = gw_now_ns(&gw_clock_real);
    door->watched = gw_thread_start(&door->thread, doorman_main, r, NULL) >= 0;
    if (!door->watched)
        door->end = gw_cancel_free(door->end);
}

void gw_door_unwatch(struct gw_recv *r)
{
    struct gw_door *door = r->door;

    if (!door || !door->watched)
        return;
    gw_cancel_trigger(door->end);
    pthread_join(door->thread, NULL);
    door->end = gw_cancel_free(door->end);
    door->watched = false;
}

static bool anybody_unknown(const struct gw_door *door)
{
    for (unsigned i = 0; i < GW_RECV_WAITING; i++)
        if (door->visitors[i].used && !door->visitors[i].good)
            return true;
    return false;
}

int gw_door_settle(struct gw_recv *r, struct gw_error *err)
{
    uint64_t until_ns = gw_now_ns(&gw_clock_real) + GW_MIN(r->hello_ns, FAIR_NS);
    int e = 0;

    while (e >= 0 && r->door && r->classify.pages) {
        struct gw_channel *channel = NULL;
        struct gw_visitor *place;

        survey(r);
        e = gw_pages_check(r, err);
        place = e < 0 ? NULL : seat(r);
        if (place && gw_listener_accept(r->door->listener, 1, r->session.cancel, &channel, NULL) >= 0)
            gw_visitor_begin(place, r, channel, NULL);
        else if (!anybody_unknown(r->door) || gw_now_ns(&gw_clock_real) >= until_ns)
            break;
        else
            gw_clock_real.sleep_ns(NULL, TURN_NS);
    }
    return e;
}

void gw_door_close(struct gw_recv *r)
{
    gw_door_unwatch(r);
    for (unsigned i = 0; r->door && i < GW_RECV_WAITING; i++) {
        struct gw_visitor *v = &r->door->visitors[i];

        if (!v->used)
            continue;
        gw_session_log(&r->session, "%s: dropped: the machine is taken", v->channel->name);
        gw_visitor_drop(v);
    }
    free(r->door);
    r->door = NULL;
}

/* ---- the channel of urgent pages ----------------------------------------------------------------------------------- */

static void send_away(struct gw_visitor *v)
{
    gw_session_log(&v->recv->session, "%s: dropped: %s", v->channel->name,
                   v->result < 0 ? v->error.text : "the machine is taken");
    gw_visitor_drop(v);
}

void gw_door_keep(struct gw_recv *r)
{
    struct gw_channel *channel;
    struct gw_visitor *place;

    gw_door_unwatch(r);
    while (r->door && (place = seat(r)) &&
           gw_listener_accept(r->door->listener, 1, r->session.cancel, &channel, NULL) >= 0)
        gw_visitor_begin(place, r, channel, NULL);
    for (unsigned i = 0; r->door && i < GW_RECV_WAITING; i++)
        if (r->door->visitors[i].good)
            send_away(&r->door->visitors[i]);
}

/* Waits until a visitor is identified or has disconnected. NULL: there is none, or quit was triggered. */
static struct gw_visitor *await_word(struct gw_recv *r, const struct gw_cancel *quit)
{
    struct gw_session *x = &r->session;
    struct gw_visitor *found = NULL;

    pthread_mutex_lock(&x->lock);
    while (!found && anybody(r->door) && !gw_cancel_triggered(quit)) {
        for (unsigned i = 0; !found && i < GW_RECV_WAITING; i++)
            if (r->door->visitors[i].used && r->door->visitors[i].done)
                found = &r->door->visitors[i];
        if (!found)
            gw_session_wait_until(x, UINT64_MAX);
    }
    pthread_mutex_unlock(&x->lock);
    return found;
}

bool gw_door_waits(const struct gw_recv *r)
{
    return r->door && anybody(r->door);
}

int gw_door_urgent(struct gw_recv *r, struct gw_cancel *quit, struct gw_channel **ret, struct gw_reader *ret_reader,
                   struct gw_error *err)
{
    bool expected = anybody(r->door);
    struct gw_channel *channel;

    for (;;) {
        struct gw_visitor *v = await_word(r, quit);
        int e = 0;

        if (gw_cancel_triggered(quit))
            return gw_fail_canceled(err);
        if (v && v->urgent) {
            pthread_join(v->thread, NULL);
            gw_trace_door(&r->session.vm->trace, v->channel->name, "is the channel of urgent pages");
            *ret = v->channel;
            *ret_reader = v->reader;
            *v = (struct gw_visitor){0};
            return 0;
        }
        if (v) {
            struct gw_error why = v->error;

            e = v->result;
            send_away(v);
            if (e < 0 && expected && !anybody(r->door)) {
                *err = why; /* it was the expected one */
                return e;
            }
            continue;
        }
        e = gw_listener_accept(r->door->listener, 0, quit, &channel, err);
        if (e >= 0)
            e = gw_visitor_begin(&r->door->visitors[0], r, channel, err);
        if (e < 0 && e != -ECANCELED)
            gw_clock_real.sleep_ns(NULL, SHORT_NS);
    }
}

/* ---- hello ---------------------------------------------------------------------------------------------------------
 */

static int at_the_door(struct gw_recv *r, struct gw_error *err)
{
    for (;;) {
        struct gw_visitor *good;
        int e = attend(r, r->session.cancel, &good, err);

        if (e >= 0)
            e = gw_session_check(&r->session, err);
        if (e < 0)
            return gw_session_check(&r->session, err) < 0 ? gw_session_check(&r->session, err) : e;
        if (good) {
            take(r, good);
            return 0;
        }
    }
}

/* An address that gives one channel: there are no other connections. */
static int single(struct gw_recv *r, struct gw_error *err)
{
    int e = 0;

    if (!r->channel)
        e = gw_listener_accept(r->listener, 0, r->session.cancel, &r->channel, err);
    if (e < 0)
        return e;
    gw_session_set_channel(&r->session, r->channel);
    gw_channel_set_timeout(r->channel, r->timeout_ns);
    e = gw_session_check_file(&r->session, r->channel, err);
    if (e >= 0)
        e = gw_reader_init(&r->reader, r->channel, err);
    return e < 0 ? e : gw_vm_head_get(r->session.vm, &r->reader, &r->head, err);
}

static int let_in(struct gw_recv *r, struct gw_listener *listener, struct gw_error *err)
{
    struct gw_error local = GW_ERROR_INIT;
    int e;

    if (!r->door && !(r->door = calloc(1, sizeof *r->door)))
        return gw_nomem(err, "waiting connections");
    r->door->listener = listener;
    e = at_the_door(r, err ? err : &local);
    if (e < 0)
        return e;
    gw_session_set_channel(&r->session, r->channel);
    gw_channel_set_timeout(r->channel, r->timeout_ns);
    return 0;
}

int gw_recv_hello(struct gw_recv *r, struct gw_error *err)
{
    if (!r->listener || !gw_listener_is_socket(r->listener))
        return single(r, err);
    return let_in(r, r->listener, err);
}

int gw_recv_hello_again(struct gw_recv *r, struct gw_listener *listener, struct gw_error *err)
{
    r->classify.recover = true;
    return let_in(r, listener, err);
}
