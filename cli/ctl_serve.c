/* SPDX-License-Identifier: MIT
 *
 * ctl start, ctl destinations: commands for the socket of a `godwit serve`.
 */
#include "ctl.h"

#include <stdio.h>
#include <string.h>

#include "progress.h"
#include "shown.h"

#define POLL_NS (50 * 1000000ull)

/* The destination with this number, borrowed from x-godwit-destinations; NULL: not found. */
static const json_t *find(const json_t *all, json_int_t id)
{
    const json_t *list = json_object_get(all, "destinations"), *d;
    size_t i;

    json_array_foreach(list, i, d)
        if (json_integer_value(json_object_get(d, "id")) == id)
            return d;
    return NULL;
}

static bool has_ended(const json_t *d)
{
    const char *status = gw_ctl_text(d, "status", "");

    return !strcmp(status, "completed") || !strcmp(status, "failed") || !strcmp(status, "cancelled");
}

static void show(const json_t *d)
{
    const char *error = gw_ctl_text(d, "error", NULL);
    char a[GW_HUMAN], b[GW_HUMAN];

    printf("%.0f: %s: %s, guest %s", gw_ctl_number(d, "id"), gw_shown(gw_ctl_text(d, "uri", "?")), gw_ctl_text(d, "status", "?"),
           gw_ctl_text(d, "guest", "?"));
    if (json_object_get(d, "runs-after-seconds"))
        printf(" after %s", gw_human_ms(a, gw_ctl_number(d, "runs-after-seconds") * 1000));
    printf("; %s in %s%s%s\n", gw_human_bytes(a, gw_ctl_number(d, "sent-bytes")), gw_human_ms(b, gw_ctl_number(d, "seconds") * 1000),
           error ? "; " : "", error ? error : "");
}

static void draw(struct gw_progress_line *line, const json_t *d)
{
    const struct gw_progress_at at = {.phase = gw_ctl_text(d, "status", "?"),
                                      .sent = gw_ctl_number(d, "sent-bytes"),
                                      .total = gw_ctl_number(d, "total-bytes"),
                                      .left = gw_ctl_number(d, "remaining-bytes")};

    gw_progress_show(line, &at);
}

static int await(struct gw_ctl *ctl, json_int_t id)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_progress_line line;
    json_t *all = NULL;
    const json_t *d;
    int r = gw_ctl_run(ctl, "x-godwit-destinations", NULL, &all);

    gw_progress_init(&line, !ctl->quiet && !ctl->json && !ctl->verbose);
    while (r == GW_EXIT_DONE && (d = find(all, id)) && !has_ended(d)) {
        draw(&line, d);
        json_decref(all);
        all = NULL;
        if (gw_qmp_wait(ctl->qmp, POLL_NS, &err) < 0) {
            gw_progress_clear(&line);
            return gw_ctl_failed("start", &err);
        }
        r = gw_ctl_run(ctl, "x-godwit-destinations", NULL, &all);
    }
    gw_progress_clear(&line);
    if (r != GW_EXIT_DONE)
        return r;
    d = find(all, id);
    if (d && ctl->json)
        gw_ctl_print_json(ctl, d);
    else if (d)
        show(d);
    r = d && !strcmp(gw_ctl_text(d, "status", ""), "completed") ? GW_EXIT_DONE : GW_EXIT_FAILED;
    if (!d)
        fprintf(stderr, "godwit ctl: start: the result of destination %lld is not known any more\n", (long long)id);
    json_decref(all);
    return r;
}

int gw_ctl_start(struct gw_ctl *ctl, int argc, char **argv)
{
    json_t *result = NULL;
    json_int_t id;
    int r = gw_ctl_run(ctl, "x-godwit-start", json_pack("{s:s, s:b}", "uri", argv[0], "resume", (int)ctl->resume), &result);

    if (r != GW_EXIT_DONE)
        return r;
    id = json_integer_value(json_object_get(result, "id"));
    if (ctl->detach)
        gw_ctl_print_json(ctl, result);
    json_decref(result);
    return ctl->detach ? GW_EXIT_DONE : await(ctl, id);
}

int gw_ctl_destinations(struct gw_ctl *ctl, int argc, char **argv)
{
    json_t *all = NULL;
    const json_t *d;
    size_t i;
    int r = gw_ctl_run(ctl, "x-godwit-destinations", NULL, &all);

    if (r != GW_EXIT_DONE)
        return r;
    if (ctl->json) {
        gw_ctl_print_json(ctl, all);
    } else {
        json_array_foreach(json_object_get(all, "destinations"), i, d)
            show(d);
        printf("%s: %.0f pages were read for %.0f that were sent\n", gw_shown(gw_ctl_text(all, "file", "?")),
               gw_ctl_number(all, "cache.read-pages"), gw_ctl_number(all, "cache.given-pages"));
    }
    json_decref(all);
    return GW_EXIT_DONE;
}
