/* SPDX-License-Identifier: MIT */
#include "mirrors.h"
#include "mirrors_match.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shown.h"

#define NS_PER_MS    1000000ull
#define POLL_NS      (20 * NS_PER_MS)
#define UNDO_NS      (30000 * NS_PER_MS)
#define DELETE_TRIES 50u
#define SLOW_TIMES   3

/* Each object is marked as existing before it is created: an interrupted command may have been carried out. */
struct mirror {
    struct gw_disk_pair pair;
    char id[48]; /* ID of the job, the node and the export */
    bool has_export, has_node, has_job;
    bool ready, concluded, blocking;
    double length, done; /* as reported by the job */
    uint64_t speed;
};

struct gw_mirrors {
    struct gw_mirrors_config config;
    struct gw_uri nbd;
    bool has_server;
    size_t count;
    struct mirror mirrors[];
};

/* ---- commands ---------------------------------------------------------------------------------------------------- */

/* Creates an object; from then on *has says whether it may exist. */
static int create(struct gw_qmp *qmp, bool *has, const char *command, json_t *take_args, struct gw_error *err)
{
    int r;

    *has = true;
    r = gw_qmp_execute(qmp, command, take_args, NULL, err);
    if (r == -EREMOTEIO || r == -ENOSYS)
        *has = false;
    if (r < 0)
        gw_context(err, "%s", command);
    return r;
}

static int about(const struct mirror *m, int r, struct gw_error *err)
{
    if (r < 0 && r != -EINTR)
        gw_context(err, "disk %s", gw_shown(m->pair.name));
    return r;
}

/* The server's address in QMP's two forms: for the server itself and for its client. */
static json_t *address(const struct gw_uri *nbd, bool server)
{
    bool tcp = nbd->kind == GW_URI_TCP;
    json_t *data = tcp ? json_pack("{ssss}", "host", nbd->host, "port", nbd->service) : json_pack("{ss}", "path", nbd->path);

    if (server)
        return json_pack("{ssso}", "type", tcp ? "inet" : "unix", "data", data);
    json_object_set_new(data, "type", json_string(tcp ? "inet" : "unix"));
    return data;
}

/* ---- the beginning ----------------------------------------------------------------------------------------------- */

static int serve(struct gw_mirrors *m, struct gw_error *err)
{
    int r = create(m->config.destination, &m->has_server, "nbd-server-start", json_pack("{so}", "addr", address(&m->nbd, true)), err);

    if (r == -ENOSYS)
        gw_context(err, "the destination cannot serve its disks");
    else if (r < 0)
        gw_context(err, "destination");
    for (size_t i = 0; i < m->count && r == 0; i++) {
        struct mirror *one = &m->mirrors[i];

        r = about(one, create(m->config.destination, &one->has_export, "block-export-add",
                              json_pack("{sssssssssb}", "type", "nbd", "id", one->id, "node-name", one->pair.there, "name", one->id,
                                        "writable", 1), err), err);
    }
    return r;
}

static int begin(struct gw_mirrors *m, struct mirror *one, struct gw_error *err)
{
    int r = create(m->config.source, &one->has_node, "blockdev-add",
                   json_pack("{sssssoss}", "driver", "nbd", "node-name", one->id, "server", address(&m->nbd, false), "export", one->id), err);

    if (r == 0)
        r = create(m->config.source, &one->has_job, "blockdev-mirror",
                   json_pack("{sssssssssb}", "job-id", one->id, "device", one->pair.here, "target", one->id, "sync",
                             m->config.top ? "top" : "full", "auto-dismiss", 0), err);
    return about(one, r, err);
}

int gw_mirrors_new(const struct gw_mirrors_config *config, struct gw_mirrors **ret_mirrors, struct gw_error *err)
{
    struct gw_disk_pair *pairs = NULL;
    struct gw_mirrors *m;
    size_t count = 0;
    int r = gw_disk_pairs(config->source, config->destination, &pairs, &count, err);

    if (r < 0)
        return r;
    m = calloc(1, sizeof *m + count * sizeof m->mirrors[0]);
    if (!m) {
        free(pairs);
        return gw_fail(err, -ENOMEM, GW_BLAME_LOCAL, "out of memory (%zu disks)", count);
    }
    m->config = *config;
    m->nbd = *config->nbd;
    m->count = count;
    for (size_t i = 0; i < count; i++) {
        m->mirrors[i].pair = pairs[i];
        snprintf(m->mirrors[i].id, sizeof m->mirrors[i].id, "godwit-%ld-%zu", (long)getpid(), i);
    }
    free(pairs);
    *ret_mirrors = m;
    r = count ? serve(m, err) : 0;
    for (size_t i = 0; i < count && r == 0; i++)
        r = begin(m, &m->mirrors[i], err);
    return r;
}

/* ---- looking ----------------------------------------------------------------------------------------------------- */

static const json_t *find(const json_t *list, const char *key, const char *id)
{
    const json_t *item;
    size_t i;

    json_array_foreach(list, i, item)
    {
        const char *name = json_string_value(json_object_get(item, key));

        if (name && !strcmp(name, id))
            return item;
    }
    return NULL;
}

/* A job that has ended stays until it is dismissed, so that its error can be read. */
static int take_status(struct mirror *one, const json_t *job, bool may_end, struct gw_error *err)
{
    const char *status = json_string_value(json_object_get(job, "status")), *why = json_string_value(json_object_get(job, "error"));

    one->concluded = !job || (status && !strcmp(status, "concluded"));
    if (!job)
        one->has_job = false;
    if (!job || why)
        return gw_fail(err, -EREMOTEIO, GW_BLAME_PEER, "disk %s: copying it has ended: %s", gw_shown(one->pair.name),
                       why ? gw_shown(why) : "another client removed its job");
    if (one->concluded && !may_end)
        return gw_fail(err, -EREMOTEIO, GW_BLAME_PEER, "disk %s: copying it has ended: another client ended its "
                                                       "job", gw_shown(one->pair.name));
    return 0;
}

static void take_progress(struct mirror *one, const json_t *job)
{
    if (!job)
        return;
    one->ready = json_is_true(json_object_get(job, "ready"));
    one->length = json_number_value(json_object_get(job, "len"));
    one->done = json_number_value(json_object_get(job, "offset"));
}

/* may_end: the caller expects the jobs to end. */
static int look(struct gw_mirrors *m, bool may_end, struct gw_error *err)
{
    json_t *jobs = NULL, *progress = NULL;
    int r = gw_qmp_execute(m->config.source, "query-jobs", NULL, &jobs, err);

    if (r == 0)
        r = gw_qmp_execute(m->config.source, "query-block-jobs", NULL, &progress, err);
    for (size_t i = 0; i < m->count && r == 0; i++) {
        struct mirror *one = &m->mirrors[i];

        if (!one->has_job)
            continue;
        r = take_status(one, find(jobs, "id", one->id), may_end, err);
        if (r == 0)
            take_progress(one, find(progress, "device", one->id));
    }
    json_decref(jobs);
    json_decref(progress);
    return r;
}

static int set_speed(struct gw_mirrors *m, struct mirror *one, uint64_t speed, struct gw_error *err)
{
    int r = 0;

    if (speed != one->speed)
        r = gw_qmp_execute(m->config.source, "block-job-set-speed",
                           json_pack("{sssI}", "device", one->id, "speed", (json_int_t)(speed < INT64_MAX ? speed : INT64_MAX)), NULL, err);
    if (r == 0)
        one->speed = speed;
    return about(one, r, err);
}

/* From here on the guest's writes wait until they are copied, so that the mirror converges and the machine is stopped
 * only briefly. QEMU can change this for a running job since 8.2; older versions continue unchanged. */
static int make_blocking(struct gw_mirrors *m, struct mirror *one, struct gw_error *err)
{
    struct gw_error why = GW_ERROR_INIT;
    int r;

    if (one->blocking || (!one->ready && one->done < (double)one->pair.bytes))
        return 0;
    one->blocking = true;
    r = gw_qmp_execute(m->config.source, "block-job-change",
                       json_pack("{ssssss}", "id", one->id, "type", "mirror", "copy-mode", "write-blocking"), NULL, &why);
    if (r == 0 || r == -ENOSYS || r == -EREMOTEIO)
        return 0;
    *err = why;
    return r;
}

int gw_mirrors_step(struct gw_mirrors *m, uint64_t bandwidth, struct gw_mirrors_figures *ret_figures, struct gw_error *err)
{
    struct gw_mirrors_figures f = {.ready = true};
    size_t busy = 0;
    int r = look(m, false, err);

    if (r == 0 && m->has_server) {
        r = gw_qmp_wait(m->config.destination, NS_PER_MS, err); /* reads its events, and notices if it has ended */
        if (r < 0 && r != -EINTR)
            gw_context(err, "destination");
    }
    for (size_t i = 0; i < m->count && r == 0; i++)
        busy += !m->mirrors[i].ready;
    for (size_t i = 0; i < m->count && r == 0; i++) {
        struct mirror *one = &m->mirrors[i];
        uint64_t share = bandwidth / (busy ? busy : m->count);

        f.ready &= one->ready;
        f.slow |= !one->ready && one->done > SLOW_TIMES * (double)one->pair.bytes;
        f.total_bytes += one->length;
        f.left_bytes += one->length > one->done ? one->length - one->done : 0;
        if (!one->has_job)
            continue;
        r = set_speed(m, one, bandwidth && !share ? 1 : share, err);
        if (r == 0)
            r = make_blocking(m, one, err);
    }
    if (r == 0)
        *ret_figures = f;
    return r;
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

/* Ends the jobs' use of the node. A node may stay in use for a moment after its job. */
static int remove_node(struct gw_mirrors *m, struct mirror *one, struct gw_error *err)
{
    struct gw_error why = GW_ERROR_INIT;
    int r = 0;

    for (unsigned i = 0; one->has_node && i < DELETE_TRIES; i++) {
        if (i)
            gw_qmp_wait(m->config.source, POLL_NS, NULL);
        r = gw_qmp_execute(m->config.source, "blockdev-del", json_pack("{ss}", "node-name", one->id), NULL, &why);
        if (r != -EREMOTEIO)
            break;
    }
    if (r == 0)
        one->has_node = false;
    else if (err)
        *err = why;
    return about(one, r, err);
}

static int dismiss(struct gw_mirrors *m, struct mirror *one, struct gw_error *err)
{
    int r = one->has_job ? gw_qmp_execute(m->config.source, "job-dismiss", json_pack("{ss}", "id", one->id), NULL, err) : 0;

    if (r == 0)
        one->has_job = false;
    return about(one, r, err);
}

/* Ends all connections and exports before it answers. */
static int stop_server(struct gw_mirrors *m, struct gw_error *err)
{
    int r = m->has_server ? gw_qmp_execute(m->config.destination, "nbd-server-stop", NULL, NULL, err) : 0;

    if (r < 0 && r != -EINTR)
        gw_context(err, "destination: nbd-server-stop");
    if (r == 0)
        m->has_server = false;
    for (size_t i = 0; i < m->count && r == 0; i++)
        m->mirrors[i].has_export = false;
    return r;
}

static int await_ready(struct gw_mirrors *m, struct gw_error *err)
{
    bool ready = false;
    int r = 0;

    for (size_t i = 0; i < m->count && r == 0; i++)
        r = set_speed(m, &m->mirrors[i], 0, err); /* no speed limit: the guest is stopped */
    while (r == 0 && !ready) {
        r = look(m, false, err);
        ready = true;
        for (size_t i = 0; i < m->count; i++)
            ready &= m->mirrors[i].ready;
        if (r == 0 && !ready)
            r = gw_qmp_wait(m->config.source, POLL_NS, err);
    }
    return r;
}

/* Cancelling a job that is ready copies the rest and keeps the copy. */
static int complete(struct gw_mirrors *m, struct gw_error *err)
{
    bool over = false;
    int r = 0;

    for (size_t i = 0; i < m->count && r == 0; i++)
        r = about(&m->mirrors[i], gw_qmp_execute(m->config.source, "block-job-cancel", json_pack("{ss}", "device", m->mirrors[i].id),
                                                 NULL, err), err);
    while (r == 0 && !over) {
        r = look(m, true, err);
        over = true;
        for (size_t i = 0; i < m->count; i++)
            over &= m->mirrors[i].concluded;
        if (r == 0 && !over)
            r = gw_qmp_wait(m->config.source, POLL_NS, err);
    }
    return r;
}

int gw_mirrors_hand_over(struct gw_mirrors *m, struct gw_error *err)
{
    int r = await_ready(m, err);

    if (r == 0)
        r = complete(m, err);
    for (size_t i = 0; i < m->count && r == 0; i++)
        r = dismiss(m, &m->mirrors[i], err);
    for (size_t i = 0; i < m->count && r == 0; i++)
        r = remove_node(m, &m->mirrors[i], err);
    return r == 0 ? stop_server(m, err) : r;
}

/* ---- undoing ----------------------------------------------------------------------------------------------------- */

/* Ends the remaining jobs. -EAGAIN: some have not ended yet. */
static int end_jobs(struct gw_mirrors *m, struct gw_error *err)
{
    json_t *jobs = NULL;
    int r = gw_qmp_execute(m->config.source, "query-jobs", NULL, &jobs, err), left = 0;

    for (size_t i = 0; i < m->count && r == 0; i++) {
        struct mirror *one = &m->mirrors[i];

        if (one->has_job && take_status(one, find(jobs, "id", one->id), true, NULL) < 0 && !one->has_job)
            continue;
        if (one->has_job && one->concluded)
            dismiss(m, one, NULL);
        if (one->has_job && left++ == 0)
            gw_fail(err, -EAGAIN, GW_BLAME_PEER, "disk %s: its job %s does not end", gw_shown(one->pair.name), one->id);
    }
    json_decref(jobs);
    return r < 0 ? r : left ? -EAGAIN : 0;
}

/* Closes the connection first (yank). If the destination does not answer, a write to it may never end, nor the job, and
 * the source's monitor would wait for both. The copy is not needed any more. QEMU has yank since 6.0. */
static void give_up(struct gw_mirrors *m, struct mirror *one)
{
    if (!one->has_node)
        return;
    gw_qmp_execute_urgent(m->config.source, "yank",
                          json_pack("{s[{ssss}]}", "instances", "type", "block-node", "node-name", one->id), NULL);
}

static int undo_source(struct gw_mirrors *m, struct gw_error *err)
{
    uint64_t start_ns = gw_now_ns(&gw_clock_real);
    int r;

    for (size_t i = 0; i < m->count; i++)
        give_up(m, &m->mirrors[i]);
    for (size_t i = 0; i < m->count; i++)
        if (m->mirrors[i].has_job)
            gw_qmp_execute(m->config.source, "block-job-cancel", json_pack("{sssb}", "device", m->mirrors[i].id, "force", 1), NULL, NULL);
    while ((r = end_jobs(m, err)) == -EAGAIN || r == -EINTR) {
        if (gw_now_ns(&gw_clock_real) - start_ns > UNDO_NS)
            break;
        gw_qmp_wait(m->config.source, POLL_NS, NULL);
    }
    for (size_t i = 0; i < m->count && r == 0; i++)
        r = remove_node(m, &m->mirrors[i], err);
    return r;
}

struct gw_mirrors *gw_mirrors_free(struct gw_mirrors *m, struct gw_error *err)
{
    struct gw_error why = GW_ERROR_INIT;
    bool there = false;
    int r;

    if (!m)
        return NULL;
    for (size_t i = 0; i < m->count; i++)
        there |= m->mirrors[i].has_job || m->mirrors[i].has_node;
    r = there ? undo_source(m, &why) : 0;
    if (r < 0 && r != -ECONNRESET && err)
        *err = why;
    r = stop_server(m, &why);
    if (r < 0 && r != -ECONNRESET && err && !err->code)
        *err = why;
    free(m);
    return NULL;
}
