/* SPDX-License-Identifier: MIT */
#include "engine/send.h"

#include "base/endian.h"
#include "engine/pages.h"
#include "wire/numbers.h"
#include "wire/postcopy.h"

#define LOOK_NS GW_NS_PER_S /* between two checks of the channel of urgent pages, at most */

static uint64_t now(const struct gw_send *s)
{
    return gw_now_ns(&s->session.vm->clock);
}

void gw_send_advise(struct gw_send *s)
{
    const struct gw_ram *ram = &s->session.vm->ram;
    const struct gw_wire_advise advise = {.host_pages = gw_ram_host_pages(ram), .page_bytes = ram->page_bytes};
    uint8_t payload[GW_ADVISE_BYTES];

    gw_advise_put(payload, &advise);
    gw_send_command(s, GW_COMMAND_POSTCOPY_ADVISE, payload, sizeof payload);
}

static bool asked(struct gw_send *s)
{
    bool asked;

    pthread_mutex_lock(&s->session.lock);
    asked = s->postcopy_asked;
    pthread_mutex_unlock(&s->session.lock);
    return asked;
}

int gw_send_meet(struct gw_send *s, struct gw_error *err)
{
    int r = 0;

    for (unsigned i = 0; r >= 0 && i < s->plan.lives; i++) {
        struct gw_live *live = s->plan.live[i];

        if (!live->apart)
            continue;
        gw_send_section(s, GW_SECTION_PART, live);
        r = live->ops->meet(live, &s->writer, err);
        gw_send_footer(s, live);
    }
    return r;
}

int gw_send_postcopy_due(struct gw_send *s, struct gw_error *err)
{
    bool two_steps;
    int r;

    if (!asked(s))
        return 0;
    r = gw_send_know_peer(s, &two_steps, err);
    if (r < 0)
        return r;
    /* else the machine would be stopped for the whole first pass */
    s->postcopy = gw_send_may_switch(s) && !gw_send_in_bulk(s);
    return s->postcopy;
}

/* ---- the machine changes hands ----------------------------------------------------------------------------------- */

static void put_command(struct gw_commands *c, uint16_t number, const void *payload, uint16_t bytes)
{
    gw_send_command(c->opaque, number, payload, bytes);
}

/* Writes everything that must come before the package. */
static int put_before(struct gw_send *s, struct gw_error *err)
{
    struct gw_commands commands = {.put = put_command, .opaque = s};
    int r = gw_send_last_parts(s, true, err);

    /* If a part of a large host page is due, all of it is discarded and sent again. */
    if (r >= 0) {
        gw_requests_owe_one(s->plan.requests);
        gw_requests_open(s->plan.requests);
        r = gw_send_giveback_begin(s, err);
    }
    for (unsigned i = 0; r >= 0 && i < s->plan.lives; i++)
        if (s->plan.live[i]->ops->hand_over)
            r = s->plan.live[i]->ops->hand_over(s->plan.live[i], &s->writer, &commands, err);
    return r < 0 ? r : gw_vm_notify(s->session.vm, GW_NOTIFY_COMPLETE, err);
}

/* The package is a stream of its own: the destination reads all of it before it acts on any of it. The caller frees
 * it. */
static int make_package(struct gw_send *s, uint8_t **ret, size_t *ret_bytes, struct gw_error *err)
{
    struct gw_writer main = s->writer;
    int r = gw_writer_init_memory(&s->writer, err);

    if (r >= 0) {
        s->grammar = GW_GRAMMAR_PACKAGE;
        gw_send_command(s, GW_COMMAND_POSTCOPY_LISTEN, NULL, 0);
        r = gw_send_devices(s, GW_DEVICES_LATE, err);
        gw_send_ping(s, GW_PING_PACKAGE);
        gw_send_command(s, GW_COMMAND_POSTCOPY_RUN, NULL, 0);
    }
    if (r >= 0)
        r = gw_writer_flush(&s->writer, err);
    if (r >= 0 && gw_writer_offset(&s->writer) > UINT32_MAX)
        r = gw_fail(err, -EFBIG, GW_BLAME_CALLER, "the state of the devices has %" PRIu64 " bytes: postcopy cannot send more than "
                    "4 GiB of it",
                    gw_writer_offset(&s->writer));
    if (r >= 0)
        *ret = gw_writer_take(&s->writer, ret_bytes);
    gw_writer_close(&s->writer);
    s->writer = main;
    s->grammar = GW_GRAMMAR_COMPLETE;
    return r;
}

/* The destination has said that it failed. */
static bool refused(struct gw_send *s)
{
    bool refused;

    pthread_mutex_lock(&s->session.lock);
    refused = s->rp.shut && s->rp.shut_value;
    pthread_mutex_unlock(&s->session.lock);
    return refused;
}

/* The return path or the connection ended before the destination has said that it loaded the package. */
static int failed_before(struct gw_send *s, struct gw_error *err)
{
    gw_send_prefer_report(s, err);
    if (!refused(s))
        return gw_send_undecided(s, err);
    gw_session_enter_failed(&s->session, GW_PHASE_SEND_FAILED, err);
    return err->code;
}

/* With the last byte of the package the machine may run at the destination. No byte of it may leave before the session
 * has committed to that: the writer flushes by itself when it is full. */
static int hand_over(struct gw_send *s, const uint8_t *package, size_t bytes, struct gw_error *err)
{
    uint64_t end, in, out;
    uint8_t length[4];
    int r;

    pthread_mutex_lock(&s->session.lock);
    s->rp.packaged = true;
    pthread_mutex_unlock(&s->session.lock);
    r = gw_session_commit(&s->session, GW_PHASE_OFFERED_POSTCOPY, err);
    if (r < 0)
        return r;
    gw_send_ping(s, 2);
    gw_store_be32(length, (uint32_t)bytes);
    gw_send_command(s, GW_COMMAND_PACKAGED, length, sizeof length);
    gw_writer_cause(&s->writer, GW_CAUSE_DEVICE);
    gw_put_bytes(&s->writer, package, bytes);
    s->grammar = GW_GRAMMAR_POSTCOPY;
    end = gw_writer_offset(&s->writer);
    gw_send_ping(s, 4);
    r = gw_send_flush(s, err);
    gw_send_lap(s, GW_DOWNTIME_DEVICES);
    if (r >= 0) {
        s->followed = true;
        return 0;
    }
    gw_channel_bytes(s->channel, &in, &out);
    if (out - s->out_before >= end)
        return failed_before(s, err);
    gw_session_enter_failed(&s->session, GW_PHASE_SEND_FAILED, err);
    return r;
}

/* ---- its pages follow -------------------------------------------------------------------------------------------- */

struct step {
    struct gw_budget budget;
    struct gw_send *send;
    uint64_t bytes, limit_bytes;
};

/* A requested page leaves at once; sending of other pages is interrupted for it. */
static bool spent(struct gw_budget *b, uint64_t bytes_put)
{
    struct step *t = b->opaque;
    struct gw_requests *q = t->send->plan.requests;

    t->bytes += bytes_put;
    return t->bytes >= t->limit_bytes || gw_requests_urgent(q) || gw_requests_waiting(q);
}

static int step(struct gw_send *s, struct gw_error *err)
{
    bool limited = gw_options_param(s->session.vm->options, GW_PARAM_MAX_POSTCOPY_BANDWIDTH);
    struct gw_plan_follow follow = limited ? gw_plan_follow_limited() : s->plan.ways.follow;
    struct step t = {.send = s, .limit_bytes = follow.step_bytes};
    int r = 0;

    t.budget = (struct gw_budget){.spent = spent, .opaque = &t, .batch_bytes = follow.batch_bytes};
    for (unsigned i = 0; r >= 0 && i < s->plan.lives; i++) {
        struct gw_live *live = s->plan.live[i];

        if (!live->ops->hand_over || gw_live_left_out(live, false))
            continue;
        gw_send_section(s, GW_SECTION_PART, live);
        r = live->ops->step(live, &s->writer, &t.budget, err);
        gw_send_footer(s, live);
    }
    return r < 0 ? r : gw_send_flush(s, err);
}

/* Bytes written on the main stream and on lanes. */
struct put {
    uint64_t main, lanes;
};

/* Whether pages of the working set are left, which the guest will need soon. */
static bool wanted(const struct gw_send *s)
{
    return s->plan.prefer && gw_prefer_wanted(s->plan.prefer);
}

/* A thread that waits for a page which a lost channel has swallowed requests no other page, so the channels are checked
 * here. */
static int alive(struct gw_send *s, struct gw_error *err)
{
    int r = gw_preempt_alive(s, err);

    return r < 0 ? r : gw_pages_alive(s, err);
}

/* Bytes since the last call to which the rate limit applies: requested pages and those of the working set are not
 * counted. *before: the state at the last call; updated. */
static uint64_t put_since(struct gw_send *s, struct put *before)
{
    struct put now = {gw_writer_offset(&s->writer), gw_plan_progress(&s->plan).channel_bytes};
    bool urgent = gw_requests_urgent(s->plan.requests);
    uint64_t bytes = (urgent ? 0 : now.main - before->main) + now.lanes - before->lanes;

    *before = now;
    return wanted(s) ? 0 : bytes;
}

/* The rate limit applies only to pages that were not requested: while it is exceeded, only requested pages are sent.
 * *owed: bytes that were not charged yet. */
static void pace(struct gw_send *s, uint64_t *owed)
{
    struct gw_requests *q = s->plan.requests;
    bool free = wanted(s);

    gw_pace_set(&s->pace, gw_options_param(s->session.vm->options, GW_PARAM_MAX_POSTCOPY_BANDWIDTH));
    while (!free && !gw_requests_waiting(q) && gw_plan_progress(&s->plan).remaining_bytes && gw_send_check(s, NULL) >= 0 &&
           alive(s, NULL) >= 0) {
        uint64_t wait = gw_pace_ask(&s->pace, *owed), deadline = now(s) + GW_MIN(wait, LOOK_NS);

        free = !wait;
        pthread_mutex_lock(&s->session.lock);
        while (!free && !s->session.yanked && !s->rp.ended && !gw_requests_waiting(q) &&
               gw_session_wait_until(&s->session, deadline))
            ;
        pthread_mutex_unlock(&s->session.lock);
    }
    if (free)
        *owed = 0;
    gw_requests_hold(q, !free);
}

/* true as soon as the destination has said that it loaded the package. */
static bool look(struct gw_send *s)
{
    struct gw_session *x = &s->session;
    bool runs;

    if (gw_session_phase(x) == GW_PHASE_POSTCOPY)
        return true;
    pthread_mutex_lock(&x->lock);
    runs = s->rp.runs;
    pthread_mutex_unlock(&x->lock);
    if (!runs)
        return false;
    gw_send_downtime(s, GW_DOWNTIME_LOAD);
    atomic_store(&x->vm->taken, true);
    gw_session_enter(x, GW_PHASE_POSTCOPY);
    return true;
}

static int follow(struct gw_send *s, struct gw_error *err)
{
    struct put before = {0};
    uint64_t owed = 0;
    int r = 0;

    put_since(s, &before);

    gw_channel_prompt(s->channel); /* requested pages must not wait behind bytes that are queued */
    while (r >= 0 && gw_plan_progress(&s->plan).remaining_bytes) {
        look(s);
        r = gw_send_check(s, err);
        if (r >= 0)
            r = alive(s, err);
        if (r >= 0)
            r = step(s, err);
        if (r >= 0)
            r = gw_send_giveback(s, err);
        owed += put_since(s, &before);
        if (r >= 0)
            pace(s, &owed);
        gw_send_publish(s);
    }
    gw_requests_finish(s->plan.requests); /* more requests must not delay reading the last answer */
    if (r >= 0)
        r = gw_preempt_finish(s, err);
    for (unsigned i = 0; r >= 0 && i < s->plan.lives; i++)
        if (s->plan.live[i]->ops->hand_over)
            r = gw_send_complete(s, s->plan.live[i], err);
    if (r >= 0)
        r = gw_send_end(s, NULL, 0, err);
    return r < 0 ? r : gw_preempt_put_end(s, err);
}

int gw_send_paused(struct gw_send *s, struct gw_error *err)
{
    gw_session_enter_failed(&s->session, refused(s) ? GW_PHASE_SEND_GONE : GW_PHASE_SEND_PAUSED, err);
    return err->code;
}

static int lost(struct gw_send *s, struct gw_error *err)
{
    uint64_t left = gw_plan_progress(&s->plan).remaining_bytes;

    gw_context(err, "the machine runs at the destination, which still lacks %" PRIu64 " bytes of its memory", left);
    return gw_send_paused(s, err);
}

int gw_send_follow(struct gw_send *s, struct gw_error *err)
{
    int r = follow(s, err);

    if (r >= 0)
        r = gw_send_wait_answer(s, false, err) == GW_ANSWER_GOOD ? 0 : err->code ? err->code : -EREMOTEIO;
    if (r < 0)
        gw_send_prefer_report(s, err);
    if (!look(s) && r < 0)
        return failed_before(s, err);
    if (gw_session_phase(&s->session) != GW_PHASE_POSTCOPY)
        /* a destination that has everything runs, even if it did not say so before */
        gw_session_enter(&s->session, GW_PHASE_POSTCOPY);
    if (r < 0)
        return lost(s, err);
    gw_send_giveback_end(s);
    return gw_send_sent(s, true, true);
}

int gw_send_postcopy(struct gw_send *s, struct gw_error *err)
{
    struct gw_error local = GW_ERROR_INIT;
    uint8_t *package = NULL;
    size_t bytes = 0;
    bool two_steps;
    int r;

    if (!err)
        err = &local;
    r = gw_send_know_peer(s, &two_steps, err);
    if (r >= 0)
        r = gw_send_meet(s, err); /* pages that were sent so far arrive before any of them is discarded */
    if (r >= 0)
        r = gw_preempt_open(s, false, err);
    if (r >= 0)
        r = gw_send_stand(s, &two_steps, err);
    if (r < 0)
        return r;
    r = put_before(s, err);
    if (r >= 0)
        r = gw_preempt_begin(s, err);
    gw_globalstate_set(s->session.vm->globalstate, s->was_running);
    if (r >= 0)
        r = make_package(s, &package, &bytes, err);
    if (r >= 0)
        r = gw_send_check(s, err);
    if (r >= 0)
        r = hand_over(s, package, bytes, err);
    free(package);
    if (r < 0)
        return r;
    return gw_send_follow(s, err);
}
