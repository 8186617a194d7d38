/* SPDX-License-Identifier: MIT
 *
 * source: an outgoing session in the middle, on the machine of rig.h: two live sections that only say what is asked of them, and a
 * channel whose other end is read by `sent`. Nobody listens to the return path: what it heard is written into s->rp.
 */
#ifndef ENGINE_SOURCE_H
#define ENGINE_SOURCE_H

#include "rig.h"

#include "base/endian.h"
#include "engine/send.h"

#define DUPLEX_BYTES 65536

struct fake {
    struct gw_live live;
    uint64_t must, can, fresh; /* what pending says */
    uint64_t puts, plain_pages; /* bytes that a step puts; what progress says */
    uint64_t remaining;
    uint64_t takes_ns; /* how long a step lasts */
    int fails; /* what the next call returns */
    bool dry;
};

static struct gw_send *s;
static struct gw_channel *near, *far;
static struct fake a, b;
static uint64_t taken; /* bytes of `far` */

static struct fake *fake_of(struct gw_live *l)
{
    return GW_CONTAINER(l, struct fake, live);
}

static int fake_did(struct gw_live *l, const char *what, struct gw_error *err)
{
    rig_say("%s(%s) ", what, l->ops->id);
    return fake_of(l)->fails < 0 ? gw_fail(err, fake_of(l)->fails, GW_BLAME_LOCAL, "%s of %s", what, l->ops->id) : 0;
}

static int fake_setup(struct gw_live *l, struct gw_writer *w, struct gw_error *err)
{
    return fake_did(l, "setup", err);
}

static int fake_pending(struct gw_live *l, bool exact, struct gw_pending *ret, struct gw_error *err)
{
    struct fake *f = fake_of(l);

    *ret = (struct gw_pending){f->must, f->can, exact ? f->fresh : 0};
    return fake_did(l, exact ? "sync" : "pending", err);
}

static int fake_step(struct gw_live *l, struct gw_writer *w, struct gw_budget *budget, struct gw_error *err)
{
    struct fake *f = fake_of(l);
    static const uint8_t zeros[256];

    for (uint64_t n = 0; n < f->puts; n += sizeof zeros) {
        gw_put_bytes(w, zeros, sizeof zeros);
        if (budget->spent(budget, sizeof zeros)) {
            rig_say("spent ");
            break;
        }
    }
    f->remaining = 0;
    rig.now_ns += f->takes_ns;
    return fake_did(l, "step", err) < 0 ? f->fails : f->dry;
}

static int fake_complete(struct gw_live *l, struct gw_writer *w, struct gw_error *err)
{
    return fake_did(l, "complete", err);
}

static int fake_hand_over(struct gw_live *l, struct gw_writer *w, struct gw_commands *c, struct gw_error *err)
{
    return fake_did(l, "hand_over", err);
}

static int fake_wait(struct gw_live *l, uint64_t ns, struct gw_error *err)
{
    return fake_did(l, "wait", err);
}

static int fake_meet(struct gw_live *l, struct gw_writer *w, struct gw_error *err)
{
    return fake_did(l, "meet", err);
}

static void fake_cleanup(struct gw_live *l)
{
    rig_say("cleanup(%s) ", l->ops->id);
}

static void fake_progress(struct gw_live *l, struct gw_progress *sum)
{
    sum->plain_pages += fake_of(l)->plain_pages;
    sum->remaining_bytes += fake_of(l)->remaining;
}

static const struct gw_live_ops a_ops = {.id = "a", .version = 3, .order = 1, .setup = fake_setup, .pending = fake_pending,
                                         .step = fake_step, .complete = fake_complete, .progress = fake_progress,
                                         .wait = fake_wait, .meet = fake_meet, .cleanup = fake_cleanup};
static const struct gw_live_ops b_ops = {.id = "b", .version = 4, .order = 2, .setup = fake_setup, .pending = fake_pending,
                                         .step = fake_step, .complete = fake_complete, .progress = fake_progress,
                                         .hand_over = fake_hand_over, .cleanup = fake_cleanup};

/* Another one of the same machine, behind source_end_session. */
static inline int source_session(const char *peer)
{
    if (gw_channel_memory_pair(DUPLEX_BYTES, &near, &far, NULL))
        return -1;
    s = calloc(1, sizeof *s);
    s->profile = gw_wire_profile(peer);
    s->channel = near;
    s->timeout_ns = 20 * GW_NS_PER_S;
    s->started_ns = s->began_ns = rig.now_ns;
    a = (struct fake){.live = {.ops = &a_ops, .section_id = 7}, .dry = true};
    b = (struct fake){.live = {.ops = &b_ops, .section_id = 8}, .dry = true};
    s->plan = (struct gw_plan){.live = {&a.live, &b.live}, .lives = 2};
    taken = 0;
    gw_pace_init(&s->pace, &rig.vm->clock, 0);
    gw_account_init(&s->account, &rig.vm->clock);
    gw_history_begin(&s->history, rig.now_ns);
    return gw_session_init(&s->session, rig.vm, rig_event, NULL, NULL);
}

static inline int source_up_as(const char *peer)
{
    return rig_up_as("m", NULL) ? -1 : source_session(peer);
}

static inline int source_up(void **state)
{
    return source_up_as("7.2") || gw_send_begin_writing(s, NULL);
}

static inline void source_end_session(void)
{
    gw_channel_shutdown(near); /* after a failed assertion its reader still waits */
    gw_rp_join(&s->rp);
    gw_session_close(&s->session);
    if (s->writing)
        gw_writer_close(&s->writer);
    gw_vmdesc_free(s->desc);
    gw_pace_fini(&s->pace);
    gw_channel_free(near);
    gw_channel_free(far);
    free(s);
}

static inline int source_down(void **state)
{
    source_end_session();
    return rig_down(state);
}

/* What has gone over the channel since the last look: as many bytes as there are, in hex, in a buffer of this function. */
static inline const char *sent(void)
{
    static char text[2 * DUPLEX_BYTES + 1];
    static uint8_t bytes[DUPLEX_BYTES];
    uint64_t in, out;

    gw_channel_bytes(near, &in, &out);
    text[0] = 0;
    assert_true(out - taken <= DUPLEX_BYTES);
    if (out > taken)
        assert_int_equal(gw_channel_read_full(far, bytes, out - taken, NULL), 0);
    for (uint64_t i = 0; i < out - taken; i++)
        sprintf(text + 2 * i, "%02x", bytes[i]);
    taken = out;
    return text;
}

/* The same, after all that waits in the writer has gone. */
static inline const char *flushed(void)
{
    assert_int_equal(gw_send_flush(s, NULL), 0);
    return sent();
}

static inline void source_phase(enum gw_phase to)
{
    static const enum gw_phase way[] = {GW_PHASE_CONNECT, GW_PHASE_SETUP, GW_PHASE_ACTIVE, GW_PHASE_STOPPED, GW_PHASE_DEVICE};

    for (unsigned i = 0; i < GW_ARRAY_LEN(way); i++) {
        gw_session_enter(&s->session, way[i]);
        if (way[i] == to)
            return;
    }
    gw_session_enter(&s->session, to);
}


#define source_test(f) cmocka_unit_test_setup_teardown(f, source_up, source_down)

/* As when its rounds begin: the machine runs, and a step of the first section takes a millisecond. */
static inline void source_ready(void)
{
    s->grammar = GW_GRAMMAR_ITERATE;
    source_phase(GW_PHASE_ACTIVE);
    gw_window_init(&s->window);
    gw_switchover_init(&s->switchover);
    gw_tend_init(&s->tend);
    gw_throttle_init(&s->throttle, rig.now_ns);
    rig.running = true;
    rig.log[0] = 0;
    a.takes_ns = GW_NS_PER_MS;
}

/* On, as if it had been before the session began. */
static inline void source_cap(const char *name)
{
    rig_cap(name);
    gw_plan_decide(&s->plan, gw_vm_options(rig.vm));
}

#endif
