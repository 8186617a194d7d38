/* SPDX-License-Identifier: MIT */
#include "engine/visitor.h"

#include "base/thread.h"
#include "engine/probe.h"
#include "engine/recv.h"
#include "wire/greeting.h"
#include "wire/numbers.h"

/* The first bytes have come. From now on the usual time-out holds. */
static void spoke(struct gw_visitor *v)
{
    struct gw_session *x = &v->recv->session;

    gw_channel_set_timeout(v->channel, v->recv->hello_ns);
    pthread_mutex_lock(&x->lock);
    v->spoke = true;
    pthread_mutex_unlock(&x->lock);
}

/* Reads as many bytes as are needed to identify the channel. *ret: the first bytes. */
static int classify(struct gw_visitor *v, const uint8_t **ret, struct gw_error *err)
{
    size_t got = sizeof(uint32_t);
    int e = 0, need = 0;

    while (e >= 0 && (need = gw_classify(&v->recv->classify, *ret, got, false, &v->link, err)) > 0) {
        e = gw_reader_need(&v->reader, (size_t)need, ret, err);
        got = (size_t)need;
    }
    return e < 0 ? e : need;
}

/* Finds out whether it is a channel other than the main one that begins a migration. Of a page channel it reads only
 * the greeting. Answers a probe of the link. */
static int greeted(struct gw_visitor *v, struct gw_error *err)
{
    const struct gw_classify *c = &v->recv->classify;
    const uint8_t *first;
    struct gw_greeting greeting;
    uint32_t magic;
    size_t got = 0;
    bool came;
    int e;

    v->reader.readahead = 0;
    e = gw_reader_try(&v->reader, sizeof magic, &first, &got, err);
    spoke(v);
    came = e >= 0 && got == sizeof magic;
    magic = came ? gw_load_be32(first) : GW_WIRE_MAGIC;
    v->pages = magic == GW_WIRE_MULTIFD_MAGIC;
    v->probe = magic == GW_WIRE_PROBE_MAGIC;
    if (v->probe)
        return gw_probe_answer(v->channel, &v->reader, err);
    if (came && (v->pages || c->recover || (c->urgent && magic != GW_WIRE_MAGIC)))
        e = classify(v, &first, c->recover || v->pages ? err : NULL);
    else if (c->recover && e >= 0)
        e = gw_fail(err, -ENODATA, GW_BLAME_CHANNEL, "ended before it sent anything");
    v->urgent = e >= 0 && v->link.purpose == GW_LINK_URGENT;
    v->recover = e >= 0 && v->link.purpose == GW_LINK_RECOVER;
    v->reader.readahead = GW_READER_CAP;
    if (!v->pages)
        return c->recover ? e : 0; /* an error is kept in the reader */
    if (e >= 0)
        e = gw_greeting_get(first, &greeting, err);
    if (e >= 0)
        memcpy(v->uuid, greeting.uuid, sizeof v->uuid);
    return e;
}

static void *listen(void *arg)
{
    struct gw_visitor *v = arg;
    struct gw_session *x = &v->recv->session;
    struct gw_error error = GW_ERROR_INIT;
    int r = gw_reader_init(&v->reader, v->channel, &error);

    if (r >= 0)
        r = greeted(v, &error);
    if (r >= 0 && !v->pages && !v->probe && !v->urgent && !v->recover)
        r = gw_vm_head_get(x->vm, &v->reader, &v->head, &error);
    pthread_mutex_lock(&x->lock);
    v->result = r;
    v->error = error;
    v->done = true;
    pthread_cond_broadcast(&x->changed);
    pthread_mutex_unlock(&x->lock);
    return NULL;
}

void gw_visitor_drop(struct gw_visitor *v)
{
    gw_trace_door(&v->recv->session.vm->trace, v->channel->name, "is dropped");
    gw_channel_shutdown(v->channel);
    pthread_join(v->thread, NULL);
    gw_reader_close(&v->reader);
    gw_channel_free(v->channel);
    *v = (struct gw_visitor){0};
}

int gw_visitor_begin(struct gw_visitor *v, struct gw_recv *r, struct gw_channel *channel, struct gw_error *err)
{
    int e;

    *v = (struct gw_visitor){.recv = r, .channel = channel, .used = true};
    v->deadline_ns = gw_now_ns(&gw_clock_real) + r->hello_ns;
    /* The channel of urgent pages sends nothing before a page is requested. */
    gw_channel_set_timeout(channel, r->classify.urgent ? 0 : r->hello_ns);
    gw_trace_door(&r->session.vm->trace, channel->name, "comes");
    e = gw_thread_start(&v->thread, listen, v, err);
    if (e >= 0)
        return 0;
    gw_channel_free(channel);
    *v = (struct gw_visitor){0};
    return e;
}

