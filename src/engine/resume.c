/* SPDX-License-Identifier: MIT
 *
 * A postcopy migration that broke off goes on (docs/wire-format.md 10.7): the destination is asked what it has, and gets the rest.
 */
#include "engine/send.h"
#include "wire/numbers.h"

/* Under session.lock: whether what is waited for came, or never will. */
static bool over(const struct gw_send *s, bool here)
{
    return here || s->rp.ended || s->session.yanked;
}

static int map(struct gw_resume *ask, const char *block, uint64_t pages, uint64_t **ret_map, struct gw_error *err)
{
    struct gw_send *s = ask->opaque;
    uint64_t deadline = s->timeout_ns ? gw_now_ns(&s->session.vm->clock) + s->timeout_ns : UINT64_MAX;
    uint8_t payload[256];
    bool in_time = true;
    int r;

    payload[0] = (uint8_t)strlen(block);
    memcpy(&payload[1], block, payload[0]);
    pthread_mutex_lock(&s->session.lock);
    s->rp.wanted = gw_ram_find(&s->session.vm->ram, block);
    pthread_mutex_unlock(&s->session.lock);
    gw_send_command(s, GW_COMMAND_RECV_BITMAP, payload, (uint16_t)(1 + payload[0]));
    r = gw_send_flush(s, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&s->session.lock);
    while (in_time && !over(s, s->rp.map))
        in_time = gw_session_wait_until(&s->session, deadline);
    *ret_map = s->rp.map;
    s->rp.map = NULL;
    s->rp.wanted = NULL;
    pthread_mutex_unlock(&s->session.lock);
    if (*ret_map)
        return 0;
    r = gw_send_check(s, err);
    return r < 0 ? r : gw_fail(err, -ETIMEDOUT, GW_BLAME_CHANNEL, "the destination did not say what it has of block %s", block);
}

static int acknowledged(struct gw_send *s, struct gw_error *err)
{
    uint64_t deadline = s->timeout_ns ? gw_now_ns(&s->session.vm->clock) + s->timeout_ns : UINT64_MAX;
    bool in_time = true, resumed;
    int r;

    pthread_mutex_lock(&s->session.lock);
    s->rp.resuming = true;
    pthread_mutex_unlock(&s->session.lock);
    gw_send_command(s, GW_COMMAND_POSTCOPY_RESUME, NULL, 0);
    r = gw_send_flush(s, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&s->session.lock);
    while (in_time && !over(s, s->rp.resumed))
        in_time = gw_session_wait_until(&s->session, deadline);
    resumed = s->rp.resumed;
    pthread_mutex_unlock(&s->session.lock);
    if (resumed)
        return 0;
    r = gw_send_check(s, err);
    return r < 0 ? r : gw_fail(err, -ETIMEDOUT, GW_BLAME_CHANNEL, "the destination did not acknowledge that it goes on");
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
    return acknowledged(s, err);
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
    if (r < 0) {
        gw_context(err, "the machine waits at the destination for the rest of its memory, and could not be resumed");
        gw_session_enter_failed(&s->session, GW_PHASE_SEND_GONE, err);
        return err->code;
    }
    gw_session_enter(&s->session, GW_PHASE_POSTCOPY);
    return gw_send_follow(s, err);
}
