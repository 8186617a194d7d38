/* SPDX-License-Identifier: MIT */
#include "engine/rp.h"

#include <endian.h>

#include "base/thread.h"
#include "wire/answer.h"
#include "base/endian.h"
#include "wire/frames.h"

/* Reads all bytes. The first byte of a message may take long: the destination may have nothing to send. */
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

/* Whether this message of a godwit is allowed now: each once, and in its place. */
static bool extension_expected(const struct gw_rp *rp, uint16_t type)
{
    if (type == GW_RP_GODWIT_HELLO)
        return rp->asks && rp->pongs == 1 && !rp->hello;
    if (type == GW_RP_GODWIT_REASON)
        return rp->extensions & GW_EXTENSION_REASON && !*rp->reason;
    return rp->extensions & GW_EXTENSION_COMMIT && rp->offered && !rp->loaded;
}

/* The error of a SHUT. Under the lock. */
static int shut(const struct gw_rp *rp, struct gw_error *err)
{
    if (!rp->shut_value)
        return 0;
    return *rp->reason ? gw_fail(err, -EREMOTEIO, GW_BLAME_PEER, "the destination could not load the machine: %s", rp->reason)
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
        rp->runs |= rp->packaged && gw_frame_get_pong(p).value == GW_PING_PACKAGE;
        if (gw_frame_get_pong(p).value >= GW_PING_MARK)
            rp->marked = gw_frame_get_pong(p).value;
        break;
    case GW_RP_REQ_PAGES:
    case GW_RP_REQ_PAGES_ID:
    case GW_RP_RECV_BITMAP:
        break;
    case GW_RP_RESUME_ACK:
        if (rp->resuming && !rp->resumed && gw_load_be32(p) == 1) {
            rp->resumed = rp->packaged = rp->runs = true;
            break;
        }
        r = gw_fail(err, -EPROTO, GW_BLAME_PEER, "the destination acknowledges (%u) a resumption that was not asked for",
                    gw_load_be32(p));
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
            /* A newer godwit may have more extensions; one that it does not name it does not support. */
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

/* Blocks while many requests are queued, so it is called before the lock is taken. */
static int request(struct gw_rp *rp, bool named, const uint8_t *p, uint16_t bytes, struct gw_error *err)
{
    char name[256];
    bool packaged;

    pthread_mutex_lock(&rp->session->lock);
    packaged = rp->packaged;
    pthread_mutex_unlock(&rp->session->lock);
    if (!rp->requests || !packaged)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "the destination asks for pages, but the machine was not handed over to it");
    if (named && (bytes < 13 || bytes != 13u + p[12] || !p[12] || memchr(&p[13], 0, p[12])))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "a request for pages has %u bytes, which do not fit its block's name", bytes);
    if (named) {
        memcpy(name, &p[13], p[12]);
        name[p[12]] = 0;
    }
    return gw_requests_ask(rp->requests, named ? name : NULL, gw_load_be64(p), gw_load_be32(p + 8), err);
}

/* The map of received pages follows its message: u64 bytes, the map (little endian), u64 mark. Only the map that was
 * requested is accepted, so its size is known. */
static int map_of(struct gw_rp *rp, const uint8_t *p, uint16_t bytes, struct gw_error *err)
{
    const struct gw_ram_block *b;
    uint8_t number[8];
    uint64_t *map, size;
    int r;

    pthread_mutex_lock(&rp->session->lock);
    b = rp->map ? NULL : rp->wanted;
    pthread_mutex_unlock(&rp->session->lock);
    if (!b || bytes != 1u + p[0] || p[0] != strlen(b->name) || memcmp(&p[1], b->name, p[0]))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "the destination sent a map of received pages that was not asked for");
    size = gw_bitmap_words(b->pages) * 8;
    r = get(rp, number, sizeof number, false, err);
    if (r >= 0 && gw_load_be64(number) != size)
        r = gw_fail(err, -EPROTO, GW_BLAME_PEER, "the map of received pages of block %s has %" PRIu64 " bytes instead of %" PRIu64,
                    b->name, gw_load_be64(number), size);
    if (r < 0)
        return r;
    map = calloc(1, size);
    if (!map)
        return gw_nomem(err, "map of received pages");
    r = get(rp, (uint8_t *)map, size, false, err);
    if (r >= 0)
        r = get(rp, number, sizeof number, false, err);
    if (r >= 0 && gw_load_be64(number) != GW_RECV_BITMAP_END)
        r = gw_fail(err, -EPROTO, GW_BLAME_PEER, "the map of received pages of block %s does not end with the end mark", b->name);
    if (r < 0) {
        free(map);
        return r;
    }
    for (size_t i = 0; i < size / 8; i++)
        map[i] = le64toh(map[i]);
    pthread_mutex_lock(&rp->session->lock);
    rp->map = map;
    pthread_mutex_unlock(&rp->session->lock);
    return 0;
}

/* Reads one message: 1 go on, 0 it was the last one, or a negative errno. */
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
    if (r >= 0 && (what->number == GW_RP_REQ_PAGES || what->number == GW_RP_REQ_PAGES_ID))
        r = request(rp, what->number == GW_RP_REQ_PAGES_ID, body, bytes, err);
    if (r >= 0 && what->number == GW_RP_RECV_BITMAP)
        r = map_of(rp, body, bytes, err);
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
    /* The session's thread may be blocked in a lane whose peer reads no more. */
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

int gw_rp_start(struct gw_rp *rp, struct gw_session *s, struct gw_channel *channel, bool asks,
                struct gw_requests *requests, struct gw_error *err)
{
    int r;

    *rp = (struct gw_rp){.session = s, .channel = channel, .asks = asks, .requests = requests};
    r = gw_thread_start(&rp->thread, rp_main, rp, err);
    rp->running = r >= 0;
    return r;
}

void gw_rp_join(struct gw_rp *rp)
{
    if (rp->running)
        pthread_join(rp->thread, NULL);
    rp->running = false;
    free(rp->map); /* not taken by the session */
    rp->map = NULL;
}
