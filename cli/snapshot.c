/* SPDX-License-Identifier: MIT
 *
 * godwit snapshot: list, make, load and delete snapshots inside disk images, as QEMU takes them.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <godwit/godwit.h>
#include <jansson.h>

#include "cmd.h"
#include "confine.h"
#include "examine.h"
#include "human.h"
#include "shown.h"
#include "table.h"

#define COMMAND "snapshot"

/* Invalid UTF-8 cannot be represented in JSON. */
static json_t *text(const char *bytes)
{
    json_t *t = json_string(bytes);

    return t ? t : json_string(gw_shown(bytes));
}

static json_t *as_json(const struct gw_snapshot *s)
{
    return json_pack("{s:o, s:o, s:I, s:I, s:I, s:I, s:I}", "id", text(s->id), "name", text(s->name), "date-sec",
                     (json_int_t)s->seconds, "date-nsec", (json_int_t)s->nanoseconds, "vm-clock-nsec", (json_int_t)s->ran_ns,
                     "vm-state-size", (json_int_t)s->state_bytes, "disk-size", (json_int_t)s->disk_bytes);
}

/* "2026-05-01 12:30:00", in local time. */
static void when(char *buf, size_t size, uint32_t seconds)
{
    time_t t = (time_t)seconds;
    struct tm tm;

    if (!localtime_r(&t, &tm) || !strftime(buf, size, "%Y-%m-%d %H:%M:%S", &tm))
        snprintf(buf, size, "%" PRIu32, seconds);
}

static void print(const struct gw_snapshot *s)
{
    char date[32], clock[32], state[GW_HUMAN], disk[GW_HUMAN];
    uint64_t ms = s->ran_ns / 1000000;

    when(date, sizeof date, s->seconds);
    snprintf(clock, sizeof clock, "%02" PRIu64 ":%02" PRIu64 ":%02" PRIu64 ".%03" PRIu64, ms / 3600000, ms / 60000 % 60,
             ms / 1000 % 60, ms % 1000);
    printf("%-6s %-20s %-19s %14s %12s %12s\n", gw_shown(s->id), gw_shown(s->name), date, clock,
           s->state_bytes ? gw_human_bytes(state, (double)s->state_bytes) : "-", gw_human_bytes(disk, (double)s->disk_bytes));
}

static int list(const struct gw_snapshots *snapshots, const char *disk, bool json)
{
    unsigned n = gw_snapshots_count(snapshots);
    json_t *found = json ? json_array() : NULL;
    struct gw_snapshot s;

    if (!json && n)
        printf("%-6s %-20s %-19s %14s %12s %12s\n", "ID", "NAME", "TAKEN", "VM CLOCK", "STATE", "DISK");
    for (unsigned i = 0; i < n && gw_snapshots_get(snapshots, i, &s, NULL) >= 0; i++)
        if (json)
            json_array_append_new(found, as_json(&s));
        else
            print(&s);
    if (json)
        gw_cli_print_found(json_pack("{s:o}", "file", text(disk)), found);
    json_decref(found);
    return gw_cli_end(COMMAND, GW_EXIT_DONE);
}

static int run(const struct gw_confine *confine, char **words, bool json)
{
    bool deletes = !strcmp(words[0], "delete");
    struct gw_snapshots *snapshots = NULL;
    struct gw_error err = GW_ERROR_INIT;
    int status = GW_EXIT_DONE, r = gw_snapshots_open(words[1], deletes, &snapshots, &err), e;

    if (r >= 0)
        r = gw_confine(confine, GW_CONFINE_ALL, &err);
    if (r >= 0 && deletes)
        r = gw_snapshots_delete(snapshots, words[2], &err);
    else if (r >= 0)
        status = list(snapshots, words[1], json);
    e = gw_snapshots_free(snapshots, r < 0 ? NULL : &err);
    return r < 0 || e < 0 ? gw_cli_failed(COMMAND, NULL, err.text) : status;
}

static const struct gw_cli_sub subs[] = {
    {"list", "DISK", "Lists the snapshots of the disk image DISK."},
    {"save", "DISK... NAME", "Makes a snapshot of the disks, without machine state, in all of them or in none."},
    {"load", "DISK... NAME", "Reverts the disks to the snapshot NAME. Their current contents are lost."},
    {"delete", "DISK SNAPSHOT", "Deletes a snapshot. SNAPSHOT is an ID or a name; an ID comes first."},
    {0},
};
/* save and load: all disks together. */
static int together(const struct gw_confine *confine, char **words, unsigned disks)
{
    bool save = !strcmp(words[0], "save");
    struct gw_snapshots **list = calloc(disks, sizeof *list);
    struct gw_error err = GW_ERROR_INIT;
    int r = list ? 0 : -ENOMEM;

    for (unsigned i = 0; r >= 0 && i < disks; i++)
        r = gw_snapshots_open(words[1 + i], true, &list[i], &err);
    if (r >= 0)
        r = gw_confine(confine, GW_CONFINE_ALL, &err);
    if (r >= 0)
        r = (save ? gw_snapshots_save : gw_snapshots_load)(list, disks, words[1 + disks], &err);
    for (unsigned i = 0; list && i < disks; i++) {
        int e = gw_snapshots_free(list[i], r < 0 ? NULL : &err);

        r = r < 0 ? r : e;
    }
    free(list);
    return r < 0 ? gw_cli_failed(COMMAND, NULL, err.text[0] ? err.text : "out of memory") : GW_EXIT_DONE;
}

int gw_cmd_snapshot(int argc, char **argv)
{
    struct gw_confine confine = {.command = COMMAND};
    bool json = false;
    const struct gw_cli_option options[] = {
        {"json", .flag = &json, .of = "list", .help = "Print one JSON object."}, GW_CONFINE_OPTION(&confine), {0}};
    const struct gw_cli_command command = {
        .about = "The snapshots inside of a disk image (qcow2), as QEMU takes them with savevm or snapshot-save. One with a "
                 "state has a machine in it: the commands that read files read it with --snapshot, and `godwit convert "
                 "FILE --into DISK --snapshot NAME` writes one. For the disks of a running machine use `godwit ctl "
                 "SOCKET snapshot`.",
        .options = options,
        .subs = subs};
    int status = gw_cli_parse(argc, argv, &command);
    char **words = argv + optind;

    if (status >= 0)
        return status;
    if (!strcmp(words[0], "save") || !strcmp(words[0], "load")) {
        int disks = argc - optind - 2;

        for (int i = 1; i <= disks; i++)
            confine.connects |= gw_path_is_far(words[i]);
        return together(&confine, words, (unsigned)disks);
    }
    confine.connects = gw_path_is_far(words[1]);
    return run(&confine, words, json);
}
