/* SPDX-License-Identifier: MIT */
#include "engine/pages.h"

#include "engine/recv.h"
#include "engine/send.h"
#include "wire/greeting.h"

#include <stdio.h>

int gw_pages_count(const struct gw_vm *vm, bool many, const char *address, unsigned *ret, struct gw_error *err)
{
    uint64_t n = gw_options_param(vm->options, GW_PARAM_MULTIFD_CHANNELS);

    *ret = 0;
    if (gw_plan_pages_by(vm->options) != GW_PAGES_BY_CHANNELS)
        return 0;
    if (!many && !vm->dial_pages.dial)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                       "capability multifd: %s gives one connection only; tcp:, unix: and vsock: give more",
                       address ? address : "a channel");
    if (n > GW_LANES_MAX)
        return gw_fail(err, -ERANGE, GW_BLAME_CALLER, "multifd-channels %" PRIu64 ": there can be %u here", n, GW_LANES_MAX);
    *ret = (unsigned)n;
    return 0;
}

/* ---- source ------------------------------------------------------------------------------------------------------- */

static int dial(void *opaque, enum gw_link purpose, unsigned i, struct gw_cancel *cancel, struct gw_channel **ret,
                struct gw_error *err)
{
    struct gw_send *s = opaque;

    return gw_connect(&s->uri, s->timeout_ns, cancel, ret, err);
}

int gw_pages_dial(void *send, unsigned i, struct gw_channel **ret, struct gw_error *err)
{
    struct gw_send *s = send;
    struct gw_vm *vm = s->session.vm;
    struct gw_greeting greeting = {.channel = (uint8_t)i};
    uint8_t bytes[GW_GREETING_BYTES];
    int r = vm->dial_pages.dial ? gw_session_open_pages(&s->session, vm->dial_pages.dial, vm->dial_pages.opaque, i, ret, err)
                                : gw_session_open_pages(&s->session, dial, s, i, ret, err);

    memcpy(greeting.uuid, vm->uuid, sizeof greeting.uuid);
    gw_greeting_put(bytes, &greeting);
    if (r >= 0)
        r = gw_channel_write_full(*ret, bytes, sizeof bytes, err);
    if (r < 0)
        gw_context(err, "multifd channel %u", i);
    return r;
}

int gw_pages_agree(struct gw_send *s, struct gw_error *err)
{
    bool agreed;
    int r;

    if (!s->plan.ways.lanes_follow)
        return 0;
    r = gw_send_await(s, gw_rp_knows_peer, "did not answer a PING", err);
    pthread_mutex_lock(&s->session.lock);
    agreed = s->rp.extensions & GW_EXTENSION_LANES;
    pthread_mutex_unlock(&s->session.lock);
    if (r == -ETIMEDOUT)
        return gw_fail(err, r, GW_BLAME_CALLER,
                       "capabilities postcopy-ram and multifd: the destination answers nothing before its multifd channels come, which "
                       "a godwit does: turn one of them off");
    if (r >= 0 && !agreed)
        r = gw_fail(err, -ENOTSUP, GW_BLAME_CALLER,
                    "capabilities postcopy-ram and multifd: the destination does not take pages of postcopy on multifd channels (it is no "
                    "godwit, or an older one): turn one of them off");
    return r;
}

int gw_pages_alive(struct gw_send *s, struct gw_error *err)
{
    for (unsigned i = 0; i < GW_LANES_MAX && s->session.pages[i]; i++)
        if (gw_channel_peer_gone(s->session.pages[i]))
            return gw_fail(err, -EPIPE, GW_BLAME_CHANNEL, "page channel %u: %s: the destination has closed it", i,
                           s->session.pages[i]->name);
    return 0;
}

/* ---- destination --------------------------------------------------------------------------------------------------
 */

/* Time for channels that were dialled before the main one sent anything. */
static uint64_t grace_ns(const struct gw_recv *r)
{
    return r->hello_ns / 10 * 3;
}

static unsigned came(const struct gw_recv *r)
{
    unsigned n = 0;

    for (unsigned i = 0; i < r->classify.pages; i++)
        n += r->pages.at[i].channel || r->pages.at[i].taken;
    return n;
}

static int fail_late(struct gw_recv *r, struct gw_error *err)
{
    char text[GW_DURATION_TEXT];
    unsigned n = came(r);

    gw_duration_text(text, grace_ns(r));
    if (!n)
        return gw_fail(err, -ETIMEDOUT, GW_BLAME_PEER,
                       "0 of %u multifd channels have come within %s: capability multifd seems to be off at the source: set the "
                       "same on both sides",
                       r->classify.pages, text);
    return gw_fail(err, -ETIMEDOUT, GW_BLAME_PEER,
                   "%u of %u multifd channels have come within %s: multifd-channels seems to be %u at the source and is %u here: "
                   "set the same on both sides",
                   n, r->classify.pages, text, n, r->classify.pages);
}

/* Waits until the channel has come. */
static int take(void *opaque, enum gw_link purpose, unsigned i, struct gw_cancel *cancel, struct gw_channel **ret,
                struct gw_error *err)
{
    struct gw_recv *r = opaque;
    struct gw_session *s = &r->session;
    bool in_time = true;
    int e = 0;

    pthread_mutex_lock(&s->lock);
    if (!r->pages.since_ns)
        r->pages.since_ns = gw_now_ns(&s->vm->clock);
    while (!r->pages.at[i].channel && !r->pages.why.code && !s->cancelled && !s->yanked && in_time)
        in_time = gw_session_wait_until(s, r->pages.since_ns + grace_ns(r));
    if (r->pages.why.code) {
        e = r->pages.why.code;
        *err = r->pages.why;
    } else if (r->pages.at[i].channel && memcmp(r->pages.at[i].uuid, r->pages.at[0].uuid, sizeof r->pages.at[i].uuid)) {
        e = gw_fail(err, -EPROTO, GW_BLAME_PEER, "multifd channels 0 and %u belong to machines with different UUIDs", i);
    } else if (r->pages.at[i].channel) {
        *ret = r->pages.at[i].channel;
        r->pages.at[i].channel = NULL;
        r->pages.at[i].taken = true;
    } else if (s->cancelled || s->yanked) {
        e = gw_fail_canceled(err);
    } else {
        e = fail_late(r, err);
    }
    pthread_mutex_unlock(&s->lock);
    return e;
}

/* Checks the greeting of a connection that does not come from the door. */
static int greet(struct gw_recv *r, unsigned i, struct gw_channel *channel, struct gw_error *err)
{
    uint8_t bytes[GW_GREETING_BYTES];
    struct gw_link_id id = {0};
    int e = gw_channel_read_full(channel, bytes, sizeof bytes, err);

    if (e >= 0)
        e = gw_classify(&r->classify, bytes, sizeof bytes, false, &id, err);
    if (e >= 0 && (id.purpose != GW_LINK_PAGES || id.index != i))
        e = gw_fail(err, -EPROTO, GW_BLAME_PEER, "it says that it is another channel (%u)", id.index);
    if (e < 0)
        gw_context(err, "multifd channel %u", i);
    return e;
}

int gw_pages_await(void *recv, unsigned i, struct gw_channel **ret, struct gw_error *err)
{
    struct gw_recv *r = recv;
    struct gw_vm *vm = r->session.vm;
    struct gw_error local = GW_ERROR_INIT;
    int e;

    if (!err)
        err = &local;
    if (!vm->dial_pages.dial)
        return gw_session_open_pages(&r->session, take, r, i, ret, err);
    e = gw_session_open_pages(&r->session, vm->dial_pages.dial, vm->dial_pages.opaque, i, ret, err);
    return e < 0 ? e : greet(r, i, *ret, err);
}

int gw_pages_arrived(struct gw_recv *r, unsigned i, const uint8_t uuid[16], struct gw_channel *take_channel,
                     struct gw_error *err)
{
    struct gw_session *s = &r->session;
    struct gw_channel *old = take_channel;
    bool taken;

    pthread_mutex_lock(&s->lock);
    taken = r->pages.at[i].taken;
    if (!taken) {
        old = r->pages.at[i].channel;
        r->pages.at[i].channel = take_channel;
        memcpy(r->pages.at[i].uuid, uuid, sizeof r->pages.at[i].uuid);
        pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
    gw_channel_free(old);
    return taken ? gw_fail(err, -EEXIST, GW_BLAME_PEER, "multifd channel %u came twice", i) : 0;
}

void gw_pages_refused(struct gw_recv *r, const struct gw_error *why)
{
    struct gw_session *s = &r->session;

    pthread_mutex_lock(&s->lock);
    r->pages.why = *why;
    r->pages.why_ns = gw_now_ns(&s->vm->clock);
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    /* Only for a source that was accepted. Until its extensions are known, the thread that reads its stream checks
     * `why` itself. */
    if (r->channel && atomic_load(&r->heard))
        gw_recv_give_up(r, why);
}

void gw_pages_lost(void *recv, const struct gw_error *why)
{
    struct gw_recv *r = recv;

    if (!gw_follow_lacking(r))
        return;
    pthread_mutex_lock(&r->session.lock);
    if (!r->pages.lost.code)
        r->pages.lost = *why;
    pthread_mutex_unlock(&r->session.lock);
    gw_links_shut_main(&r->session.links);
}

int gw_pages_check_lost(struct gw_recv *r, struct gw_error *err)
{
    int e;

    pthread_mutex_lock(&r->session.lock);
    e = r->pages.lost.code;
    if (e && err)
        *err = r->pages.lost;
    pthread_mutex_unlock(&r->session.lock);
    return e;
}

int gw_pages_check(struct gw_recv *r, struct gw_error *err)
{
    struct gw_session *s = &r->session;
    int e;

    pthread_mutex_lock(&s->lock);
    if (r->pages.why.code && gw_now_ns(&s->vm->clock) - r->pages.why_ns > r->hello_ns)
        r->pages.why = (struct gw_error)GW_ERROR_INIT; /* it belongs to an earlier source */
    e = r->pages.why.code;
    if (e && err)
        *err = r->pages.why;
    pthread_mutex_unlock(&s->lock);
    return e;
}

void gw_pages_forget(struct gw_recv *r)
{
    struct gw_pages old;

    pthread_mutex_lock(&r->session.lock);
    old = r->pages;
    r->pages = (struct gw_pages){0};
    pthread_mutex_unlock(&r->session.lock);
    for (unsigned i = 0; i < GW_LANES_MAX; i++)
        gw_channel_free(old.at[i].channel);
}
