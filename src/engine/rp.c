/* SPDX-License-Identifier: MIT */
#include "engine/rp.h"

#include "wire/answer.h"
#include "wire/frames.h"

/* Reads all of it. Waiting for the first byte of a message may last: the destination has nothing to say for long. */
static int get(struct gw_rp *rp, uint8_t *buf, size_t bytes, bool first, struct gw_error *err)
{
    size_t got = 0;

    while (got < bytes) {
        struct iovec iov = {buf + got, bytes - got};
        ssize_t n = gw_channel_readv(rp->channel, &iov, 1, err);

        if (n == -ETIMEDOUT && first && !got) {
            if (err)
                *err = (struct gw_error)GW_ERROR_INIT;
            continue;
        }
        if (n < 0)
            return (int)n;
        if (n == 0)
            return gw_fail(err, -ENODATA, GW_BLAME_CHANNEL,
                           "the destination closed the connection without a final answer");
        got += (size_t)n;
    }
    return 0;
}

/* The godwit messages: each once, and in its place. */
static bool extension_expected(const struct gw_rp *rp, uint16_t type)
{
    if (type == GW_RP_GODWIT_HELLO)
        return rp->asks && rp->pongs == 1 && !rp->hello;
    if (type == GW_RP_GODWIT_REASON)
        return rp->extensions & GW_EXTENSION_REASON && !*rp->reason;
    return rp->extensions & GW_EXTENSION_COMMIT && rp->offered && !rp->loaded;
}

/* Under the lock. */
static int shut(const struct gw_rp *rp, struct gw_error *err)
{
    if (!rp->shut_value)
        return 0;
    return *rp->reason ? gw_fail(err, -EREMOTEIO, GW_BLAME_PEER, "the destination could not take it: %s", rp->reason)
                       : gw_fail(err, -EREMOTEIO, GW_BLAME_PEER,
                                 "the destination reported a failure (code %u): its log says why, and `godwit schema "
                                 "explain` may",
                                 rp->shut_value);
}

static int take(struct gw_rp *rp, uint16_t type, const uint8_t *p, uint16_t bytes, struct gw_error *err)
{
    struct gw_session *s = rp->session;
    int r = 1;

    pthread_mutex_lock(&s->lock);
    rp->messages++;
    switch (type) {
    case GW_RP_SHUT:
        rp->shut = true;
        rp->shut_value = gw_frame_get_shut(p).failed;
        r = shut(rp, err);
        break;
    case GW_RP_PONG:
        rp->pongs++;
        rp->pong_ns = gw_now_ns(&s->vm->clock);
        break;
    case GW_RP_SWITCHOVER_ACK:
        rp->switchover_ack = true;
        break;
    case GW_RP_GODWIT_REASON:
        if (extension_expected(rp, type)) {
            memcpy(rp->reason, p, bytes);
            break;
        }
        /* fallthrough */
    case GW_RP_GODWIT_HELLO:
    case GW_RP_GODWIT_LOADED:
        if (extension_expected(rp, type)) {
            /* A newer one may know more; what it does not name it does not know. */
            if (type == GW_RP_GODWIT_HELLO)
                rp->extensions = gw_frame_get_hello(p).extensions;
            atomic_store_explicit(&rp->as_is, rp->extensions & GW_EXTENSION_AS_IS, memory_order_relaxed);
            rp->hello = true;
            rp->loaded = type == GW_RP_GODWIT_LOADED;
            break;
        }
        /* fallthrough */
    default:
        r = gw_fail(err, -EPROTO, GW_BLAME_PEER, "the destination sent %s, which has no place in this migration",
                    gw_wire_rp(type)->name);
    }
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    return r;
}

/* One message: 1 go on, 0 the last one, negative errno. */
static int message(struct gw_rp *rp, struct gw_error *err)
{
    const struct gw_wire_name *what;
    uint8_t head[GW_ANSWER_HEAD_BYTES], body[GW_RP_MAX_BYTES];
    struct gw_in in;
    uint16_t bytes;
    int r = get(rp, head, sizeof head, true, err);

    if (r < 0)
        return r;
    gw_in_memory(&in, head, sizeof head, 0);
    r = gw_answer_get(&in, &what, &bytes, err);
    if (r < 0)
        return r;
    r = get(rp, body, bytes, false, err);
    if (r >= 0)
        gw_trace_answer_get(&rp->session->vm->trace, what->name);
    return r < 0 ? r : take(rp, what->number, body, bytes, err);
}

static void *rp_main(void *arg)
{
    struct gw_rp *rp = arg;
    struct gw_session *s = rp->session;
    struct gw_error error = GW_ERROR_INIT;
    int r;

    do {
        r = message(rp, &error);
    } while (r > 0);
    /* The session's thread may be waiting for a lane that writes to nobody. */
    gw_links_shut_pages(&s->links);
    pthread_mutex_lock(&s->lock);
    rp->ended = true;
    rp->ended_orderly = rp->shut || r == -ENODATA || r == -ECONNRESET || r == -EPIPE;
    if (r < 0) {
        gw_context(&error, "return path");
        rp->error = error;
    }
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

int gw_rp_start(struct gw_rp *rp, struct gw_session *s, struct gw_channel *channel, bool asks, struct gw_error *err)
{
    int r;

    *rp = (struct gw_rp){.session = s, .channel = channel, .asks = asks};
    r = pthread_create(&rp->thread, NULL, rp_main, rp);
    if (r)
        return gw_fail(err, -r, GW_BLAME_LOCAL, "cannot start a thread: %s", strerror(r));
    rp->running = true;
    return 0;
}

void gw_rp_join(struct gw_rp *rp)
{
    if (rp->running)
        pthread_join(rp->thread, NULL);
    rp->running = false;
}
