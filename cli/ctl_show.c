/* SPDX-License-Identifier: MIT
 *
 * The output of ctl: status, the report of a migration, capabilities and parameters.
 */
#include "ctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl_progress.h"
#include "large.h"
#include "nearest.h"
#include "options.h"
#include "shown.h"
#include "units.h"

#define POLL_NS   20000000ull
#define SETTLE_NS 5000000000ull

/* ---- reading answers --------------------------------------------------------------------------------------------- */

static const json_t *at(const json_t *o, const char *path)
{
    char key[64];

    while (o && *path) {
        size_t n = strcspn(path, ".");

        snprintf(key, sizeof key, "%.*s", (int)n, path);
        o = json_object_get(o, key);
        path += n + (path[n] == '.');
    }
    return o;
}

double gw_ctl_number(const json_t *info, const char *path)
{
    const json_t *value = at(info, path);
    const char *large = gw_large_text(value);

    return large ? strtod(large, NULL) : json_number_value(value);
}

const char *gw_ctl_text(const json_t *info, const char *path, const char *otherwise)
{
    const char *text = json_string_value(at(info, path));

    return text ? gw_shown(text) : otherwise;
}

/* ---- the report -------------------------------------------------------------------------------------------------- */

static void print_rounds(const json_t *info)
{
    const json_t *rounds = at(info, "x-godwit.round"), *round;
    double first = gw_ctl_number(info, "x-godwit.rounds") - (double)json_array_size(rounds) + 1;
    double page = gw_ctl_number(info, "ram.page-size");
    char bytes[GW_HUMAN], time[GW_HUMAN], rate[GW_HUMAN];
    size_t i;

    if (json_array_size(rounds) == 0)
        return;
    printf("\n  %5s %11s %10s %10s %10s %15s\n", "round", "sent", "pages", "of zeros", "time", "getting dirty");
    json_array_foreach(rounds, i, round)
        printf("  %5.0f %11s %10.0f %10.0f %10s %13s/s%s\n", first + (double)i,
               gw_human_bytes(bytes, gw_ctl_number(round, "bytes")), gw_ctl_number(round, "pages"),
               gw_ctl_number(round, "zero-pages"), gw_human_ms(time, gw_ctl_number(round, "duration-us") / 1000),
               gw_human_bytes(rate, gw_ctl_number(round, "dirty-pages-per-second") * page),
               gw_ctl_number(round, "pages") ? "" : "  waited for the destination");
    printf("\n");
}

/* Prints a migration in progress. */
static void print_progress(const json_t *info)
{
    json_t *progress = gw_ctl_progress_json(info);
    const json_t *eta = json_object_get(progress, "eta-ms"), *percent = json_object_get(progress, "percent");
    char a[GW_HUMAN];

    if (json_is_integer(percent))
        printf("progress    %.0f %%, ETA %s\n", json_number_value(percent),
               json_is_integer(eta) ? gw_human_eta(a, json_number_value(eta) / 1000) : "-");
    json_decref(progress);
}

static void print_times(const json_t *info)
{
    char a[GW_HUMAN], b[GW_HUMAN];
    bool done = json_object_get(info, "downtime");

    if (json_object_get(info, "total-time"))
        printf("time        %s, of it set-up %s\n", gw_human_ms(a, gw_ctl_number(info, "total-time")),
               gw_human_ms(b, gw_ctl_number(info, "setup-time")));
    if (done && gw_ctl_number(info, "x-godwit.downtime-us") > 0)
        printf("downtime    %s\n", gw_human_ms(a, gw_ctl_number(info, "x-godwit.downtime-us") / 1000));
    else if (done)
        printf("downtime    %s\n", gw_human_ms(a, gw_ctl_number(info, "downtime")));
    else if (json_object_get(info, "expected-downtime"))
        printf("downtime    %s expected\n", gw_human_ms(a, gw_ctl_number(info, "expected-downtime")));
    if (at(info, "x-godwit.tended"))
        printf("tended      %s\n", gw_ctl_text(info, "x-godwit.tended", ""));
    if (json_object_get(info, "cpu-throttle-percentage"))
        printf("throttle    %.0f %%\n", gw_ctl_number(info, "cpu-throttle-percentage"));
}

void gw_ctl_report(const json_t *info, const json_t *status)
{
    const char *state = gw_ctl_text(info, "status", NULL), *why = gw_ctl_text(info, "error-desc", NULL);
    const char *owner = gw_ctl_text(info, "x-godwit.owner", NULL);
    char a[GW_HUMAN], b[GW_HUMAN], c[GW_HUMAN];
    const json_t *reason;
    size_t i;

    printf("machine     %s\n", gw_ctl_text(status, "status", "?"));
    printf("migration   %s%s%s\n", state ? state : "none", why ? ": " : "", why ? why : "");
    if (state && owner)
        printf("guest       belongs to the %s\n",
               strcmp(owner, "undecided") ? owner : "source or the destination (this side cannot know)");
    print_progress(info);
    print_times(info);
    if (json_object_get(info, "ram")) {
        printf("memory      %s sent, %s of %s left, %s/s\n", gw_human_bytes(a, gw_ctl_number(info, "ram.transferred")),
               gw_human_bytes(b, gw_ctl_number(info, "ram.remaining")),
               gw_human_bytes(c, gw_ctl_number(info, "ram.total")),
               gw_human_bytes((char[GW_HUMAN]){0}, gw_ctl_number(info, "ram.mbps") * 1e6 / 8));
        printf("pages       %.0f as they are, %.0f of zeros", gw_ctl_number(info, "ram.normal"),
               gw_ctl_number(info, "ram.duplicate"));
        if (at(info, "compression"))
            printf(", %.0f compressed", gw_ctl_number(info, "compression.pages"));
        if (at(info, "xbzrle-cache"))
            printf(", %.0f as differences", gw_ctl_number(info, "xbzrle-cache.pages"));
        if (at(info, "x-godwit.packed-pages"))
            printf(", %.0f of them in compressed packets", gw_ctl_number(info, "x-godwit.packed-pages"));
        printf(", %.0f rounds\n", gw_ctl_number(info, "ram.dirty-sync-count"));
    }
    if (json_object_get(info, "x-godwit-snapshot"))
        printf("snapshot    %.0f %% saved, %s written, %s of %s left\n", gw_ctl_number(info, "x-godwit-snapshot.percent"),
               gw_human_bytes(a, gw_ctl_number(info, "x-godwit-snapshot.transferred")),
               gw_human_bytes(b, gw_ctl_number(info, "x-godwit-snapshot.remaining")),
               gw_human_bytes(c, gw_ctl_number(info, "x-godwit-snapshot.total")));
    if (json_object_get(info, "disk"))
        printf("disks       %s sent, %s of %s left\n", gw_human_bytes(a, gw_ctl_number(info, "disk.transferred")),
               gw_human_bytes(b, gw_ctl_number(info, "disk.remaining")), gw_human_bytes(c, gw_ctl_number(info, "disk.total")));
    json_array_foreach(at(info, "blocked-reasons"), i, reason) printf("blocked by  %s\n", gw_shown(json_string_value(reason)));
    json_array_foreach(at(info, "socket-address"), i, reason)
        printf("listens on  %s%s%s\n", gw_ctl_text(reason, "host", gw_ctl_text(reason, "path", "?")),
               json_object_get(reason, "port") ? ":" : "", gw_ctl_text(reason, "port", ""));
    print_rounds(info);
}

int gw_ctl_status(struct gw_ctl *ctl, int argc, char **argv)
{
    json_t *status = NULL, *info = NULL, *all, *progress = NULL;
    int r = gw_ctl_run(ctl, "query-status", NULL, &status);

    if (r == GW_EXIT_DONE)
        r = gw_ctl_run(ctl, "query-migrate", NULL, &info);
    if (r == GW_EXIT_DONE)
        progress = gw_ctl_progress_json(info);
    if (r == GW_EXIT_DONE && ctl->json) {
        all = json_pack("{sssOsO}", "server", gw_qmp_server(ctl->qmp), "status", status, "migration", info);
        if (progress)
            json_object_set(all, "progress", progress);
        gw_ctl_print_json(ctl, all);
        json_decref(all);
    } else if (r == GW_EXIT_DONE) {
        printf("monitor     %s\n", gw_qmp_server(ctl->qmp));
        gw_ctl_report(info, status);
    }
    json_decref(progress);
    json_decref(status);
    json_decref(info);
    return r;
}

/* ---- capabilities ------------------------------------------------------------------------------------------------ */

static bool wanted(const char *name, int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        if (!strcmp(argv[i], name))
            return true;
    return argc == 0;
}

/* known: an object with all existing names. */
static int not_known(const char *what, const char *name, json_t *known)
{
    struct gw_cli_nearest near = {.word = name};
    struct gw_error err = GW_ERROR_INIT;
    const char *one;
    json_t *value;

    json_object_foreach(known, one, value)
        gw_cli_nearest_try(&near, one);
    gw_fail(&err, -ENOENT, GW_BLAME_CALLER, "the machine knows no %s of this name%s%s%s", what, near.best ? "; did you mean " : "",
            near.best ? gw_shown(near.best) : "", near.best ? "?" : "");
    return gw_ctl_failed(name, &err);
}

int gw_ctl_set_capabilities(struct gw_ctl *ctl, const char *const *texts, size_t count)
{
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++) {
        char name[128];
        bool on;

        if (!gw_option_switch(texts[i], name, sizeof name, &on)) {
            json_decref(list);
            return gw_ctl_usage("'%s' is not NAME=on or NAME=off", texts[i]);
        }
        json_array_append_new(list, json_pack("{sssb}", "capability", name, "state", (int)on));
    }
    if (count)
        return gw_ctl_run(ctl, "migrate-set-capabilities", json_pack("{so}", "capabilities", list), NULL);
    json_decref(list);
    return GW_EXIT_DONE;
}

int gw_ctl_capability(struct gw_ctl *ctl, const char *name, bool *ret_on)
{
    json_t *all = NULL, *one;
    int r = gw_ctl_run(ctl, "query-migrate-capabilities", NULL, &all);
    size_t i;

    *ret_on = false;
    json_array_foreach(all, i, one)
        if (!strcmp(gw_ctl_text(one, "capability", ""), name))
            *ret_on = json_is_true(json_object_get(one, "state"));
    json_decref(all);
    return r;
}

int gw_ctl_turn(struct gw_ctl *ctl, const char *name, bool on)
{
    uint64_t deadline_ns = gw_now_ns(&gw_clock_real) + SETTLE_NS;
    struct gw_error err = GW_ERROR_INIT;
    char what[80];

    snprintf(what, sizeof what, "capability %s", name);
    while (gw_qmp_execute(ctl->qmp, "migrate-set-capabilities",
                          json_pack("{s[{sssb}]}", "capabilities", "capability", name, "state", (int)on), NULL, &err) < 0)
        if (!strstr(err.text, "in progress") || gw_now_ns(&gw_clock_real) >= deadline_ns || gw_qmp_wait(ctl->qmp, POLL_NS, NULL))
            return gw_ctl_failed(what, &err);
    return GW_EXIT_DONE;
}

static int show_capabilities(struct gw_ctl *ctl, int argc, char **argv)
{
    json_t *list = NULL, *item, *known = json_object(), *shown = json_object();
    size_t i;
    int r = gw_ctl_run(ctl, "query-migrate-capabilities", NULL, &list);

    json_array_foreach(list, i, item)
    {
        const char *name = gw_ctl_text(item, "capability", "?");

        json_object_set(known, name, json_object_get(item, "state"));
        if (wanted(name, argc, argv))
            json_object_set(shown, name, json_object_get(item, "state"));
    }
    for (int k = 0; k < argc && r == GW_EXIT_DONE; k++)
        if (!json_object_get(shown, argv[k]))
            r = not_known("capability", argv[k], known);
    if (r == GW_EXIT_DONE && ctl->json) {
        gw_ctl_print_json(ctl, shown);
    } else if (r == GW_EXIT_DONE) {
        const char *name;

        json_object_foreach(shown, name, item) printf("%-28s %s\n", gw_shown(name), json_is_true(item) ? "on" : "off");
    }
    json_decref(shown);
    json_decref(known);
    json_decref(list);
    return r;
}

static int set_or_show(struct gw_ctl *ctl, int argc, char **argv,
                       int (*set)(struct gw_ctl *ctl, const char *const *texts, size_t count),
                       int (*show)(struct gw_ctl *ctl, int argc, char **argv))
{
    int setting = 0;

    for (int i = 0; i < argc; i++)
        setting += strchr(argv[i], '=') != NULL;
    if (setting && setting < argc)
        return gw_ctl_usage("either all or none of the arguments set something");
    return setting ? set(ctl, (const char *const *)argv, (size_t)argc) : show(ctl, argc, argv);
}

int gw_ctl_caps(struct gw_ctl *ctl, int argc, char **argv)
{
    return set_or_show(ctl, argc, argv, gw_ctl_set_capabilities, show_capabilities);
}

/* ---- parameters -------------------------------------------------------------------------------------------------- */

/* Converts the text to JSON of the parameter's current type or, if that is unknown, of the type it looks like. */
static json_t *parse_value(const json_t *now, const char *text)
{
    bool is_text = json_is_string(now) && !gw_large_text(now);
    uint64_t large;
    int64_t number;

    if (json_is_boolean(now) || (!now && (!strcmp(text, "on") || !strcmp(text, "off")))) {
        bool on = !strcmp(text, "on") || !strcmp(text, "true");

        return on || !strcmp(text, "off") || !strcmp(text, "false") ? json_boolean(on) : json_string(text);
    }
    if (!is_text && gw_option_number(text, 0, UINT64_MAX, &large))
        return gw_large_integer(large);
    return !is_text && gw_option_size(text, &number) ? json_integer(number) : json_string(text);
}

int gw_ctl_set_parameters(struct gw_ctl *ctl, const char *const *texts, size_t count)
{
    json_t *now = NULL, *args = json_object();
    int r = count ? gw_ctl_run(ctl, "query-migrate-parameters", NULL, &now) : GW_EXIT_DONE;

    for (size_t i = 0; i < count && r == GW_EXIT_DONE; i++) {
        const char *value;
        uint64_t number = 0;
        char name[128];

        if (!gw_option_setting(texts[i], name, sizeof name, &value)) {
            r = gw_ctl_usage("'%s' is not NAME=VALUE", texts[i]);
            break;
        }
        if (gw_unit_of(name) && !gw_unit_read(gw_unit_of(name), value, &number)) {
            r = gw_ctl_usage("%s: %s is expected", texts[i], gw_unit_expected(gw_unit_of(name)));
            break;
        }
        json_object_set_new(args, name,
                            gw_unit_of(name) ? gw_large_integer(number) : parse_value(json_object_get(now, name), value));
    }
    json_decref(now);
    if (count && r == GW_EXIT_DONE)
        return gw_ctl_run(ctl, "migrate-set-parameters", args, NULL);
    json_decref(args);
    return r;
}

static void print_parameter(const char *name, const json_t *value)
{
    enum gw_unit unit = gw_unit_of(name);
    char with_unit[GW_UNIT_TEXT], *text = NULL;

    if (unit && json_is_integer(value) && json_integer_value(value) >= 0) {
        printf("%-28s %s\n", gw_shown(name), gw_unit_print(unit, (uint64_t)json_integer_value(value), with_unit));
        return;
    }
    if (!json_is_string(value) || gw_large_text(value))
        text = gw_large_dump(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII);
    printf("%-28s %s\n", gw_shown(name), text ? text : gw_shown(json_string_value(value)));
    free(text);
}

static int show_parameters(struct gw_ctl *ctl, int argc, char **argv)
{
    json_t *all = NULL, *shown = json_object(), *value;
    const char *name;
    int r = gw_ctl_run(ctl, "query-migrate-parameters", NULL, &all);

    json_object_foreach(all, name, value) if (wanted(name, argc, argv)) json_object_set(shown, name, value);
    for (int i = 0; i < argc && r == GW_EXIT_DONE; i++)
        if (!json_object_get(shown, argv[i]))
            r = not_known("parameter", argv[i], all);
    if (r == GW_EXIT_DONE && ctl->json)
        gw_ctl_print_json(ctl, shown);
    else if (r == GW_EXIT_DONE)
        json_object_foreach(shown, name, value) print_parameter(name, value);
    json_decref(shown);
    json_decref(all);
    return r;
}

int gw_ctl_param(struct gw_ctl *ctl, int argc, char **argv)
{
    return set_or_show(ctl, argc, argv, gw_ctl_set_parameters, show_parameters);
}
