/* SPDX-License-Identifier: MIT
 *
 * model: a guest that writes, a link with noise and slow phases, and a sender that asks the policy, all simulated.
 *
 * Everything derives from the seed. Time is simulated in steps of at most 2 ms. The guest has up to four sets of pages,
 * each written uniformly at a rate; what is dirty is counted by expectation, not page by page: of a set of S bytes with
 * `known` still to be sent and `fresh` dirtied since its pages were last cleaned, a write hits a clean page with the
 * chance (S - known - fresh) / S.
 */
#ifndef GW_TEST_MODEL_H
#define GW_TEST_MODEL_H

#include <math.h>
#include <stdio.h>

#include "policy/record.h"

#define MODEL_SETS 4

struct model {
    /* what is simulated */
    uint64_t seed;
    struct {
        double bytes, rate; /* bytes a second written */
        double known, fresh;
    } set[MODEL_SETS];
    double link;          /* bytes a second */
    double noise;         /* +- share, per 10 ms */
    double slow_to;       /* a slow phase leaves this share */
    double slow_each_s;   /* mean time between slow phases; 0: none */
    double max_bandwidth; /* 0: none */
    uint64_t limit_ns, stop_ns, sync_ns, answer_ns, device_bytes, give_up_ns;
    struct gw_throttle_params throttle;
    uint64_t ceiling_ns;  /* 0: convergence is not tended */
    bool can_throttle;    /* where it is tended: with the steps of `throttle`, whose auto_converge is off */
    void (*change)(struct model *m, uint64_t ns); /* before each question, ns since the beginning; NULL: nothing changes */
    uint64_t avail;
    FILE *record; /* NULL: none */

    /* what came of it */
    bool done;
    uint64_t total_ns, downtime_ns, predicted_ns;
    unsigned syncs, extra, percent, most_percent, raises;
    uint64_t raised_ns;   /* the limit in the end */
    enum gw_switch_reason reason;

    /* inside */
    uint64_t now_ns, noise_until_ns, slow_until_ns;
    double noise_now, vcpu_limit, stuck;
};

static inline uint64_t model_random(struct model *m)
{
    uint64_t z = m->seed += 0x9E3779B97F4A7C15ull;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

static inline double model_unit(struct model *m)
{
    return (double)(model_random(m) >> 11) / (double)(1ull << 53);
}

static inline double model_between(struct model *m, double lo, double hi)
{
    return lo * pow(hi / lo, model_unit(m));
}

static inline double model_link(struct model *m)
{
    double r = m->link;

    if (m->now_ns >= m->noise_until_ns) {
        m->noise_now = 1 + m->noise * (2 * model_unit(m) - 1);
        m->noise_until_ns = m->now_ns + 10 * GW_NS_PER_MS;
        if (m->slow_each_s > 0 && m->now_ns >= m->slow_until_ns && model_unit(m) < 0.010 / m->slow_each_s)
            m->slow_until_ns = m->now_ns + (uint64_t)model_between(m, 1e8, 1e9);
    }
    r *= m->noise_now;
    return m->now_ns < m->slow_until_ns ? r * m->slow_to : r;
}

/* The guest writes for ns. */
static inline void model_write(struct model *m, uint64_t ns)
{
    double total = 0, share = 1 - m->percent / 100.0;

    for (int i = 0; i < MODEL_SETS; i++)
        total += m->set[i].rate;
    if (m->vcpu_limit > 0 && total * share > m->vcpu_limit)
        share = m->vcpu_limit / total;
    for (int i = 0; i < MODEL_SETS; i++) {
        double s = m->set[i].bytes, clean = s - m->set[i].known - m->set[i].fresh;

        if (s > 0 && m->set[i].rate > 0 && clean > 0)
            m->set[i].fresh += clean * (1 - exp(-m->set[i].rate * share * (double)ns / 1e9 / s));
    }
    m->now_ns += ns;
}

static inline double model_pending(const struct model *m)
{
    double p = 0;

    for (int i = 0; i < MODEL_SETS; i++)
        p += m->set[i].known;
    return p < 2048 ? 0 : p; /* less than half a page is none */
}

/* Sends for at most ns, with the guest writing or not; returns the bytes and the time that it took. */
static inline double model_send(struct model *m, uint64_t ns, bool running, uint64_t *ret_ns)
{
    double sent = 0;
    uint64_t t = 0;

    while (t < ns && model_pending(m) > 0) {
        double r = model_link(m), left = model_pending(m), n;
        uint64_t step = GW_MIN(ns - t, 2 * GW_NS_PER_MS);

        if (running && m->max_bandwidth > 0 && r > m->max_bandwidth)
            r = m->max_bandwidth;
        n = r * (double)step / 1e9;
        if (n > left) {
            step = (uint64_t)(left / r * 1e9) + 1;
            n = left;
        }
        for (int i = 0; i < MODEL_SETS; i++)
            m->set[i].known -= m->set[i].known * n / left;
        if (running)
            model_write(m, step);
        else
            m->now_ns += step;
        sent += n;
        t += step;
    }
    if (model_pending(m) <= 0)
        for (int i = 0; i < MODEL_SETS; i++)
            m->set[i].known = 0;
    *ret_ns = t;
    return sent;
}

static inline double model_sync(struct model *m)
{
    double found = 0;

    for (int i = 0; i < MODEL_SETS; i++) {
        found += m->set[i].fresh;
        m->set[i].known += m->set[i].fresh;
        m->set[i].fresh = 0;
    }
    return found;
}

static inline void model_log(struct model *m, const char *line)
{
    if (m->record)
        fprintf(m->record, "%s\n", line);
}

/* The whole migration. */
static inline void model_run(struct model *m)
{
    struct gw_window w;
    struct gw_switchover s;
    struct gw_throttle t;
    struct gw_tend tend;
    char line[GW_RECORD_LINE];
    double sent_total = 0;
    uint64_t start, stopped, ns;
    bool throttles = false;

    gw_window_init(&w);
    gw_switchover_init(&s);
    start = m->now_ns = GW_NS_PER_S;
    gw_throttle_init(&t, start);
    gw_tend_init(&tend);
    m->raised_ns = m->limit_ns;
    snprintf(line, sizeof line, "b %" PRIu64, start);
    model_log(m, line);
    for (int i = 0; i < MODEL_SETS; i++)
        m->set[i].known = m->set[i].bytes;

    for (bool exact = false; m->now_ns - start < m->give_up_ns;) {
        struct gw_throttle_params throttle = m->throttle;
        struct gw_switch_in in = {
            .now_ns = m->now_ns,
            .exact = exact,
            .allowed = true,
            .take = m->ceiling_ns && gw_tend_takes(&tend),
            .pending_bytes = (uint64_t)(model_pending(m) + m->stuck),
            .dry = !exact && model_pending(m) <= 0,
            .limit_ns = m->ceiling_ns ? gw_tend_limit(&tend, m->limit_ns, m->ceiling_ns) : m->limit_ns,
            .avail_bytes_per_s = m->avail,
            .costs = {.stop_ns = m->stop_ns,
                      .sync_ns = m->sync_ns,
                      .device_bytes = m->device_bytes,
                      .answer_ns = m->answer_ns},
        };
        struct gw_switch_out out;

        if (m->change)
            m->change(m, m->now_ns - start);
        if (exact)
            in.dirty_bytes = (uint64_t)model_pending(m);
        gw_window_estimate(&w, in.limit_ns, &in.bandwidth);
        gw_switchover_decide(&s, &in, &out);
        gw_record_switch(line, &in, &out);
        model_log(m, line);
        if (m->ceiling_ns && exact && out.verdict != GW_SWITCH_NOW) {
            const struct gw_tend_in question = {
                .now_ns = m->now_ns,
                .pending_bytes = in.pending_bytes,
                .predicted_ns = out.predicted_ns,
                .bytes_per_s = in.bandwidth.typical_bytes_per_s,
                .limit_ns = m->limit_ns,
                .ceiling_ns = m->ceiling_ns,
                .can_throttle = m->can_throttle,
            };
            struct gw_tend_out answer;

            gw_tend_round(&tend, &question, &answer);
            gw_record_tend(line, &question, &answer);
            model_log(m, line);
            m->raised_ns = answer.limit_ns;
            m->raises += answer.move == GW_TEND_RAISE;
            throttles = answer.throttle;
        }
        throttle.auto_converge |= throttles;
        exact = false;
        if (out.verdict == GW_SWITCH_NOW) {
            m->done = true;
            m->reason = out.reason;
            m->predicted_ns = out.predicted_ns;
            break;
        }
        if (out.verdict == GW_SWITCH_CONTINUE && !gw_throttle_sync_due(&t, &throttle, m->now_ns)) {
            struct gw_window_sample sent;
            double n;

            if (out.wait_ns)
                model_write(m, out.wait_ns);
            n = model_send(m, 50 * GW_NS_PER_MS, true, &ns);
            sent_total += n;
            sent = (struct gw_window_sample){(uint64_t)n, (uint64_t)n, (uint64_t)n / 4096, ns};
            gw_window_add(&w, &sent);
            gw_record_window(line, &sent);
            model_log(m, line);
            model_write(m, 20000); /* the loop itself takes time */
        } else {
            struct gw_throttle_out to;
            double found;

            if (model_pending(m) <= 0) {
                gw_window_flush(&w);
                model_log(m, "f");
            }
            model_write(m, m->sync_ns);
            found = model_sync(m);
            gw_throttle_round(&t, &throttle, m->now_ns, (uint64_t)found, (uint64_t)sent_total, &to);
            gw_record_throttle(line, &throttle, m->now_ns, (uint64_t)found, (uint64_t)sent_total, &to);
            model_log(m, line);
            m->percent = to.percent;
            m->most_percent = GW_MAX(m->most_percent, to.percent);
            m->vcpu_limit = (double)to.vcpu_bytes_per_s;
            m->syncs++;
            exact = true;
        }
    }
    m->extra = (unsigned)s.extra_passes;
    m->total_ns = m->now_ns - start;
    if (!m->done)
        return;

    /* stop: the guest writes until it is over, then everything goes at whatever the link does now */
    model_write(m, m->stop_ns / 2);
    stopped = m->now_ns;
    m->now_ns += m->stop_ns / 2 + m->sync_ns;
    model_sync(m);
    m->set[0].known += (double)m->device_bytes + m->stuck;
    model_send(m, UINT64_MAX / 2, false, &ns);
    m->now_ns += m->answer_ns;
    m->downtime_ns = m->now_ns - stopped;
    m->total_ns = m->now_ns - start;
}

#endif
