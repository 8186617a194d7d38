/* SPDX-License-Identifier: MIT
 *
 * giveback: when memory of a machine that runs at the destination is given back (release-ram). PINGs behind pages tell
 * what has arrived: the destination answers a PING after it has placed all pages before it. This follows from the order
 * of the stream, so it holds for any peer. Pages on lanes are brought into that order first (gw_send_meet).
 */
#include "engine/send.h"

static void say(void *opaque, const char *text)
{
    struct gw_send *s = opaque;

    gw_session_log(&s->session, "%s", text);
}

int gw_send_giveback_begin(struct gw_send *s, struct gw_error *err)
{
    return s->plan.giveback ? gw_giveback_open(s->plan.giveback, say, s, err) : 0;
}

int gw_send_giveback(struct gw_send *s, struct gw_error *err)
{
    struct gw_giveback *g = s->plan.giveback;
    uint32_t answered;
    int r;

    if (!g || gw_session_phase(&s->session) != GW_PHASE_POSTCOPY)
        return 0;
    s->gave = s->gave || !gw_giveback_runs(g);
    pthread_mutex_lock(&s->session.lock);
    answered = s->rp.marked;
    pthread_mutex_unlock(&s->session.lock);
    if (s->mark && answered == s->mark) {
        gw_giveback_came(g);
        s->mark = 0;
    }
    if (s->mark || !gw_giveback_mark(g))
        return 0;
    r = gw_send_meet(s, err);
    if (r < 0)
        return r;
    s->mark = GW_PING_MARK + s->marks++ % GW_PING_MARK;
    gw_send_ping(s, s->mark);
    return gw_send_flush(s, err);
}

void gw_send_giveback_end(struct gw_send *s)
{
    if (s->plan.giveback)
        gw_giveback_all(s->plan.giveback);
}
