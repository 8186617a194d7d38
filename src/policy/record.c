/* SPDX-License-Identifier: MIT */
#include "policy/record.h"

#include <stdio.h>

struct out {
    char *at;
    size_t left;
};

static void GW_PRINTF(2, 3) put(struct out *o, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(o->at, o->left, fmt, ap);
    va_end(ap);
    if (n > 0) {
        size_t used = GW_MIN((size_t)n, o->left - 1);

        o->at += used;
        o->left -= used;
    }
}

static void put_key(struct out *o, const char *key, uint64_t v)
{
    if (v)
        put(o, " %s=%" PRIu64, key, v);
}

/* Every field once: key in the line, member. */
#define SWITCH_KEYS(F)                                                                                                 \
    F("now", now_ns)                                                                                                   \
    F("exact", exact)                                                                                                  \
    F("dry", dry)                                                                                                      \
    F("take", take)                                                                                                    \
    F("allowed", allowed)                                                                                              \
    F("pending", pending_bytes)                                                                                        \
    F("dirty", dirty_bytes)                                                                                            \
    F("flight", in_flight_bytes)                                                                                       \
    F("limit", limit_ns)                                                                                               \
    F("avail", avail_bytes_per_s)                                                                                      \
    F("stop", costs.stop_ns)                                                                                           \
    F("sync", costs.sync_ns)                                                                                           \
    F("device", costs.device_bytes)                                                                                    \
    F("device_ns", costs.device_ns)                                                                                    \
    F("answer", costs.answer_ns)

struct throttle_in {
    struct gw_throttle_params p;
    uint64_t now_ns, dirty_bytes, sent_bytes;
};

#define THROTTLE_KEYS(F)                                                                                               \
    F("now", now_ns)                                                                                                   \
    F("dirty", dirty_bytes)                                                                                            \
    F("sent", sent_bytes)                                                                                              \
    F("auto", p.auto_converge)                                                                                         \
    F("dirtylimit", p.dirty_limit)                                                                                     \
    F("trigger", p.trigger_percent)                                                                                    \
    F("initial", p.initial)                                                                                            \
    F("increment", p.increment)                                                                                        \
    F("max", p.max)                                                                                                    \
    F("tailslow", p.tailslow)                                                                                          \
    F("vcpu", p.vcpu_bytes_per_s)

#define TEND_KEYS(F)                                                                                                   \
    F("now", now_ns)                                                                                                   \
    F("pending", pending_bytes)                                                                                        \
    F("predicted", predicted_ns)                                                                                       \
    F("rate", bytes_per_s)                                                                                             \
    F("limit", limit_ns)                                                                                               \
    F("ceiling", ceiling_ns)                                                                                           \
    F("throttles", can_throttle)

void gw_record_window(char line[GW_RECORD_LINE], const struct gw_window_sample *step)
{
    struct out o = {line, GW_RECORD_LINE};

    put(&o, "w %" PRIu64 " %" PRIu64 " %" PRIu64, step->bytes, step->pages, step->ns);
    if (step->wire_bytes != step->bytes)
        put(&o, " %" PRIu64, step->wire_bytes);
}

void gw_record_switch(char line[GW_RECORD_LINE], const struct gw_switch_in *in, const struct gw_switch_out *out)
{
    struct out o = {line, GW_RECORD_LINE};

    put(&o, "d");
#define F(key, member) put_key(&o, key, in->member);
    SWITCH_KEYS(F)
#undef F
    put(&o, " -> %s %s %" PRIu64 " %" PRIu64, gw_switch_verdict_name(out->verdict), gw_switch_reason_name(out->reason),
        out->predicted_ns, out->threshold_bytes);
}

void gw_record_throttle(char line[GW_RECORD_LINE], const struct gw_throttle_params *p, uint64_t now_ns,
                        uint64_t dirty_bytes, uint64_t sent_bytes, const struct gw_throttle_out *out)
{
    struct throttle_in in = {*p, now_ns, dirty_bytes, sent_bytes};
    struct out o = {line, GW_RECORD_LINE};

    put(&o, "t");
#define F(key, member) put_key(&o, key, in.member);
    THROTTLE_KEYS(F)
#undef F
    put(&o, " -> %u %" PRIu64, out->percent, out->vcpu_bytes_per_s);
}

void gw_record_tend(char line[GW_RECORD_LINE], const struct gw_tend_in *in, const struct gw_tend_out *out)
{
    struct out o = {line, GW_RECORD_LINE};

    put(&o, "e");
#define F(key, member) put_key(&o, key, in->member);
    TEND_KEYS(F)
#undef F
    put(&o, " -> %s %" PRIu64 " %d", gw_tend_move_name(out->move), out->limit_ns, out->throttle);
}

void gw_replay_init(struct gw_replay *r)
{
    *r = (struct gw_replay){0};
}

/* The next "key=value"; false at the end or at "->", to which *at then points. */
static int next_key(const char **at, char key[16], uint64_t *ret_value, struct gw_error *err)
{
    const char *s = *at;
    char *end;
    size_t n;

    s += strspn(s, " ");
    *at = s;
    if (!*s || !strncmp(s, "->", 2))
        return 0;
    n = strcspn(s, "= ");
    if (s[n] != '=' || n >= 16)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "not key=value at \"%.20s\"", s);
    memcpy(key, s, n);
    key[n] = 0;
    errno = 0;
    *ret_value = strtoull(s + n + 1, &end, 10);
    if (errno || end == s + n + 1 || (*end && *end != ' '))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "not a number at \"%.20s\"", s);
    *at = end;
    return 1;
}

/* Compares the recorded answer after "->" with ours; without a recorded answer nothing is compared. */
static int compare(const char *rest, const char *ours, struct gw_error *err)
{
    if (!*rest)
        return 0;
    rest += 2;
    rest += strspn(rest, " ");
    if (strcmp(rest, ours))
        return gw_fail(err, -EILSEQ, GW_BLAME_CALLER, "recorded \"%s\", now \"%s\"", rest, ours);
    return 0;
}

static int replay_switch(struct gw_replay *r, const char *at, struct gw_error *err)
{
    struct gw_switch_in in = {0};
    char key[16], ours[160];
    uint64_t v = 0;
    int got;

    while ((got = next_key(&at, key, &v, err)) > 0) {
#define F(name, member)                                                                                                \
    if (!strcmp(key, name)) {                                                                                          \
        in.member = v;                                                                                                 \
        continue;                                                                                                      \
    }
        SWITCH_KEYS(F)
#undef F
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "unknown key \"%s\"", key);
    }
    if (got < 0)
        return got;
    gw_window_estimate(&r->window, in.limit_ns, &in.bandwidth);
    gw_switchover_decide(&r->switchover, &in, &r->last);
    r->decisions++;
    r->switches += r->last.verdict == GW_SWITCH_NOW;
    snprintf(ours, sizeof ours, "%s %s %" PRIu64 " %" PRIu64, gw_switch_verdict_name(r->last.verdict),
             gw_switch_reason_name(r->last.reason), r->last.predicted_ns, r->last.threshold_bytes);
    return compare(at, ours, err);
}

static int replay_throttle(struct gw_replay *r, const char *at, struct gw_error *err)
{
    struct throttle_in in = {0};
    struct gw_throttle_out out;
    char key[16], ours[64];
    uint64_t v = 0;
    int got;

    while ((got = next_key(&at, key, &v, err)) > 0) {
#define F(name, member)                                                                                                \
    if (!strcmp(key, name)) {                                                                                          \
        in.member = (__typeof__(in.member))v;                                                                          \
        continue;                                                                                                      \
    }
        THROTTLE_KEYS(F)
#undef F
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "unknown key \"%s\"", key);
    }
    if (got < 0)
        return got;
    gw_throttle_round(&r->throttle, &in.p, in.now_ns, in.dirty_bytes, in.sent_bytes, &out);
    snprintf(ours, sizeof ours, "%u %" PRIu64, out.percent, out.vcpu_bytes_per_s);
    return compare(at, ours, err);
}

static int replay_tend(struct gw_replay *r, const char *at, struct gw_error *err)
{
    struct gw_tend_in in = {0};
    struct gw_tend_out out;
    char key[16], ours[64];
    uint64_t v = 0;
    int got;

    while ((got = next_key(&at, key, &v, err)) > 0) {
#define F(name, member)                                                                                                \
    if (!strcmp(key, name)) {                                                                                          \
        in.member = v;                                                                                                 \
        continue;                                                                                                      \
    }
        TEND_KEYS(F)
#undef F
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "unknown key \"%s\"", key);
    }
    if (got < 0)
        return got;
    gw_tend_round(&r->tend, &in, &out);
    snprintf(ours, sizeof ours, "%s %" PRIu64 " %d", gw_tend_move_name(out.move), out.limit_ns, out.throttle);
    return compare(at, ours, err);
}

int gw_replay_line(struct gw_replay *r, const char *line, struct gw_error *err)
{
    struct gw_window_sample step;
    uint64_t ns;
    char extra;

    r->lines++;
    if (!*line || *line == '#')
        return 0;
    if (!strcmp(line, "f")) {
        gw_window_flush(&r->window);
        return 0;
    }
    if (!strncmp(line, "d ", 2))
        return replay_switch(r, line + 2, err);
    if (!strncmp(line, "t ", 2))
        return replay_throttle(r, line + 2, err);
    if (!strncmp(line, "e ", 2))
        return replay_tend(r, line + 2, err);
    if (sscanf(line, "b %" SCNu64 " %c", &ns, &extra) == 1) {
        gw_throttle_init(&r->throttle, ns);
        return 0;
    }
    if (sscanf(line, "w %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %c", &step.bytes, &step.pages, &step.ns,
               &step.wire_bytes, &extra) == 4) {
        gw_window_add(&r->window, &step);
        return 0;
    }
    if (sscanf(line, "w %" SCNu64 " %" SCNu64 " %" SCNu64 " %c", &step.bytes, &step.pages, &step.ns, &extra) == 3) {
        step.wire_bytes = step.bytes;
        gw_window_add(&r->window, &step);
        return 0;
    }
    return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "not a line of a policy record: \"%.40s\"", line);
}
