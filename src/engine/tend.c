/* SPDX-License-Identifier: MIT */
#include "engine/send.h"

#define CEILING_TIMES 10u /* the ceiling, in downtime limits, if none is set */

static uint64_t param_ns(const struct gw_send *s, enum gw_parameter p)
{
    return gw_options_param(s->session.vm->options, p) * GW_NS_PER_MS;
}

static uint64_t ceiling_ns(const struct gw_send *s)
{
    uint64_t ns = param_ns(s, GW_PARAM_DOWNTIME_CEILING), limit_ns = param_ns(s, GW_PARAM_DOWNTIME_LIMIT);

    return GW_MAX(ns ? ns : limit_ns * CEILING_TIMES, limit_ns);
}

uint64_t gw_send_limit(const struct gw_send *s)
{
    uint64_t limit_ns = param_ns(s, GW_PARAM_DOWNTIME_LIMIT);

    return s->plan.ways.tended ? gw_tend_limit(&s->tend, limit_ns, ceiling_ns(s)) : limit_ns;
}

struct gw_throttle_params gw_send_throttle(const struct gw_send *s)
{
    const struct gw_options *o = s->session.vm->options;
    bool tended = s->plan.ways.tended, limits = s->plan.ways.dirty_limit;
    /* With tended convergence, slowing the guest down is the last resort; it uses the method that is on, or else the
     * steps of auto-converge. */
    bool may = (!tended || s->tended_throttle) && !gw_send_in_bulk(s);

    return (struct gw_throttle_params){
        .auto_converge = may && (s->plan.ways.auto_converge || (tended && !limits)) && s->session.vm->ops->throttle,
        .dirty_limit = may && limits,
        .trigger_percent = (unsigned)gw_options_param(o, GW_PARAM_THROTTLE_TRIGGER_THRESHOLD),
        .initial = (unsigned)gw_options_param(o, GW_PARAM_CPU_THROTTLE_INITIAL),
        .increment = (unsigned)gw_options_param(o, GW_PARAM_CPU_THROTTLE_INCREMENT),
        .max = (unsigned)gw_options_param(o, GW_PARAM_MAX_CPU_THROTTLE),
        .tailslow = gw_options_param(o, GW_PARAM_CPU_THROTTLE_TAILSLOW),
        .vcpu_bytes_per_s = gw_options_param(o, GW_PARAM_VCPU_DIRTY_LIMIT) * 1000000,
    };
}

void gw_send_tend(struct gw_send *s, const struct gw_switch_in *asked, const struct gw_switch_out *decided)
{
    const struct gw_vm_ops *ops = s->session.vm->ops;
    const struct gw_trace *trace = &s->session.vm->trace;
    const struct gw_tend_in in = {
        .now_ns = asked->now_ns,
        .pending_bytes = asked->pending_bytes,
        .predicted_ns = decided->predicted_ns,
        .bytes_per_s = s->bandwidth.typical_bytes_per_s,
        .limit_ns = param_ns(s, GW_PARAM_DOWNTIME_LIMIT),
        .ceiling_ns = ceiling_ns(s),
        .can_throttle = s->plan.ways.dirty_limit ? ops->dirty_limit != NULL : ops->throttle != NULL,
    };
    char words[GW_TEND_WORDS];
    struct gw_tend_out out;

    if (!s->plan.ways.tended)
        return;
    gw_tend_round(&s->tend, &in, &out);
    s->tended_throttle = out.throttle;
    if (gw_trace_wants(trace, GW_TRACE_policy)) {
        char line[GW_RECORD_LINE];

        gw_record_tend(line, &in, &out);
        gw_trace_policy(trace, line);
    }
    gw_tend_say(words, &in, &out);
    if (words[0]) {
        gw_trace_tend(trace, words);
        gw_session_log(&s->session, "%s", words);
    }
    pthread_mutex_lock(&s->session.lock);
    s->session.stats.downtime_limit_ns = out.limit_ns;
    if (words[0])
        gw_strcopy(s->session.stats.tended, sizeof s->session.stats.tended, words);
    pthread_mutex_unlock(&s->session.lock);
}
