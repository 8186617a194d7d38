/* SPDX-License-Identifier: MIT */
#include "policy/tend.h"

#include <stdio.h>

#define LINK_CHANGES 3u

const char *gw_tend_move_name(enum gw_tend_move m)
{
    static const char *const names[GW_TEND_MOVE_COUNT] = {"watch", "raise", "throttle", "helpless"};

    return (unsigned)m < GW_TEND_MOVE_COUNT ? names[m] : "?";
}

void gw_tend_init(struct gw_tend *t)
{
    *t = (struct gw_tend){0};
}

uint64_t gw_tend_limit(const struct gw_tend *t, uint64_t limit_ns, uint64_t ceiling_ns)
{
    uint64_t raised = t->throttling ? ceiling_ns : GW_MIN(t->raised_ns, ceiling_ns);

    return GW_MAX(limit_ns, raised);
}

bool gw_tend_takes(const struct gw_tend *t)
{
    return t->passed;
}

/* Starts to count rounds after this one. */
static void begin(struct gw_tend *t, const struct gw_tend_in *in)
{
    t->since_ns = in->now_ns;
    t->rounds = 0;
    t->best_ns = UINT64_MAX;
    t->bytes_per_s = in->bytes_per_s;
}

static bool link_changed(const struct gw_tend *t, const struct gw_tend_in *in)
{
    uint64_t quarter = t->bytes_per_s / 4;

    return in->bytes_per_s < t->bytes_per_s - quarter || in->bytes_per_s - quarter > t->bytes_per_s;
}

/* Called when there was no progress for long enough. */
static enum gw_tend_move act(struct gw_tend *t, const struct gw_tend_in *in)
{
    uint64_t slack = t->best_ns / 16;

    if (t->best_ns <= in->ceiling_ns) {
        /* A rest that fits the current limit is only waiting (for an acknowledgement, or a pass that pays). */
        if (t->best_ns <= gw_tend_limit(t, in->limit_ns, in->ceiling_ns))
            return GW_TEND_WATCH;
        t->raised_ns = GW_MIN(t->best_ns + slack, in->ceiling_ns);
        return GW_TEND_RAISE;
    }
    if (in->can_throttle) {
        if (t->throttling)
            return GW_TEND_WATCH;
        t->throttling = true;
        return GW_TEND_THROTTLE;
    }
    if (t->told)
        return GW_TEND_WATCH;
    t->told = true;
    return GW_TEND_HELPLESS;
}

void gw_tend_round(struct gw_tend *t, const struct gw_tend_in *in, struct gw_tend_out *ret)
{
    struct gw_tend_out out = {.move = GW_TEND_WATCH};
    uint64_t before = t->last_bytes;

    t->last_bytes = in->pending_bytes;
    t->passed |= in->predicted_ns > in->limit_ns && in->predicted_ns <= gw_tend_limit(t, in->limit_ns, in->ceiling_ns);
    if (!t->begun || in->pending_bytes < t->least_bytes - t->least_bytes / 16) {
        t->begun = true;
        t->least_bytes = in->pending_bytes;
        t->link_changes = 0;
        begin(t, in);
    } else if (link_changed(t, in) && t->link_changes < LINK_CHANGES) {
        t->link_changes++;
        begin(t, in);
    } else {
        t->rounds++;
        if (in->predicted_ns <= t->best_ns) {
            t->best_ns = in->predicted_ns;
            t->best_bytes = in->pending_bytes;
        }
        if (t->rounds >= GW_TEND_ROUNDS && in->now_ns - t->since_ns >= GW_TEND_STALL_NS && t->best_ns < UINT64_MAX) {
            out.move = act(t, in);
            out.best_ns = t->best_ns;
            out.best_bytes = t->best_bytes;
            out.rounds = t->rounds;
            out.ns = in->now_ns - t->since_ns;
            begin(t, in);
        }
    }
    /* If the rest shrinks by an eighth per round, the guest is slow enough. */
    out.throttle = t->throttling && in->pending_bytes >= before - before / 8;
    out.limit_ns = gw_tend_limit(t, in->limit_ns, in->ceiling_ns);
    *ret = out;
}

void gw_tend_say(char words[GW_TEND_WORDS], const struct gw_tend_in *in, const struct gw_tend_out *out)
{
    uint64_t limit_ms = out->limit_ns / GW_NS_PER_MS, ceiling_ms = in->ceiling_ns / GW_NS_PER_MS;
    char rest[GW_TEND_WORDS];

    words[0] = 0;
    if (out->move == GW_TEND_WATCH)
        return;
    snprintf(rest, sizeof rest,
             "for %" PRIu64 " rounds (%" PRIu64 " s) the rest was never below %" PRIu64 " MiB, which takes %" PRIu64 " ms",
             out->rounds, (uint64_t)(out->ns / GW_NS_PER_S), (uint64_t)(out->best_bytes / GW_MIB),
             (uint64_t)(out->best_ns / GW_NS_PER_MS));
    if (out->move == GW_TEND_RAISE)
        snprintf(words, GW_TEND_WORDS, "the downtime limit is %" PRIu64 " ms now: %.140s", limit_ms, rest);
    else
        snprintf(words, GW_TEND_WORDS, "%s: %.120s, more than the ceiling of %" PRIu64 " ms",
                 out->move == GW_TEND_THROTTLE ? "the guest is slowed down" : "it does not converge", rest, ceiling_ms);
}
