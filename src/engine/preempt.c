/* SPDX-License-Identifier: MIT
 *
 * The channel of urgent pages at a source (capability postcopy-preempt; docs/wire-format.md 10.6): when it is dialled, and how it
 * ends. ram/lane/urgent.h writes to it.
 *
 *     peers up to 7.2, machine types too   behind the main channel, before its first byte; a mark behind the last page
 *     newer                                before the switch, when the destination has answered; nothing at the end
 *
 * When a migration is resumed: behind the new main channel, or behind the maps of received pages.
 */
#include "engine/pages.h"
#include "engine/send.h"

static int dial_again(void *opaque, enum gw_link purpose, unsigned i, struct gw_cancel *cancel, struct gw_channel **ret,
                      struct gw_error *err)
{
    struct gw_send *s = opaque;

    return gw_connect(&s->uri, s->timeout_ns, cancel, ret, err);
}

int gw_preempt_open(struct gw_send *s, bool first, struct gw_error *err)
{
    struct gw_vm *vm = s->session.vm;
    struct gw_session *x = &s->session;
    int r;

    if (!s->plan.urgent || s->preempt_first != first)
        return 0;
    r = gw_links_open(&x->links, vm->dial_pages.dial ? vm->dial_pages.dial : dial_again,
                      vm->dial_pages.dial ? vm->dial_pages.opaque : s, GW_LINK_URGENT, 0, x->cancel, &s->urgent, err);
    if (r < 0) {
        gw_context(err, "channel of urgent pages");
        return r;
    }
    gw_channel_set_timeout(s->urgent, s->timeout_ns);
    return 0;
}

/* Shuts the main channel down, since the session's thread may be waiting for it. */
static void failed(void *opaque, const struct gw_error *why)
{
    struct gw_send *s = opaque;

    pthread_mutex_lock(&s->session.lock);
    s->urgent_error = *why;
    gw_channel_shutdown(s->channel);
    pthread_cond_broadcast(&s->session.changed);
    pthread_mutex_unlock(&s->session.lock);
}

static void wake(void *opaque)
{
    struct gw_send *s = opaque;

    pthread_mutex_lock(&s->session.lock);
    pthread_cond_broadcast(&s->session.changed);
    pthread_mutex_unlock(&s->session.lock);
}

int gw_preempt_begin(struct gw_send *s, struct gw_error *err)
{
    const struct gw_urgent_run run = {
        .channel = s->urgent, .account = &s->account, .failed = failed, .wake = wake, .opaque = s};

    return s->plan.urgent ? gw_urgent_begin(s->plan.urgent, &run, err) : 0;
}

int gw_preempt_alive(struct gw_send *s, struct gw_error *err)
{
    return s->urgent && gw_channel_peer_gone(s->urgent)
               ? gw_fail(err, -EPIPE, GW_BLAME_CHANNEL, "channel of urgent pages: %s: the destination has closed it", s->urgent->name)
               : 0;
}

int gw_preempt_finish(struct gw_send *s, struct gw_error *err)
{
    return s->plan.urgent ? gw_urgent_finish(s->plan.urgent, err) : 0;
}

int gw_preempt_put_end(struct gw_send *s, struct gw_error *err)
{
    return s->plan.urgent && s->preempt_first ? gw_urgent_put_end(s->plan.urgent, err) : 0;
}

void gw_preempt_end(struct gw_send *s)
{
    if (s->plan.urgent)
        gw_urgent_end(s->plan.urgent);
    if (!s->urgent)
        return;
    gw_links_put(&s->session.links, GW_LINK_URGENT, 0, NULL);
    s->urgent = gw_channel_free(s->urgent);
}
