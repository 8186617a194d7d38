/* SPDX-License-Identifier: MIT
 *
 * ctl snapshot: a snapshot of a running machine, to a file or an address; and internal snapshots of disks.
 *
 * The first uses the capability background-snapshot with `migrate`. This command writes a parked file itself: the
 * machine sends to its socket, and it parks the stream as `godwit receive` does.
 */
#include "ctl.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "progress.h"
#include "shown.h"

#define POLL_NS    20000000ull
#define CAPABILITY "background-snapshot"

/* ---- of a machine that runs on -------------------------------------------------------------------------------------- */

struct snapshot {
    struct gw_ctl *ctl;
    const char *file; /* NULL: to an address */
    char folder[64], uri[96];
    struct gw_image_write_options options;
    struct gw_park *park;
    struct gw_progress_line line; /* progress of packing */
    atomic_bool packing;
    bool packed;
};

/* An address has a colon before any slash. */
static bool is_address(const char *text)
{
    size_t n = strcspn(text, ":/");

    return n && text[n] == ':';
}

/* Called on the main thread while the file is packed. */
static bool progress(void *opaque, uint64_t done_bytes, uint64_t total_bytes)
{
    struct snapshot *n = opaque;
    const struct gw_progress_at at = {.phase = "packing",
                                      .sent = (double)done_bytes,
                                      .total = (double)total_bytes,
                                      .left = done_bytes < total_bytes ? (double)(total_bytes - done_bytes) : 0};

    if (!atomic_load(&n->packing))
        return false;
    gw_progress_show(&n->line, &at);
    return gw_ctl_interrupted(n->ctl);
}

/* Listens for the machine on a socket in a private folder. */
static int listen_for(struct snapshot *n, struct gw_error *err)
{
    struct gw_park_config config = {.path = n->file, .write = &n->options, .write_bytes = sizeof n->options};
    const char *tmp = getenv("TMPDIR");
    struct gw_output *probe = NULL;
    int r;

    n->options = (struct gw_image_write_options){
        .format = GW_IMAGE_PARKED, .replace = n->ctl->force, .progress = progress, .opaque = n};
    /* The path of a Unix socket must be short. */
    snprintf(n->folder, sizeof n->folder, "%s/godwit-XXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/tmp");
    r = gw_output_new(n->file, n->ctl->force, &probe, err);
    gw_output_free(probe);
    if (r < 0) {
        n->folder[0] = 0;
        return r;
    }
    if (!mkdtemp(n->folder)) {
        r = gw_fail(err, -errno, GW_BLAME_LOCAL, "%s: %s", n->folder, strerror(errno));
        n->folder[0] = 0;
        return r;
    }
    snprintf(n->uri, sizeof n->uri, "unix:%s/s", n->folder);
    r = gw_park_new(&config, &n->park, err);
    return r < 0 ? r
                 : gw_park_start(n->park, &(struct gw_recv_config){.uri = n->uri, .progress_timeout_ns = n->ctl->timeout_ns}, err);
}

/* All was sent: writes the file to disk and packs it. */
static int keep(struct snapshot *n, struct gw_error *err)
{
    struct gw_error why = GW_ERROR_INIT;
    struct gw_park_outcome outcome;
    int r = gw_park_wait(n->park, err);

    if (gw_park_outcome(n->park, &outcome, err) < 0)
        return r < 0 ? r : err->code;
    n->packed = true;
    if (!outcome.packs)
        return 0;
    gw_progress_init(&n->line, !n->ctl->quiet && !n->ctl->json);
    atomic_store(&n->packing, true);
    n->packed = gw_park_pack(n->park, &why) >= 0;
    gw_progress_clear(&n->line);
    if (!n->packed)
        fprintf(stderr, "godwit ctl: %s; the snapshot is whole in %s, uncompressed\n",
                why.code == -ECANCELED ? "interrupted while packing" : why.text, gw_shown(n->file));
    return 0;
}

static void print(struct snapshot *n, const char *target, json_t *info, const json_t *status)
{
    double ms = gw_ctl_number(info, "x-godwit.downtime-us") / 1000, left = gw_ctl_number(info, "downtime");
    const char *run = gw_ctl_text(status, "status", "?");
    char a[GW_HUMAN], b[GW_HUMAN];
    struct stat st = {0};

    if (n->file)
        stat(n->file, &st);
    if (n->ctl->json) {
        json_object_set(info, "run-state", json_object_get(status, "status"));
        json_object_set_new(info, "snapshot", json_string(target));
        if (n->file)
            json_object_set_new(info, "file-bytes", json_integer((json_int_t)st.st_blocks * 512));
        gw_ctl_print_json(n->ctl, info);
        return;
    }
    printf("a snapshot of the machine is in %s", gw_shown(target));
    if (n->file)
        printf(" (%s)", gw_human_bytes(a, (double)st.st_blocks * 512));
    printf("; it was stopped for %s and is now %s\n", gw_human_ms(b, ms > 0 ? ms : left), run);
}

/* Returns an exit status. */
static int conclude(struct snapshot *n, const char *target, json_t *info)
{
    const char *state = gw_ctl_text(info, "status", "none"), *why = gw_ctl_text(info, "error-desc", NULL);
    struct gw_error err = GW_ERROR_INIT;
    json_t *status = NULL;
    int r = gw_ctl_final_status(n->ctl, &status);

    if (r == GW_EXIT_DONE && strcmp(state, "completed")) {
        fprintf(stderr, "godwit ctl: snapshot: %s%s%s; the machine is %s\n", state, why && strcmp(why, state) ? ": " : "",
                why && strcmp(why, state) ? why : "", gw_ctl_text(status, "status", "?"));
        r = GW_EXIT_FAILED;
    } else if (r == GW_EXIT_DONE && n->park && keep(n, &err) < 0) {
        r = gw_ctl_failed(n->file, &err);
    } else if (r == GW_EXIT_DONE) {
        print(n, target, info, status);
    }
    json_decref(status);
    return r;
}

static int background(struct gw_ctl *ctl, const char *target)
{
    struct snapshot n = {.ctl = ctl, .file = is_address(target) ? NULL : target};
    struct gw_error err = GW_ERROR_INIT;
    json_t *info = NULL;
    bool on = false;
    int r, e;

    if (ctl->detach || ctl->resume)
        return gw_ctl_usage("snapshot: there is no --%s", ctl->detach ? "detach" : "resume");
    r = gw_ctl_capability(ctl, CAPABILITY, &on);
    if (r == GW_EXIT_DONE && n.file && listen_for(&n, &err) < 0) {
        fprintf(stderr, "godwit ctl: snapshot: %s%s\n", err.text, err.code == -EEXIST ? "; --force replaces it" : "");
        r = GW_EXIT_FAILED;
    }
    if (r == GW_EXIT_DONE)
        r = gw_ctl_turn(ctl, CAPABILITY, true);
    if (r == GW_EXIT_DONE) {
        r = gw_ctl_set_capabilities(ctl, ctl->capabilities, ctl->capability_count);
        if (r == GW_EXIT_DONE)
            r = gw_ctl_set_parameters(ctl, ctl->parameters, ctl->parameter_count);
        if (r == GW_EXIT_DONE)
            r = gw_ctl_transfer(ctl, n.file ? n.uri : target, &info);
        if (r == GW_EXIT_DONE)
            r = conclude(&n, target, info);
        /* The next migration must not be a snapshot. */
        e = on ? GW_EXIT_DONE : gw_ctl_turn(ctl, CAPABILITY, false);
        r = r == GW_EXIT_DONE ? e : r;
    }
    json_decref(info);
    gw_park_free(n.park);
    if (n.folder[0]) {
        unlink(n.uri + strlen("unix:"));
        rmdir(n.folder);
    }
    return r;
}

/* ---- inside of disks ------------------------------------------------------------------------------------------------ */

/* Jobs of the server: waits for ours and dismisses it. */
static int wait_job(struct gw_ctl *ctl, const char *id, const char *command)
{
    struct gw_error err = GW_ERROR_INIT;

    for (;;) {
        json_t *jobs = NULL, *job;
        bool found = false, over = false;
        size_t i;
        int r = gw_ctl_run(ctl, "query-jobs", NULL, &jobs);

        if (r != GW_EXIT_DONE)
            return r;
        json_array_foreach(jobs, i, job)
        {
            if (strcmp(gw_ctl_text(job, "id", ""), id))
                continue;
            found = true;
            over = !strcmp(gw_ctl_text(job, "status", ""), "concluded");
            if (over && gw_ctl_text(job, "error", NULL))
                gw_fail(&err, -EREMOTEIO, GW_BLAME_PEER, "%s", gw_ctl_text(job, "error", ""));
        }
        json_decref(jobs);
        if (over)
            r = gw_ctl_run(ctl, "job-dismiss", json_pack("{ss}", "id", id), NULL);
        if (over || !found)
            return err.code ? gw_ctl_failed(command, &err) : r;
        gw_qmp_wait(ctl->qmp, POLL_NS, NULL);
        if (ctl->interrupts) {
            fprintf(stderr, "godwit ctl: %s: no longer waiting: job %s continues\n", command, id);
            return GW_EXIT_FAILED;
        }
    }
}

/* Internal snapshots in the machine's disks. */
static int internal(struct gw_ctl *ctl, int argc, char **argv)
{
    bool delete = !strcmp(argv[0], "delete");
    int first = delete ? 2 : 3;
    char command[32], id[48];
    json_t *args, *devices;
    int r;

    if (!delete && strcmp(argv[0], "save") && strcmp(argv[0], "load"))
        return gw_ctl_usage("snapshot: save, load or delete, not '%s'", argv[0]);
    snprintf(command, sizeof command, "snapshot-%s", argv[0]);
    snprintf(id, sizeof id, "godwit-%ld", (long)getpid());
    devices = json_array();
    for (int i = first; i < argc; i++)
        json_array_append_new(devices, json_string(argv[i]));
    args = json_pack("{sssssosn}", "job-id", id, "tag", argv[1], "devices", devices, "vmstate");
    if (delete)
        json_object_del(args, "vmstate");
    else
        json_object_set_new(args, "vmstate", json_string(argv[2]));
    r = gw_ctl_run(ctl, command, args, NULL);
    return r == GW_EXIT_DONE ? wait_job(ctl, id, command) : r;
}

int gw_ctl_snapshot(struct gw_ctl *ctl, int argc, char **argv)
{
    return argc == 1 ? background(ctl, argv[0]) : internal(ctl, argc, argv);
}
