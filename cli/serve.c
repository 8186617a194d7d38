/* SPDX-License-Identifier: MIT
 *
 * godwit serve: sends one parked machine to any number of destinations at once.
 */
#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confine.h"
#include "examine.h"
#include "options.h"
#include "served_list.h"
#include "shown.h"

#define CACHE_USUAL (256ll << 20)

struct serve {
    struct gw_transfer transfer;
    struct gw_working working;
    struct gw_confine confine;
    const char *file, *snapshot, *peer, *listen;
    bool force, paused, running, resume;
    int64_t cache_bytes;
    struct gw_image *image;
    struct gw_shared *shared;
    struct gw_control *control;
    bool confined;

    pthread_mutex_t lock;
    struct gw_served_list served; /* under lock */
};

static enum gw_cli_taken take_cache(void *opaque, char *value)
{
    int64_t *bytes = opaque;

    return gw_option_size(value, bytes) && *bytes > 0 ? GW_CLI_TAKEN : GW_CLI_WRONG;
}

/* ---- the control socket ------------------------------------------------------------------------------------------ */

static int cmd_start(void *opaque, const char *arguments, char **ret_json, struct gw_error *err)
{
    struct serve *sv = opaque;
    json_t *args = json_loads(arguments ? arguments : "{}", 0, NULL), *resume = json_object_get(args, "resume");
    const char *uri = json_string_value(json_object_get(args, "uri"));
    unsigned id = 0;
    int r;

    if (!uri || (resume && !json_is_boolean(resume)) || json_object_size(args) != (resume ? 2u : 1u)) {
        json_decref(args);
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "the arguments are uri, a text, and resume, true or false");
    }
    if (!sv->confine.off && !strncmp(uri, "exec:", 5)) {
        json_decref(args);
        return gw_fail(err, -EPERM, GW_BLAME_CALLER,
                       "this serve starts no commands from here: --sandbox off lets it; or it is given exec: when it starts");
    }
    pthread_mutex_lock(&sv->lock);
    r = gw_served_add(&sv->served, uri, json_is_true(resume), &id, err);
    pthread_mutex_unlock(&sv->lock);
    json_decref(args);
    if (r >= 0 && asprintf(ret_json, "{\"id\": %u}", id) < 0)
        *ret_json = NULL;
    gw_transfer_wake(&sv->transfer);
    return r;
}

static json_t *describe_cache(struct serve *sv)
{
    struct gw_shared_counts n;

    gw_shared_get_counts(sv->shared, &n);
    return json_pack("{s:I, s:I, s:I, s:I}", "read-pages", (json_int_t)n.read_pages, "given-pages", (json_int_t)n.given_pages,
                     "dropped-chunks", (json_int_t)n.dropped_chunks, "kept-bytes", (json_int_t)n.kept_bytes);
}

static int cmd_destinations(void *opaque, const char *arguments, char **ret_json, struct gw_error *err)
{
    struct serve *sv = opaque;
    json_t *list, *all;

    pthread_mutex_lock(&sv->lock);
    list = gw_served_describe_all(&sv->served);
    pthread_mutex_unlock(&sv->lock);
    all = json_pack("{s:s, s:o, s:o}", "file", sv->file, "destinations", list, "cache", describe_cache(sv));
    *ret_json = all ? json_dumps(all, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    json_decref(all);
    return *ret_json ? 0 : gw_fail(err, -ENOMEM, GW_BLAME_LOCAL, "out of memory (destinations)");
}

static void cmd_quit(void *opaque)
{
    struct serve *sv = opaque;

    pthread_mutex_lock(&sv->lock);
    sv->served.no_more = true;
    pthread_mutex_unlock(&sv->lock);
    gw_transfer_wake(&sv->transfer);
}

static const char *run_state(void *opaque)
{
    return "paused";
}

/* A client that can connect from another host could copy the guest. */
static int check_listen(const struct serve *sv, struct gw_error *err)
{
    struct gw_uri uri;

    if (sv->listen && gw_uri_parse(sv->listen, &uri, NULL) >= 0 && uri.kind == GW_URI_TCP && !gw_option_is_local(uri.host))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                       "clients on other hosts could start guests, read them, and with --sandbox off run commands (exec:); "
                       "use unix:PATH or tcp:127.0.0.1:PORT, from elsewhere through ssh");
    return 0;
}

static int listen_there(struct serve *sv, struct gw_vm *vm, struct gw_error *err)
{
    static const struct gw_control_ops ops = {GW_SIZED(struct gw_control_ops), .run_state = run_state, .quit = cmd_quit};
    const struct gw_control_config config = {.uri = sv->listen, .ops = &ops, .opaque = sv, .name = sv->file};
    char address[4200];
    unsigned id;
    int r = gw_vm_add_blocker(vm, "it is served: `godwit ctl SOCKET start URI` starts it at a destination", &id, err);

    if (r >= 0)
        r = gw_control_start(vm, &config, &sv->control, err);
    if (r >= 0)
        r = gw_control_add_command(sv->control, "x-godwit-start", cmd_start, sv, err);
    if (r >= 0)
        r = gw_control_add_command(sv->control, "x-godwit-destinations", cmd_destinations, sv, err);
    if (r < 0)
        return r;
    gw_control_address(sv->control, address, sizeof address);
    gw_transfer_tell(&sv->transfer, "control", "uri", address);
    return 0;
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static int open_file(struct serve *sv, struct gw_vm **ret_vm, struct gw_error *err)
{
    char sent[1024];
    int r = gw_cli_open(sv->file, sv->snapshot, &sv->image, err);

    if (r < 0)
        return r;
    if (!sv->force && !sv->resume && gw_image_sent(sv->image, sent, sizeof sent))
        r = gw_fail(err, -EALREADY, GW_BLAME_CALLER,
                    "this machine was %s: if it runs there, copies would use the same disks; --force starts them anyway", sent);
    if (r >= 0 && (sv->paused || sv->running || gw_image_runs(sv->image)))
        r = gw_image_set_runs(sv->image, !sv->paused, err);
    if (r >= 0)
        r = gw_image_vm(sv->image, NULL, NULL, ret_vm, err);
    if (r >= 0)
        r = gw_shared_new(sv->image, (uint64_t)sv->cache_bytes, &sv->shared, err);
    if (r < 0)
        gw_context(err, "%s", sv->file);
    return r;
}

/* Confines the process once all given destinations are connected. Later ones are connected to as the user. */
static int confine(struct serve *sv, bool connected, bool programs, struct gw_error *err)
{
    int r;

    if (sv->confined || !connected)
        return 0;
    sv->confined = true;
    sv->confine.connects = sv->listen || gw_path_is_far(sv->file);
    r = gw_confine_drop(&sv->confine, err);
    return r < 0 ? r : gw_confine(&sv->confine, programs ? GW_CONFINE_EXEC : GW_CONFINE_ALL, err);
}

static void on_interrupt(struct serve *sv, unsigned busy)
{
    bool now = sv->transfer.interrupts > 1;

    sv->served.no_more = true;
    gw_served_stop_all(&sv->served, now);
    if (busy && !now)
        gw_transfer_tell(&sv->transfer, "notice", "text", "guests that run elsewhere need the rest of their memory "
                                                          "from here: interrupt again to end anyway");
}

static int run_all(struct serve *sv, bool programs, struct gw_error *err)
{
    struct gw_stats sums;
    bool connected, signalled, over = false;
    unsigned busy;
    int r = 0;

    while (!over) {
        pthread_mutex_lock(&sv->lock);
        busy = gw_served_look_all(&sv->served, &sums, &connected);
        over = !busy && (!sv->listen || sv->served.no_more);
        sv->served.no_more |= over;
        pthread_mutex_unlock(&sv->lock);
        if (r >= 0 && (r = confine(sv, connected, programs, err)) < 0) {
            gw_transfer_failed(&sv->transfer, NULL, err);
            sv->transfer.interrupts = 2;
        }
        signalled = !over && (r < 0 || gw_transfer_turn(&sv->transfer, &sums));
        pthread_mutex_lock(&sv->lock);
        if (signalled)
            on_interrupt(sv, busy);
        pthread_mutex_unlock(&sv->lock);
    }
    return r;
}

static void report(struct serve *sv)
{
    struct gw_shared_counts n;
    json_t *all;

    gw_transfer_clear(&sv->transfer);
    gw_shared_get_counts(sv->shared, &n);
    if (sv->transfer.json) {
        all = json_pack("{s:s, s:s, s:s, s:I, s:I, s:o}", "event", "served", "file", sv->file, "machine", gw_image_machine(sv->image),
                        "done", (json_int_t)sv->served.started, "failed", (json_int_t)sv->served.failed, "cache", describe_cache(sv));
        gw_transfer_result(all);
    } else if (!sv->transfer.quiet) {
        printf("%s: %u done, %u failed; %llu pages were read for %llu that were sent\n", gw_shown(sv->file),
               sv->served.started, sv->served.failed, (unsigned long long)n.read_pages, (unsigned long long)n.given_pages);
    }
    fflush(stdout);
}

/* Root opens FILE, and connects or listens; everything else is done as the user. */
static int begin(struct serve *sv, struct gw_vm **ret_vm, struct gw_error *err)
{
    int r = open_file(sv, ret_vm, err);

    if (r >= 0)
        r = gw_confine_borrow(&sv->confine, err);
    if (r >= 0 && sv->working.record)
        r = gw_confine_check_name(&sv->confine, sv->working.record, err);
    if (r >= 0) /* before the capabilities that need it */
        r = gw_options_set_bool(gw_vm_options(*ret_vm), "postcopy-ram", true, err);
    if (r >= 0)
        r = gw_transfer_begin(&sv->transfer, *ret_vm, err);
    return r < 0 ? r : gw_working_check(&sv->working, *ret_vm, sv->force, err);
}

/* Nothing is started as root: neither a given command nor a client of the control socket. */
static int open_doors(struct serve *sv, struct gw_vm *vm, bool programs, struct gw_error *err)
{
    int r;

    pthread_mutex_lock(&sv->lock);
    r = programs && !sv->listen ? 0 : gw_confine_root(&sv->confine, err);
    if (r >= 0 && sv->listen && (r = listen_there(sv, vm, err)) < 0)
        gw_context(err, "%s", sv->listen);
    if (r >= 0 && (sv->listen || programs))
        r = gw_confine_drop(&sv->confine, err);
    pthread_mutex_unlock(&sv->lock);
    return r;
}

static int finish_record(struct serve *sv)
{
    struct gw_error err = GW_ERROR_INIT;

    if (gw_working_finish(&sv->working, sv->force, &err) < 0) {
        gw_transfer_failed(&sv->transfer, sv->working.record, &err);
        return GW_EXIT_FAILED;
    }
    if (sv->working.record && !(sv->working.recorded && gw_working_set_pages(sv->working.recorded)))
        gw_transfer_tell(&sv->transfer, "notice", "text", "no guest has asked for a page, so no record was written");
    return GW_EXIT_DONE;
}

static int run(struct serve *sv, char **uris, int count, struct gw_error *err)
{
    struct gw_vm *vm = NULL;
    bool programs = false;
    unsigned id;
    int r = check_listen(sv, err), status;

    if (r < 0)
        return gw_transfer_failed(&sv->transfer, sv->listen, err);
    for (int i = 0; i < count; i++)
        programs |= !strncmp(uris[i], "exec:", 5);
    r = begin(sv, &vm, err);
    sv->served.by = (struct gw_served_by){&sv->transfer, &sv->working, sv->shared, sv->peer};
    if (r >= 0)
        r = open_doors(sv, vm, programs, err);
    if (r < 0)
        return gw_transfer_failed(&sv->transfer, NULL, err);
    for (int i = 0; i < count; i++) {
        pthread_mutex_lock(&sv->lock);
        r = gw_served_add(&sv->served, uris[i], sv->resume, &id, err);
        sv->served.failed += r < 0; /* the other destinations continue */
        pthread_mutex_unlock(&sv->lock);
        if (r < 0)
            gw_transfer_failed(&sv->transfer, uris[i], err);
        *err = (struct gw_error)GW_ERROR_INIT;
    }
    r = run_all(sv, programs, err);
    status = finish_record(sv);
    report(sv);
    return r < 0 || sv->served.failed || status != GW_EXIT_DONE ? GW_EXIT_FAILED : GW_EXIT_DONE;
}

static void clean(struct serve *sv)
{
    sv->control = gw_control_free(sv->control);
    gw_served_free_all(&sv->served);
    gw_shared_free(sv->shared);
    gw_image_free(sv->image);
    gw_working_free(&sv->working);
    gw_transfer_end(&sv->transfer);
    pthread_mutex_destroy(&sv->lock);
}

int gw_cmd_serve(int argc, char **argv)
{
    struct serve sv = {.transfer = {.command = "serve", .source = true, .wake = -1, .signals = -1},
                       .working = {.command = "serve"},
                       .confine = {.command = "serve"},
                       .cache_bytes = CACHE_USUAL,
                       .lock = PTHREAD_MUTEX_INITIALIZER};
    struct gw_cli_option shared[GW_TRANSFER_OPTIONS];
    struct gw_error err = GW_ERROR_INIT;
    const struct gw_cli_option options[] = {
        {"listen", .text = &sv.listen, .value = "SOCKET",
         .help = "unix:PATH or tcp:HOST:PORT: wait there for `godwit ctl SOCKET start URI`, until `godwit ctl SOCKET qmp quit`, "
                 "or an interrupt."},
        {"resume", .flag = &sv.resume, .help = "The guests at these URIs were started before, and lost their connection."},
        {"cache", .take = take_cache, .opaque = &sv.cache_bytes, .value = "SIZE",
         .help = "The size of the page cache for all destinations (default: 256M)."},
        {"running", .flag = &sv.running, .help = "The guests start by themselves (default: as FILE was parked)."},
        {"paused", .flag = &sv.paused, .help = "The guests wait for `cont`."},
        {"force", 'f', .flag = &sv.force, .help = "FILE was sent before with `godwit send`, and may run where it went. RECORD may be there: it is replaced."},
        {"peer", .text = &sv.peer, .value = "VERSION", .choices = "7.2 8.1 9.0 10.0 godwit",
         .help = "The destination's version (default: it is detected)."},
        GW_CLI_SNAPSHOT_OPTION(&sv.snapshot, "FILE"),
        GW_WORKING_OPTION(&sv.working),
        {"record", .text = &sv.working.record, .value = "RECORD",
         .help = "Write down which pages the guests ask for, all of them together, for --working-set."},
        GW_CONFINE_USER_OPTION(&sv.confine),
        GW_CONFINE_OPTION(&sv.confine),
        {.also = shared},
        {0}};
    const struct gw_cli_command command = {
        .usage = "FILE URI... [OPTION]...\nFILE [URI]... --listen SOCKET [OPTION]...",
        .about = "Starts the machine in FILE at each URI at once, as `godwit send --postcopy` does at one, with one "
                 "cache of its pages. The destinations wait with the capability postcopy-ram. FILE is read only: it "
                 "is neither marked "
                 "as sent nor removed, and each start is a copy of the same machine: see godwit-serve(1) for what copies have "
                 "in common.",
        .options = options};
    int status;

    gw_transfer_options(&sv.transfer, shared);
    status = gw_cli_parse(argc, argv, &command);
    if (status < 0)
        status = gw_cli_arguments(argc, argv, "", sv.listen ? "FILE [URI]..." : "FILE URI...");
    if (status < 0 && sv.paused && sv.running)
        status = gw_cli_wrong(argv[0], "--paused cannot be used with --running");
    if (status < 0 && sv.resume && (sv.paused || sv.running))
        status = gw_cli_wrong(argv[0], "--%s cannot be used with --resume: the guests run there already",
                              sv.paused ? "paused" : "running");
    if (status < 0) {
        sv.file = argv[optind];
        status = run(&sv, argv + optind + 1, argc - optind - 1, &err);
    }
    clean(&sv);
    return status;
}
