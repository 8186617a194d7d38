/* SPDX-License-Identifier: MIT
 *
 * Jobs as QEMU has them: a thread for each, JOB_STATUS_CHANGE events, query-jobs, job-dismiss.
 *
 *     created -> running -> waiting -> pending -> concluded       it is done
 *                       \-> aborting -> concluded                 it failed; query-jobs has the error
 *
 * A job stays in the list until it is dismissed. None can be cancelled.
 */
#include <ctype.h>
#include <stdio.h>

#include "base/thread.h"
#include "control/internal.h"
#include "godwit/vm_snapshot.h"

#define JOBS_MAX 64u
#define ID_MAX   255u /* bytes */

enum status { CREATED, RUNNING, WAITING, PENDING, ABORTING, CONCLUDED, GONE };

struct gw_job {
    struct gw_job *next; /* this, status and error are protected by control.queue */
    struct gw_control *control;
    const struct gw_job_kind *kind;
    void *opaque;
    enum status status;
    struct gw_error error; /* code 0: none */
    pthread_t thread;
    char id[ID_MAX + 1];
};

static const char *status_name(enum status s)
{
    static const char *const names[] = {"created", "running", "waiting", "pending", "aborting", "concluded", "null"};

    return names[s];
}

/* A client that gets the event looks the job up by its ID, so the change comes first. */
static void enter(struct gw_job *j, enum status status)
{
    char data[ID_MAX + 64];

    pthread_mutex_lock(&j->control->queue);
    j->status = status;
    pthread_mutex_unlock(&j->control->queue);
    snprintf(data, sizeof data, "{\"status\": \"%s\", \"id\": \"%s\"}", status_name(status), j->id);
    gw_control_emit(j->control, "JOB_STATUS_CHANGE", data);
}

static void *job_main(void *opaque)
{
    struct gw_job *j = opaque;
    struct gw_error err = GW_ERROR_INIT;
    int r = j->kind->run(j->control, j->opaque, &err);

    if (r < 0 && !err.code)
        gw_fail(&err, r, GW_BLAME_LOCAL, "%s", strerror(-r));
    pthread_mutex_lock(&j->control->queue);
    j->error = r < 0 ? err : (struct gw_error)GW_ERROR_INIT;
    pthread_mutex_unlock(&j->control->queue);
    if (r < 0) {
        enter(j, ABORTING);
    } else {
        enter(j, WAITING);
        enter(j, PENDING);
    }
    enter(j, CONCLUDED);
    return NULL;
}

/* ---- the list ----------------------------------------------------------------------------------------------------- */

static int check_id(const char *id, struct gw_error *err)
{
    size_t n = strlen(id);
    bool good = n && n <= ID_MAX && isalpha((unsigned char)id[0]);

    for (size_t i = 0; good && i < n; i++)
        good = isalnum((unsigned char)id[i]) || strchr("-._", id[i]);
    return good ? 0
                : gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                          "job ID '%.100s': it begins with a letter, and has up to %u letters, digits and - . _", id, ID_MAX);
}

/* Under control.queue. */
static struct gw_job **find(struct gw_control *c, const char *id)
{
    struct gw_job **at = &c->jobs;

    while (*at && strcmp((*at)->id, id))
        at = &(*at)->next;
    return at;
}

static int append(struct gw_control *c, struct gw_job *j, struct gw_error *err)
{
    struct gw_job **at;
    unsigned count = 0;
    int r = 0;

    pthread_mutex_lock(&c->queue);
    if (*find(c, j->id))
        r = gw_fail(err, -EEXIST, GW_BLAME_CALLER, "there is a job '%s' already: job-dismiss takes one away that has concluded", j->id);
    for (at = &c->jobs; *at; at = &(*at)->next)
        count++;
    if (r == 0 && count == JOBS_MAX)
        r = gw_fail(err, -ENOSPC, GW_BLAME_CALLER, "more than %u jobs: job-dismiss takes those away that have concluded", JOBS_MAX);
    if (r == 0)
        *at = j;
    pthread_mutex_unlock(&c->queue);
    return r;
}

static void destroy(struct gw_job *j)
{
    j->kind->free(j->opaque);
    free(j);
}

/* Removes it from the list. */
static void detach(struct gw_control *c, struct gw_job *j)
{
    struct gw_job **at;

    pthread_mutex_lock(&c->queue);
    at = find(c, j->id);
    *at = j->next;
    pthread_mutex_unlock(&c->queue);
}

int gw_jobs_start(struct gw_control *c, const char *id, const struct gw_job_kind *kind, void *take_opaque, struct gw_error *err)
{
    struct gw_job *j = calloc(1, sizeof *j);
    int r = j ? check_id(id, err) : gw_nomem(err, "job");

    if (r == 0) {
        *j = (struct gw_job){.control = c, .kind = kind, .opaque = take_opaque};
        gw_strcopy(j->id, sizeof j->id, id);
        r = append(c, j, err);
    }
    if (r < 0) {
        kind->free(take_opaque);
        free(j);
        return r;
    }
    enter(j, CREATED);
    enter(j, RUNNING);
    r = gw_thread_start(&j->thread, job_main, j, err);
    if (r >= 0)
        return 0;
    enter(j, GONE);
    detach(c, j);
    destroy(j);
    return r;
}

const struct gw_job_kind *gw_jobs_running(struct gw_control *c)
{
    const struct gw_job_kind *kind = NULL;

    pthread_mutex_lock(&c->queue);
    for (const struct gw_job *j = c->jobs; j && !kind; j = j->next)
        kind = j->status == CONCLUDED ? NULL : j->kind;
    pthread_mutex_unlock(&c->queue);
    return kind;
}

void gw_jobs_free(struct gw_control *c)
{
    while (c->jobs) {
        struct gw_job *j = c->jobs;

        pthread_join(j->thread, NULL);
        detach(c, j);
        destroy(j);
    }
}

/* ---- commands ----------------------------------------------------------------------------------------------------- */

/* 0 of 1, or 1 of 1; while a snapshot is saved, bytes of memory. Under control.queue. */
static bool put_progress(json_t *o, const struct gw_job *j, const struct gw_stats *saving)
{
    uint64_t current = j->status > RUNNING, total = 1;

    if (saving && saving->total_bytes && j->status == RUNNING && j->kind->saves) {
        total = saving->total_bytes;
        current = total - GW_MIN(saving->remaining_bytes, total);
    }
    return gw_json_put_int(o, "current-progress", current) || gw_json_put_int(o, "total-progress", total);
}

int gw_cmd_query_jobs(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    struct gw_stats saving;
    bool saves = gw_vm_snapshot_stats(c->vm, &saving) >= 0;
    json_t *list = json_array();
    bool bad = !list;

    pthread_mutex_lock(&c->queue);
    for (const struct gw_job *j = c->jobs; j; j = j->next) {
        json_t *o = json_object();

        bad |= put_progress(o, j, saves ? &saving : NULL);
        bad |= gw_json_put_text(o, "status", status_name(j->status));
        bad |= gw_json_put_text(o, "type", j->kind->type);
        bad |= gw_json_put_text(o, "id", j->id);
        if (j->error.code && json_object_set_new(o, "error", json_string(j->error.text)))
            bad |= gw_json_put_text(o, "error", strerror(-j->error.code)); /* its text was cut within a character */
        bad |= json_array_append_new(list, o) != 0;
    }
    pthread_mutex_unlock(&c->queue);
    return gw_json_finish(list, bad, ret_result, err);
}

/* A job in this state. verb: for the message. */
static int look_up(struct gw_control *c, json_t *args, const char *verb, enum status wanted, struct gw_job **ret, struct gw_error *err)
{
    const char *id = json_string_value(json_object_get(args, "id"));
    enum status status = GONE;

    pthread_mutex_lock(&c->queue);
    *ret = *find(c, id);
    if (*ret)
        status = (*ret)->status;
    pthread_mutex_unlock(&c->queue);
    if (!*ret)
        return gw_fail(err, -ENOENT, GW_BLAME_CALLER, "there is no job '%.100s'", id);
    return status == wanted ? 0
                            : gw_fail(err, -EBUSY, GW_BLAME_CALLER, "job '%s' cannot be %s: it is %s", (*ret)->id, verb, status_name(status));
}

int gw_cmd_job_dismiss(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    struct gw_job *j;
    int r = look_up(c, args, "dismissed", CONCLUDED, &j, err);

    if (r < 0)
        return r;
    pthread_join(j->thread, NULL);
    enter(j, GONE);
    detach(c, j);
    destroy(j);
    return 0;
}

int gw_cmd_job_cancel(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    struct gw_job *j;

    return look_up(c, args, "cancelled", GONE, &j, err);
}
