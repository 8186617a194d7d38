/* SPDX-License-Identifier: MIT */
#include "engine/head.h"
#include "engine/probe.h"
#include "engine/recv.h"
#include "wire/greeting.h"
#include "wire/numbers.h"

/* How long who came first keeps its place while others want it, however many they are. */
#define FAIR_NS  (250 * GW_NS_PER_MS)
#define TURN_NS  (2 * GW_NS_PER_MS)
#define IDLE_NS  (500 * GW_NS_PER_MS)
#define SHORT_NS (100 * GW_NS_PER_MS)

/* ---- visitors ------------------------------------------------------------------------------------------------------
 */

/* One connection that has yet to say who it is, with a thread that listens to it. */
struct visitor {
    struct gw_recv *recv;
    struct gw_channel *channel;
    struct gw_reader reader;
    struct gw_wire_head head;
    pthread_t thread;
    uint64_t deadline_ns;
    bool used, good;
    bool pages; /* its greeting says that it carries only pages */
    bool probe; /* it only measured the link */
    struct gw_link_id link;
    uint8_t uuid[16];
    /* under session.lock */
    bool done;
    int result;
    struct gw_error error;
};

struct gw_door {
    struct visitor visitors[GW_RECV_WAITING];
    uint64_t served_ns;    /* since when the one who is served is */
    struct gw_cancel *end; /* of the doorman */
    pthread_t thread;
    bool watched;
};

/* Whether it begins as a channel for pages does. Reads no more of one than its greeting. A probe of the link is answered here. */
static int greeted(struct visitor *v, struct gw_error *err)
{
    const uint8_t *first;
    struct gw_greeting greeting;
    size_t got = 0;
    int e, need = sizeof(uint32_t);

    v->reader.readahead = 0;
    e = gw_reader_try(&v->reader, (size_t)need, &first, &got, err);
    v->pages = e >= 0 && got == (size_t)need && gw_load_be32(first) == GW_WIRE_MULTIFD_MAGIC;
    v->probe = e >= 0 && got == (size_t)need && gw_load_be32(first) == GW_WIRE_PROBE_MAGIC;
    if (v->probe)
        return gw_probe_answer(v->channel, &v->reader, err);
    while (v->pages && e >= 0 && (need = gw_classify(&v->recv->classify, first, got, false, &v->link, err)) > 0) {
        e = gw_reader_need(&v->reader, (size_t)need, &first, err);
        got = (size_t)need;
    }
    v->reader.readahead = GW_READER_CAP;
    if (!v->pages)
        return 0; /* an error stays in the reader */
    e = e < 0 ? e : need;
    if (e >= 0)
        e = gw_greeting_get(first, &greeting, err);
    if (e >= 0)
        memcpy(v->uuid, greeting.uuid, sizeof v->uuid);
    return e;
}

static void *visitor_main(void *arg)
{
    struct visitor *v = arg;
    struct gw_session *x = &v->recv->session;
    struct gw_error error = GW_ERROR_INIT;
    int r = gw_reader_init(&v->reader, v->channel, &error);

    if (r >= 0)
        r = greeted(v, &error);
    if (r >= 0 && !v->pages && !v->probe)
        r = gw_vm_head_get(x->vm, &v->reader, &v->head, &error);
    pthread_mutex_lock(&x->lock);
    v->result = r;
    v->error = error;
    v->done = true;
    pthread_cond_broadcast(&x->changed);
    pthread_mutex_unlock(&x->lock);
    return NULL;
}

static void drop(struct visitor *v)
{
    gw_trace_door(&v->recv->session.vm->trace, v->channel->name, "is sent away");
    gw_channel_shutdown(v->channel);
    pthread_join(v->thread, NULL);
    gw_reader_close(&v->reader);
    gw_channel_free(v->channel);
    *v = (struct visitor){0};
}

static int admit(struct gw_recv *r, struct visitor *v, struct gw_channel *channel, struct gw_error *err)
{
    int e;

    *v = (struct visitor){.recv = r, .channel = channel, .used = true};
    v->deadline_ns = gw_now_ns(&gw_clock_real) + r->hello_ns;
    gw_channel_set_timeout(channel, r->hello_ns);
    gw_trace_door(&r->session.vm->trace, channel->name, "comes");
    e = pthread_create(&v->thread, NULL, visitor_main, v);
    if (!e)
        return 0;
    gw_channel_free(channel);
    *v = (struct visitor){0};
    return gw_fail(err, -e, GW_BLAME_LOCAL, "cannot start a thread: %s", strerror(e));
}

/* A free place; the one who has waited longest goes when there is none, but nobody before a fair time: a source's head
 * may have a long way. NULL: who comes has to wait outside. */
static struct visitor *seat(struct gw_recv *r)
{
    struct visitor *v = r->door->visitors, *oldest = NULL;
    uint64_t fair_ns = GW_MIN(r->hello_ns, FAIR_NS);

    for (unsigned i = 0; i < GW_RECV_WAITING; i++) {
        if (!v[i].used)
            return &v[i];
        if (!v[i].good && (!oldest || v[i].deadline_ns < oldest->deadline_ns))
            oldest = &v[i];
    }
    if (!oldest || gw_now_ns(&gw_clock_real) < oldest->deadline_ns - r->hello_ns + fair_ns)
        return NULL;
    gw_session_log(&r->session, "%s: dropped: too many connections that say nothing", oldest->channel->name);
    drop(oldest);
    return oldest;
}

/* A channel for pages has greeted: it waits for its session from now on. */
static void seat_pages(struct gw_recv *r, struct visitor *v)
{
    struct gw_error err = GW_ERROR_INIT;
    struct visitor gone = *v;
    char name[sizeof gone.channel->name];

    pthread_join(v->thread, NULL);
    gw_reader_close(&v->reader); /* it has read just the greeting */
    gw_strcopy(name, sizeof name, gone.channel->name);
    *v = (struct visitor){0};
    gw_trace_door(&r->session.vm->trace, name, "is a channel for pages");
    if (gw_pages_arrived(r, gone.link.index, gone.uuid, gone.channel, &err) < 0)
        gw_session_refused(&r->session, "%s: dropped: %s", name, err.text);
}

/* Looks after those who wait: bad and late ones are dropped. Returns the first good one. */
static struct visitor *survey(struct gw_recv *r)
{
    struct gw_session *x = &r->session;
    uint64_t t = gw_now_ns(&gw_clock_real);
    struct visitor *v = r->door->visitors, *good = NULL;

    for (unsigned i = 0; i < GW_RECV_WAITING; i++) {
        bool done;

        if (!v[i].used)
            continue;
        pthread_mutex_lock(&x->lock);
        done = v[i].done;
        pthread_mutex_unlock(&x->lock);
        if (done && v[i].result >= 0 && v[i].pages) {
            seat_pages(r, &v[i]);
        } else if (done && v[i].result >= 0 && v[i].probe) {
            drop(&v[i]); /* it has what it came for */
        } else if (done && v[i].result >= 0) {
            v[i].good = true;
            good = good ? good : &v[i];
        } else if (done && v[i].result != -ETIMEDOUT) {
            /* With magic and version it is no stranger. */
            struct gw_error why = v[i].error;
            bool pages = v[i].pages && why.blame == GW_BLAME_PEER;

            (v[i].head.bytes || pages ? gw_session_refused : gw_session_log)(x, "%s: dropped: %s", v[i].channel->name,
                                                                             why.text);
            drop(&v[i]);
            if (pages)
                gw_pages_refused(r, &why);
        } else if (done || t >= v[i].deadline_ns) {
            gw_session_log(x, "%s: dropped: no migration stream began within %" PRIu64 " ms", v[i].channel->name,
                           (uint64_t)(r->hello_ns / GW_NS_PER_MS));
            drop(&v[i]);
        }
    }
    return good;
}

/* How long the one who is served may dawdle: the shorter, the more others wait who have shown a good head. */
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

/* One turn: lets in who comes. *ret_good is the first who has a good head, or NULL. 0, or -ECANCELED. */
static int attend(struct gw_recv *r, struct gw_cancel *cancel, struct visitor **ret_good, struct gw_error *err)
{
    struct visitor *place;
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
    e = gw_listener_accept(r->listener, anybody(r->door) ? TURN_NS : IDLE_NS, cancel, &channel, err);
    if (e == -ETIMEDOUT)
        return 0;
    if (e == -ECANCELED)
        return e;
    if (e >= 0)
        e = admit(r, place, channel, err);
    if (e < 0) {
        /* Descriptors or threads may be short for a moment; the address itself is still ours. */
        gw_session_log(&r->session, "a connection was not taken: %s", err->text);
        gw_clock_real.sleep_ns(NULL, SHORT_NS);
    }
    return 0;
}

static void take(struct gw_recv *r, struct visitor *v)
{
    pthread_join(v->thread, NULL);
    gw_trace_door(&r->session.vm->trace, v->channel->name, "is let in");
    r->channel = v->channel;
    r->reader = v->reader;
    r->head = v->head;
    *v = (struct visitor){0};
}

/* ---- the doorman ---------------------------------------------------------------------------------------------------
 */

/* While the source that is served has not changed anything yet, others may still come, and the next one gets its place
 * if it dawdles: a head alone is no reason to keep the door shut. With multifd the door is kept to the end: a source with more
 * channels than are wanted here waits for all of them, and has to be told. */
static void *doorman_main(void *arg)
{
    struct gw_recv *r = arg;
    struct gw_error error = GW_ERROR_INIT;

    while (!gw_recv_touched(r) || r->classify.pages) {
        struct visitor *good;

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
        return; /* nobody is replaced then */
    door->served_ns = gw_now_ns(&gw_clock_real);
    door->watched = !pthread_create(&door->thread, NULL, doorman_main, r);
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
        struct visitor *place;

        survey(r);
        e = gw_pages_check(r, err);
        place = e < 0 ? NULL : seat(r);
        if (place && gw_listener_accept(r->listener, 1, r->session.cancel, &channel, NULL) >= 0)
            admit(r, place, channel, NULL);
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
        struct visitor *v = &r->door->visitors[i];

        if (!v->used)
            continue;
        gw_session_log(&r->session, "%s: dropped: the machine is taken", v->channel->name);
        drop(v);
    }
    free(r->door);
    r->door = NULL;
}

/* ---- hello ---------------------------------------------------------------------------------------------------------
 */

static int at_the_door(struct gw_recv *r, struct gw_error *err)
{
    for (;;) {
        struct visitor *good;
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

/* An address that gives one channel: nothing else will come. */
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

int gw_recv_hello(struct gw_recv *r, struct gw_error *err)
{
    struct gw_error local = GW_ERROR_INIT;
    int e;

    if (!r->listener || !gw_listener_is_socket(r->listener))
        return single(r, err);
    if (!r->door && !(r->door = calloc(1, sizeof *r->door)))
        return gw_nomem(err, "waiting connections");
    e = at_the_door(r, err ? err : &local);
    if (e < 0)
        return e;
    gw_session_set_channel(&r->session, r->channel);
    gw_channel_set_timeout(r->channel, r->timeout_ns);
    return 0;
}
