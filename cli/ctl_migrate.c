/* SPDX-License-Identifier: MIT
 *
 * ctl, long commands: migrate, cancel. They poll, so that they work the same with every server and also show migrations
 * that another client controls.
 */
#include "ctl.h"
#include "ctl_disks.h"
#include "ctl_progress.h"
#include "ctl_report.h"
#include "ctl_progress.h"
#include "plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_MS      1000000ull
#define POLL_NS        (200 * NS_PER_MS)
#define POLL_FIRST_NS  (20 * NS_PER_MS) /* short migrations are common: poll often at first */
#define CANCEL_WAIT_NS (10000 * NS_PER_MS)
#define SETTLE_NS      (5000 * NS_PER_MS)

static uint64_t now_ns(void)
{
    return gw_now_ns(&gw_clock_real);
}

static bool ended(const char *state)
{
    return !strcmp(state, "completed") || !strcmp(state, "failed") || !strcmp(state, "cancelled");
}

/* ---- waiting for the end ----------------------------------------------------------------------------------------- */

/* Ctrl-C: cancels the migration, once; a watching command ends. Returns an exit status, or -1 to go on waiting. */
static int on_interrupt(struct gw_ctl *ctl, struct gw_ctl_progress *p, unsigned seen)
{
    struct gw_error err = GW_ERROR_INIT;

    gw_progress_clear(&p->line);
    if (seen > 1 || ctl->watches) {
        fprintf(stderr, "godwit ctl: no longer waiting: the migration may still run; `godwit ctl %s status` shows it\n",
                ctl->socket);
        return GW_EXIT_FAILED;
    }
    fprintf(stderr, "godwit ctl: cancelling\n");
    if (gw_qmp_execute(ctl->qmp, "migrate_cancel", NULL, NULL, &err) && err.code != -EINTR)
        fprintf(stderr, "godwit ctl: cannot be cancelled: %s; waiting for the end (again to leave)\n", err.text);
    return -1;
}

/* Whether it is paused now and was not at the start: a QEMU that resumes reports the old state for a while. */
static bool stands(const struct gw_ctl *ctl, struct gw_ctl_progress *p, const char *state)
{
    bool paused = !strcmp(state, "postcopy-paused");

    p->moved |= !paused;
    return paused && !ctl->wait_recovery && (p->moved || !ctl->resume || gw_qmp_is_godwit(ctl->qmp));
}

/* Polls until the migration has ended or is paused; *ret_info is the last answer. */
static int wait_end(struct gw_ctl *ctl, struct gw_ctl_progress *p, uint64_t deadline_ns, json_t **ret_info)
{
    uint64_t start_ns = now_ns();
    struct gw_error err = GW_ERROR_INIT;
    unsigned seen = 0;
    json_t *info;
    int r;

    for (;;) {
        /* First of all: a signal may have arrived while `migrate` waited for its answer. */
        while (ctl->interrupts != seen) {
            r = on_interrupt(ctl, p, ++seen);
            if (r >= 0)
                return r;
        }
        info = NULL;
        r = gw_qmp_execute(ctl->qmp, "query-migrate", NULL, &info, &err);
        if (r == 0) {
            const char *state = gw_ctl_text(info, "status", "none");

            json_decref(*ret_info);
            *ret_info = info;
            if (ended(state))
                gw_ctl_disks_step(ctl, p, info);
            if (ended(state) || stands(ctl, p, state) || !strcmp(state, "none") || now_ns() >= deadline_ns)
                break;
            gw_ctl_disks_step(ctl, p, info);
            gw_ctl_take_sample(ctl, info);
            gw_ctl_progress_look(ctl, p, info);
            r = gw_qmp_wait(ctl->qmp, now_ns() - start_ns < 10 * POLL_NS ? POLL_FIRST_NS : POLL_NS, &err);
        }
        if (r < 0 && r != -EINTR)
            break;
    }
    gw_progress_clear(&p->line);
    if (r == 0)
        return GW_EXIT_DONE;
    fprintf(stderr, "godwit ctl: the monitor was lost: %s; how the migration ended is not known\n", err.text);
    return GW_EXIT_FAILED;
}

int gw_ctl_final_status(struct gw_ctl *ctl, json_t **ret_status)
{
    uint64_t deadline_ns = now_ns() + SETTLE_NS;
    int r;

    for (;;) {
        json_t *status = NULL;

        r = gw_ctl_run(ctl, "query-status", NULL, &status);
        if (r != GW_EXIT_DONE)
            return r;
        if (strcmp(gw_ctl_text(status, "status", "?"), "finish-migrate") || now_ns() >= deadline_ns ||
            gw_qmp_wait(ctl->qmp, POLL_FIRST_NS, NULL)) {
            *ret_status = status;
            return GW_EXIT_DONE;
        }
        json_decref(status);
    }
}

/* The source is in postmigrate, or about to be; the guest is at the destination. */
static void tell_paused(const struct gw_ctl *ctl, const char *command, const char *why, const char *run)
{
    bool is_source = !strcmp(run, "postmigrate") || !strcmp(run, "finish-migrate");

    fprintf(stderr, "godwit ctl: %s: postcopy-paused%s%s; ", command, why ? ": " : "", why ? why : "");
    if (is_source)
        fprintf(stderr,
                "the guest is at the destination and waits for memory that is only here. Make the destination listen "
                "(`godwit ctl THERE recover "
                "URI`; QEMU: migrate_recover URI), then `godwit ctl %s migrate URI --resume`\n",
                ctl->socket);
    else
        fprintf(stderr,
                "the guest is here and waits for memory that is only at its source. Make this side listen (`godwit "
                "ctl %s recover URI`), then at "
                "the source `migrate URI --resume`\n",
                ctl->socket);
}

/* Prints the result and the state of both sides. command: the name in messages; plan: the forecast, or NULL. */
static int conclude(struct gw_ctl *ctl, const char *command, json_t *info, const struct gw_plan *plan)
{
    const char *state = gw_ctl_text(info, "status", "none");
    json_t *status = NULL;
    const char *run;
    /* A paused QEMU stays in finish-migrate: there is nothing to settle. */
    int r = strcmp(state, "postcopy-paused") ? gw_ctl_final_status(ctl, &status) : gw_ctl_run(ctl, "query-status", NULL, &status);

    if (r != GW_EXIT_DONE)
        return r;
    run = gw_ctl_text(status, "status", "?");
    if (ctl->json) {
        json_object_set(info, "run-state", json_object_get(status, "status"));
        if (plan)
            json_object_set_new(info, "x-godwit-forecast", gw_plan_beside_json(plan, info));
        gw_ctl_print_json(ctl, info);
    } else if (!strcmp(state, "completed")) {
        gw_ctl_report(info, status);
    }
    if (plan && !ctl->json)
        gw_plan_print_beside(plan, info);
    if (strcmp(state, "completed")) {
        const char *why = gw_ctl_text(info, "error-desc", NULL);

        why = why && strcmp(why, state) ? why : NULL;
        r = strcmp(state, "postcopy-paused") ? GW_EXIT_FAILED : GW_EXIT_PAUSED;
        if (r == GW_EXIT_PAUSED)
            tell_paused(ctl, command, why, run);
        else
            fprintf(stderr, "godwit ctl: %s: %s%s%s; the machine here is %s\n", command, state, why ? ": " : "", why ? why : "", run);
    }
    json_decref(status);
    return r;
}

/* The monitor closed after the command was sent and before it answered. */
static bool lost_unanswered(const struct gw_error *err)
{
    if (err->blame != GW_BLAME_CHANNEL || err->code != -ECONNRESET)
        return false;
    fprintf(stderr, "godwit ctl: the monitor was lost: %s; it had not said whether the migration began; how the migration ended is not known\n",
            err->text);
    return true;
}

/* A failed forecast is printed and does not prevent the migration. */
static struct gw_plan *foresee(struct gw_ctl *ctl, const char *uri)
{
    struct gw_plan *plan = ctl->plan ? calloc(1, sizeof *plan) : NULL;

    if (plan && gw_plan_make(ctl, uri, plan) != GW_EXIT_DONE) {
        free(plan);
        plan = NULL;
    }
    return plan;
}

int gw_ctl_transfer(struct gw_ctl *ctl, const char *uri, json_t **ret_info)
{
    struct gw_ctl_progress p;
    json_t *args = json_pack("{ss}", "uri", uri);
    struct gw_error err = GW_ERROR_INIT;
    int r;

    if (ctl->resume)
        json_object_set_new(args, "resume", json_true());
    if (ctl->peer)
        json_object_set_new(args, "x-godwit-peer", json_string(ctl->peer));
    if (ctl->timeout_ns && gw_qmp_is_godwit(ctl->qmp)) /* QEMU does not have this and would refuse it */
        json_object_set_new(args, "x-godwit-timeout-ms",
                            json_integer((json_int_t)((ctl->timeout_ns + NS_PER_MS - 1) / NS_PER_MS)));
    gw_ctl_disks_arguments(ctl, args);
    gw_ctl_take_begin(ctl);
    r = gw_qmp_execute(ctl->qmp, "migrate", args, NULL, &err);
    /* Interrupted before the answer: the migration may have begun, so it is cancelled like any other. */
    if (r < 0 && (r != -EINTR || ctl->detach)) {
        gw_ctl_take_drop(ctl);
        return lost_unanswered(&err) ? GW_EXIT_FAILED : gw_ctl_failed("migrate", &err);
    }
    if (ctl->detach)
        return GW_EXIT_DONE;
    gw_ctl_progress_init(&p, ctl);
    return wait_end(ctl, &p, UINT64_MAX, ret_info);
}

int gw_ctl_migrate(struct gw_ctl *ctl, int argc, char **argv)
{
    struct gw_ctl_progress p;
    struct gw_plan *plan;
    json_t *info = NULL;
    int r = gw_ctl_take_open(ctl, argv[0]);

    if (r == GW_EXIT_DONE)
        r = gw_ctl_set_capabilities(ctl, ctl->capabilities, ctl->capability_count);
    if (r == GW_EXIT_DONE)
        r = gw_ctl_set_parameters(ctl, ctl->parameters, ctl->parameter_count);
    if (r != GW_EXIT_DONE) {
        gw_ctl_take_drop(ctl);
        return r;
    }
    plan = foresee(ctl, argv[0]);
    if (plan)
        gw_ctl_take_forecast(ctl, &plan->now);
    gw_ctl_progress_init(&p, ctl);
    r = gw_ctl_disks_begin(ctl, argv[0], &p);
    if (r == GW_EXIT_DONE)
        r = gw_ctl_transfer(ctl, argv[0], &info);
    else
        gw_ctl_take_drop(ctl);
    gw_ctl_disks_end(ctl);
    if (r == GW_EXIT_DONE && !ctl->detach)
        r = conclude(ctl, "migrate", info, plan);
    gw_ctl_take_write(ctl, info); /* of a migration that was started */
    free(plan);
    json_decref(info);
    return r;
}

int gw_ctl_cancel(struct gw_ctl *ctl, int argc, char **argv)
{
    struct gw_ctl_progress p = {0};
    json_t *info = NULL, *status = NULL;
    const char *state;
    int r = gw_ctl_run(ctl, "migrate_cancel", NULL, NULL);

    if (r == GW_EXIT_DONE)
        r = gw_ctl_run(ctl, "query-migrate", NULL, &info);
    if (r == GW_EXIT_DONE && gw_ctl_text(info, "status", NULL))
        r = wait_end(ctl, &p, now_ns() + CANCEL_WAIT_NS, &info);
    if (r == GW_EXIT_DONE)
        r = gw_ctl_final_status(ctl, &status);
    if (r == GW_EXIT_DONE) {
        state = gw_ctl_text(info, "status", "none");
        if (ctl->json) {
            json_object_set(info, "run-state", json_object_get(status, "status"));
            gw_ctl_print_json(ctl, info);
        } else {
            printf("migration %s, machine %s\n", state, gw_ctl_text(status, "status", "?"));
        }
        if (strcmp(state, "none") && !ended(state)) {
            fprintf(stderr, "godwit ctl: cancel: still %s after %d s\n", state, (int)(CANCEL_WAIT_NS / 1000000000));
            r = GW_EXIT_FAILED;
        }
    }
    json_decref(status);
    json_decref(info);
    return r;
}

/* ---- one that another client started ------------------------------------------------------------------------------ */

static int await(struct gw_ctl *ctl, const char *command, bool shows, uint64_t deadline_ns)
{
    struct gw_ctl_progress p = {0};
    struct gw_error err = GW_ERROR_INIT;
    json_t *info = NULL;
    const char *state;
    char left[GW_HUMAN];
    int r;

    ctl->watches = true;
    gw_ctl_progress_init(&p, ctl);
    p.line.on &= shows;
    r = wait_end(ctl, &p, deadline_ns, &info);
    state = gw_ctl_text(info, "status", "none");
    if (r == GW_EXIT_DONE && !strcmp(state, "none")) {
        gw_fail(&err, -ENOENT, GW_BLAME_CALLER, "the machine has had no migration yet; `godwit ctl %s migrate URI` "
                                                "starts one", ctl->socket);
        r = gw_ctl_failed(command, &err);
    } else if (r == GW_EXIT_DONE && !ended(state) && !stands(ctl, &p, state)) {
        gw_fail(&err, -ETIMEDOUT, GW_BLAME_CALLER, "the migration is still %s after %s, and continues", state,
                gw_human_ms(left, (double)ctl->timeout_ns / 1e6));
        r = gw_ctl_failed(command, &err);
    } else if (r == GW_EXIT_DONE) {
        r = conclude(ctl, command, info, NULL);
    }
    json_decref(info);
    return r;
}

int gw_ctl_watch(struct gw_ctl *ctl, int argc, char **argv)
{
    return await(ctl, "watch", true, UINT64_MAX);
}

int gw_ctl_wait(struct gw_ctl *ctl, int argc, char **argv)
{
    return await(ctl, "wait", false, ctl->timeout_ns ? ctl->began_ns + ctl->timeout_ns : UINT64_MAX);
}
