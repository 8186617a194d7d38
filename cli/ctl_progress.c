/* SPDX-License-Identifier: MIT */
#include "ctl_progress.h"

#include <stdio.h>
#include <string.h>

/* ---- figures ----------------------------------------------------------------------------------------------------- */

static bool ended(const char *state)
{
    return !strcmp(state, "completed") || !strcmp(state, "failed") || !strcmp(state, "cancelled");
}

static void add_extras(const json_t *info, struct gw_progress_at *at)
{
    char a[GW_HUMAN];
    unsigned n = 0;

    if (at->dirty_per_s > 0)
        snprintf(at->extra[n++], GW_PROGRESS_EXTRA, "dirty %s/s", gw_human_bytes(a, at->dirty_per_s));
    if (gw_ctl_number(info, "expected-downtime") > 0 && strncmp(at->phase, "postcopy", 8))
        snprintf(at->extra[n++], GW_PROGRESS_EXTRA, "downtime ~%s", gw_human_ms(a, gw_ctl_number(info, "expected-downtime")));
    if (json_object_get(info, "cpu-throttle-percentage"))
        snprintf(at->extra[n++], GW_PROGRESS_EXTRA, "throttle %.0f%%", gw_ctl_number(info, "cpu-throttle-percentage"));
    if (at->round > 0)
        snprintf(at->extra[n++], GW_PROGRESS_EXTRA, "round %.0f", at->round);
    if (at->sent > 0)
        snprintf(at->extra[n++], GW_PROGRESS_EXTRA, "%s sent", gw_human_bytes(a, at->sent));
}

void gw_ctl_progress_read(const json_t *info, struct gw_progress_at *ret_at)
{
    const char *state = gw_ctl_text(info, "status", "starting");

    *ret_at = (struct gw_progress_at){.phase = state};
    if (!json_object_get(info, "ram"))
        return;
    ret_at->sent = gw_ctl_number(info, "ram.transferred");
    if (!json_object_get(info, "x-godwit")) /* a godwit's ram.transferred includes the disks */
        ret_at->sent += gw_ctl_number(info, "disk.transferred");
    ret_at->total = gw_ctl_number(info, "ram.total") + gw_ctl_number(info, "disk.total");
    ret_at->left = gw_ctl_number(info, "ram.remaining") + gw_ctl_number(info, "disk.remaining");
    ret_at->round = gw_ctl_number(info, "ram.dirty-sync-count");
    ret_at->told_per_s = gw_ctl_number(info, "ram.mbps") * 1e6 / 8;
    /* The rate is that of the last round. In postcopy the source's memory does not get dirty any more. */
    if (!strcmp(state, "active"))
        ret_at->dirty_per_s = gw_ctl_number(info, "ram.dirty-pages-rate") * gw_ctl_number(info, "ram.page-size");
    ret_at->never = !strcmp(state, "active") && !strcmp(gw_ctl_text(info, "x-godwit.converges", ""), "no");
    add_extras(info, ret_at);
}

json_t *gw_ctl_progress_json(const json_t *info)
{
    const char *state = gw_ctl_text(info, "status", NULL);
    struct gw_progress_line line = {0};
    struct gw_progress_at at;
    double eta_s;
    int percent;

    if (!state || ended(state) || !json_object_get(info, "ram"))
        return NULL;
    gw_ctl_progress_read(info, &at);
    percent = gw_progress_percent(&at);
    eta_s = gw_progress_eta_s(&line, &at);
    return json_pack("{s:o, s:o}", "percent", percent < 0 ? json_null() : json_integer(percent), "eta-ms",
                     eta_s < 0 ? json_null() : json_integer((json_int_t)(eta_s < 1e12 ? eta_s * 1000 : 1e15)));
}

/* ---- what is said on the way -------------------------------------------------------------------------------------- */

/* Prints, once, that the migration waits for the operator. */
static void tell_waiting(struct gw_ctl *ctl, struct gw_ctl_progress *p, const char *state)
{
    if (ctl->quiet || !strcmp(p->told, state))
        return;
    if (!strcmp(state, "pre-switchover") || !strcmp(state, "postcopy-paused")) {
        gw_progress_clear(&p->line);
        fprintf(stderr, "godwit ctl: %s: %s\n", state,
                *state == 'p' && state[1] == 'r'
                    ? "the machine is stopped until `continue` or `cancel`"
                    : "the guest waits for `recover URI` at its destination and `migrate --resume` at its source");
    }
    snprintf(p->told, sizeof p->told, "%s", state);
}

/* Printed once, on a terminal or not. Another client may change the limit meanwhile, so it is queried in each round. */
static void look_for_end(struct gw_ctl *ctl, struct gw_ctl_progress *p, const json_t *info)
{
    double round = gw_ctl_number(info, "ram.dirty-sync-count"), expected_ms = gw_ctl_number(info, "expected-downtime");
    char now[GW_HUMAN], limit[GW_HUMAN];
    json_t *parameters = NULL;

    if (ctl->quiet || strcmp(gw_ctl_text(info, "status", ""), "active"))
        return;
    if (round != p->asked_round && !gw_qmp_execute(ctl->qmp, "query-migrate-parameters", NULL, &parameters, NULL)) {
        p->limit_ms = gw_ctl_number(parameters, "downtime-limit");
        p->asked_round = round;
        json_decref(parameters);
    }
    p->is_stuck = p->asked_round && gw_stuck_step(&p->stuck, round, expected_ms, p->limit_ms);
    if (!p->is_stuck || p->told_stuck)
        return;
    p->told_stuck = true;
    gw_progress_clear(&p->line);
    fprintf(stderr,
            "godwit ctl: the migration does not converge: the guest writes its memory as fast as it is sent. The "
            "expected downtime is "
            "%s, the limit %s, and it has not shrunk for %d rounds. Raise the limit (`param downtime-limit=MS`) or the "
            "bandwidth (`param max-bandwidth=BYTES`), or cancel and `migrate --capability auto-converge`, which slows the guest "
            "down\n",
            gw_human_ms(now, expected_ms), gw_human_ms(limit, p->limit_ms), GW_STUCK_ROUNDS);
}

void gw_ctl_progress_init(struct gw_ctl_progress *p, const struct gw_ctl *ctl)
{
    *p = (struct gw_ctl_progress){0};
    gw_progress_init(&p->line, !ctl->quiet && !ctl->json && !ctl->verbose);
}

void gw_ctl_progress_draw(struct gw_ctl_progress *p, const json_t *info)
{
    struct gw_progress_at at;

    gw_ctl_progress_read(info, &at);
    at.never |= p->is_stuck;
    gw_progress_show(&p->line, &at);
}

void gw_ctl_progress_look(struct gw_ctl *ctl, struct gw_ctl_progress *p, const json_t *info)
{
    look_for_end(ctl, p, info);
    gw_ctl_progress_draw(p, info);
    tell_waiting(ctl, p, gw_ctl_text(info, "status", "starting"));
}
