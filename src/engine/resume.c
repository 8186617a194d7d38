/* SPDX-License-Identifier: MIT
 *
 * Resumes a postcopy migration that broke off (docs/wire-format.md 10.7): asks the destination which pages it has, and
 * sends the rest.
 */
#include "engine/send.h"
#include "wire/numbers.h"

#include <stdio.h>

static bool has_map(const struct gw_rp *rp)
{
    return rp->map;
}

static bool has_resumed(const struct gw_rp *rp)
{
    return rp->resumed;
}

static int map(struct gw_resume *ask, const char *block, uint64_t pages, uint64_t **ret_map, struct gw_error *err)
{
    struct gw_send *s = ask->opaque;
    char missing[300];
    uint8_t payload[256];
    int r;

    payload[0] = (uint8_t)strlen(block);
    memcpy(&payload[1], block, payload[0]);
    pthread_mutex_lock(&s->session.lock);
    s->rp.wanted = gw_ram_find(&s->session.vm->ram, block);
    pthread_mutex_unlock(&s->session.lock);
    gw_send_command(s, GW_COMMAND_RECV_BITMAP, payload, (uint16_t)(1 + payload[0]));
    snprintf(missing, sizeof missing, "did not tell which pages it has of RAM block %s", block);
    r = gw_send_flush(s, err);
    if (r >= 0)
        r = gw_send_await(s, has_map, missing, err);
    pthread_mutex_lock(&s->session.lock);
    if (r >= 0) {
        *ret_map = s->rp.map;
        s->rp.map = NULL;
    }
    s->rp.wanted = NULL;
    pthread_mutex_unlock(&s->session.lock);
    return r;
}

static int acknowledged(struct gw_send *s, struct gw_error *err)
{
    int r;

    pthread_mutex_lock(&s->session.lock);
    s->rp.resuming = true;
    pthread_mutex_unlock(&s->session.lock);
    gw_send_command(s, GW_COMMAND_POSTCOPY_RESUME, NULL, 0);
    r = gw_send_flush(s, err);
    return r < 0 ? r : gw_send_await(s, has_resumed, "did not acknowledge the resumption", err);
}

static int agree(struct gw_send *s, struct gw_error *err)
{
    struct gw_resume ask = {.map = map, .opaque = s};
    int r = gw_send_connect(s, err);

    if (r >= 0 && !(s->channel->features & GW_CHANNEL_DUPLEX))
        r = gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%s carries one direction only", s->channel->name);
    if (r < 0)
        return r;
    gw_session_enter(&s->session, GW_PHASE_RECOVER);
    s->grammar = GW_GRAMMAR_RECOVER;
    r = gw_send_begin_writing(s, err);
    if (r >= 0)
        r = gw_rp_start(&s->rp, &s->session, s->channel, false, s->plan.requests, err);
    for (unsigned i = 0; r >= 0 && i < s->plan.lives; i++)
        if (s->plan.live[i]->ops->resume)
            r = s->plan.live[i]->ops->resume(s->plan.live[i], &ask, err);
    if (r < 0)
        return r;
    gw_requests_open(s->plan.requests);
    r = gw_send_giveback_begin(s, err);
    if (r >= 0)
        r = gw_preempt_open(s, false, err);
    if (r >= 0)
        r = gw_preempt_begin(s, err);
    return r < 0 ? r : acknowledged(s, err);
}

/* Nothing has changed: another attempt is possible. */
static int not_resumed(struct gw_send *s, struct gw_error *err)
{
    gw_send_prefer_report(s, err);
    gw_context(err, "the machine waits at the destination for the rest of its memory, and could not be resumed");
    return s->undecided ? gw_send_undecided(s, err) : gw_send_paused(s, err);
}

int gw_send_resume(struct gw_send *s, struct gw_error *err)
{
    struct gw_error local = GW_ERROR_INIT;
    int r;

    if (!err)
        err = &local;
    s->postcopy = s->followed = true;
    s->active_ns = gw_now_ns(&s->session.vm->clock);
    r = agree(s, err);
    if (r < 0)
        return not_resumed(s, err);
    atomic_store(&s->session.vm->taken, true);
    gw_session_enter(&s->session, GW_PHASE_POSTCOPY);
    return gw_send_follow(s, err);
}
