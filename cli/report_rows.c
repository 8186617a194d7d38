/* SPDX-License-Identifier: MIT */
#include "report_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "large.h"

/* ---- units ------------------------------------------------------------------------------------------------------- */

enum unit { NONE, BYTES, BYTES_S, PAGES, PAGES_S, MS, US, MBIT, PERCENT };

static const struct {
    const char *name; /* the last part of a path; with a leading dot: the part before it */
    enum unit unit;
} units[] = {
    {"transferred", BYTES},      {"remaining", BYTES},        {"total", BYTES},          {"normal-bytes", BYTES},
    {"page-size", BYTES},        {"multifd-bytes", BYTES},    {"precopy-bytes", BYTES},  {"downtime-bytes", BYTES},
    {"postcopy-bytes", BYTES},   {"cache-size", BYTES},       {"bytes", BYTES},          {"compressed-size", BYTES},
    {".bytes-by-cause", BYTES},  {"max-bandwidth", BYTES_S},  {"duplicate", PAGES},      {"normal", PAGES},
    {"skipped", PAGES},          {"pages", PAGES},            {"busy", PAGES},           {"overflow", PAGES},
    {"cache-miss", PAGES},       {"dirty-pages-rate", PAGES_S}, {"pages-per-second", PAGES_S}, {"total-time", MS},
    {"setup-time", MS},          {"downtime", MS},            {"expected-downtime", MS}, {"downtime-limit", MS},
    {"eta-ms", MS},              {"downtime-us", US},         {".downtime-by-cause-us", US}, {"mbps", MBIT},
    {"cpu-throttle-percentage", PERCENT}, {"avail-switchover-bandwidth", BYTES_S}, {"max-postcopy-bandwidth", BYTES_S},
    {"xbzrle-cache-size", BYTES}, {"cpu-throttle-initial", PERCENT}, {"cpu-throttle-increment", PERCENT},
    {"max-cpu-throttle", PERCENT}, {"throttle-trigger-threshold", PERCENT},
};

static enum unit unit_of(const char *parent, const char *name)
{
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (units[i].name[0] == '.' ? !strcmp(units[i].name + 1, parent) : !strcmp(units[i].name, name))
            return units[i].unit;
    return NONE;
}

/* Adds the raw value with its unit and, if different, a readable form. */
static void add_value(struct gw_report_rows *rows, const char *path, const char *parent, const char *name, const json_t *value)
{
    static const char *const words[] = {"", " bytes", " bytes/s", " pages", " pages/s", " ms", " us", " Mbit/s", " %"};
    const char *large = gw_large_text(value);
    bool number = json_is_number(value) || large;
    double v = large ? strtod(large, NULL) : json_number_value(value);
    char *dump = json_is_string(value) && !large ? NULL : gw_large_dump(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6));
    char text[300], note[GW_HUMAN + 8] = "", human[GW_HUMAN];
    enum unit unit = number ? unit_of(parent, name) : NONE;

    if (!dump && !json_is_string(value))
        rows->failed = true; /* out of memory */
    snprintf(text, sizeof text, "%s%s", dump ? dump : json_is_string(value) ? json_string_value(value) : "", words[unit]);
    if ((unit == BYTES || unit == BYTES_S) && v >= 1000)
        snprintf(note, sizeof note, "%s%s", gw_human_bytes(human, v), unit == BYTES_S ? "/s" : "");
    else if ((unit == MS || unit == US) && v >= 1000)
        snprintf(note, sizeof note, "%s", gw_human_ms(human, unit == US ? v / 1000 : v));
    else if (unit == BYTES_S && v == 0)
        snprintf(note, sizeof note, !strcmp(name, "avail-switchover-bandwidth") ? "as measured" : "no limit");
    gw_report_add(rows, path, json_is_boolean(value) ? (json_is_true(value) ? "on" : "off") : text, note);
    free(dump);
}

/* Adds the leaves with their paths, except those that `but` has. Lists are omitted: rounds have their own table. */
static void flatten(struct gw_report_rows *rows, const char *prefix, const char *parent, const json_t *o, const json_t *but)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)o, key, value) {
        char path[160];

        if (json_object_get(but, key))
            continue;
        snprintf(path, sizeof path, "%s%s%s", prefix, *prefix ? "." : "", key);
        if (json_is_object(value) && strlen(path) < 100)
            flatten(rows, path, key, value, NULL);
        else if (!json_is_array(value) && !json_is_object(value))
            add_value(rows, path, parent, key, value);
    }
}

/* ---- settings ---------------------------------------------------------------------------------------------------- */

static bool has(const json_t *capabilities, const char *name)
{
    const json_t *item;
    size_t i;

    json_array_foreach(capabilities, i, item) {
        const char *n = json_string_value(json_object_get(item, "capability"));

        if (n && !strcmp(n, name) && json_is_true(json_object_get(item, "state")))
            return true;
    }
    return false;
}

/* Parameters that have an effect: always, or with a capability. */
static const struct {
    const char *prefix, *capability;
} matter[] = {
    {"max-bandwidth", NULL},       {"downtime-limit", NULL},       {"avail-switchover-bandwidth", NULL},
    {"multifd-", "multifd"},       {"zero-page-detection", "multifd"}, {"direct-io", "mapped-ram"},
    {"compress-", "compress"},     {"xbzrle-", "xbzrle"},          {"cpu-throttle-", "auto-converge"},
    {"max-cpu-throttle", "auto-converge"}, {"throttle-trigger", "auto-converge"}, {"vcpu-dirty-limit", "dirty-limit"},
    {"x-vcpu-dirty-limit", "dirty-limit"}, {"max-postcopy-", "postcopy-ram"},
};

void gw_report_settings(struct gw_report *r, const json_t *capabilities, const json_t *parameters)
{
    const char *key;
    json_t *item;
    size_t i, on = 0;

    json_array_foreach(capabilities, i, item)
        if (json_is_true(json_object_get(item, "state"))) {
            gw_report_add(&r->settings, json_string_value(json_object_get(item, "capability")) ? json_string_value(json_object_get(item, "capability")) : "?",
                          "on", "capability");
            on++;
        }
    if (capabilities && !on)
        gw_report_add(&r->settings, "capabilities", "all off", NULL);
    for (size_t k = 0; k < sizeof matter / sizeof matter[0]; k++)
        json_object_foreach((json_t *)parameters, key, item)
            if (!strncmp(key, matter[k].prefix, strlen(matter[k].prefix)) && (!matter[k].capability || has(capabilities, matter[k].capability)))
                add_value(&r->settings, key, "", key, item);
    if (!capabilities || !parameters)
        gw_report_add(&r->notes, "Some settings are not known: the source did not report them.", NULL, NULL);
}

/* ---- totals ------------------------------------------------------------------------------------------------------ */

static void downtime(struct gw_report *r, const json_t *info)
{
    static const struct {
        const char *key, *name;
    } causes[] = {
        {"stop", "stopping the machine"},    {"paused", "waiting for migrate-continue"}, {"sync", "last dirty sync"},
        {"memory", "last pages sent"},             {"devices", "device states sent"},         {"load", "loading at "
            "the destination"},
        {"hand-over", "hand-over and start there"},
    };
    char path[80];

    if (gw_ctl_number(info, "x-godwit.downtime-us") > 0)
        r->downtime_ms = gw_ctl_number(info, "x-godwit.downtime-us") / 1000;
    else if (json_object_get(info, "downtime"))
        r->downtime_ms = gw_ctl_number(info, "downtime");
    for (size_t i = 0; i < sizeof causes / sizeof causes[0]; i++) {
        snprintf(path, sizeof path, "x-godwit.downtime-by-cause-us.%s", causes[i].key);
        gw_report_split_add(&r->downtime_us, causes[i].name, gw_ctl_number(info, path));
    }
    if (r->downtime_ms > 0 && !r->downtime_us.count) {
        gw_report_split_add(&r->downtime_us, "the source does not report the causes", r->downtime_ms * 1000);
        gw_report_add(&r->notes, "The causes of the downtime are not known: only a godwit reports them.", NULL, NULL);
    }
}

static void splits(struct gw_report *r, const json_t *info)
{
    static const struct {
        const char *path, *name;
    } pages[] = {{"ram.normal", "as they are"}, {"ram.duplicate", "zeros"}, {"compression.pages", "compressed"},
                 {"xbzrle-cache.pages", "differences (XBZRLE)"}, {"ram.skipped", "hinted free or discarded, not sent"}},
      causes[] = {{"x-godwit.bytes-by-cause.ram-page", "pages as they are"}, {"x-godwit.bytes-by-cause.ram-coded", "pages in coded form"},
                  {"x-godwit.bytes-by-cause.ram-zero", "pages of "
                                                       "zeros"},    {"x-godwit.bytes-by-cause.ram-meta", "headers and "
                                                           "lists of memory"},
                  {"x-godwit.bytes-by-cause.device", "device states"},       {"x-godwit.bytes-by-cause.disk", "disks"},
                  {"x-godwit.bytes-by-cause.vmdesc", "description of the devices"}, {"x-godwit.bytes-by-cause.head", "frames of the stream"}},
      phases[] = {{"ram.precopy-bytes", "memory, while the machine ran"}, {"ram.downtime-bytes", "memory, while it was stopped"},
                  {"ram.postcopy-bytes", "memory, while it ran there"}};

    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++)
        gw_report_split_add(&r->pages, pages[i].name, gw_ctl_number(info, pages[i].path));
    for (size_t i = 0; i < sizeof causes / sizeof causes[0]; i++)
        gw_report_split_add(&r->bytes, causes[i].name, gw_ctl_number(info, causes[i].path));
    for (size_t i = 0; !json_object_get(info, "x-godwit") && i < sizeof phases / sizeof phases[0]; i++)
        gw_report_split_add(&r->bytes, phases[i].name, gw_ctl_number(info, phases[i].path));
    if (gw_ctl_number(info, "ram.multifd-bytes") > 0 && !json_object_get(info, "x-godwit"))
        gw_report_add(&r->notes, "Pages on multifd channels are included as far as the source counts them.", NULL, NULL);
    if (!r->bytes.count && r->end == GW_REPORT_COMPLETED)
        gw_report_add(&r->notes, "Bytes by cause are not known: this QEMU does not report them.", NULL, NULL);
}

void gw_report_totals(struct gw_report *r, const json_t *last, const json_t *info, double took_ms)
{
    const json_t *ram = info && json_object_get(info, "ram") ? info : last;

    r->sent = ram ? gw_ctl_number(ram, "ram.transferred") : NAN;
    r->memory = ram ? gw_ctl_number(ram, "ram.total") : NAN;
    r->rounds = ram ? gw_ctl_number(ram, "ram.dirty-sync-count") : NAN;
    r->page_bytes = ram ? gw_ctl_number(ram, "ram.page-size") : NAN;
    if (json_object_get(ram, "setup-time"))
        r->setup_ms = gw_ctl_number(ram, "setup-time");
    r->total_ms = json_object_get(info, "total-time") ? gw_ctl_number(info, "total-time") : took_ms;
    if (!json_object_get(info, "total-time"))
        gw_report_add(&r->notes, "The total time was measured by this command: the source did not report it.", NULL, NULL);
    if (r->end == GW_REPORT_COMPLETED)
        downtime(r, info);
    if (r->end == GW_REPORT_COMPLETED && !isnan(r->downtime_ms) && json_object_get(info, "total-time"))
        r->stopped_s = fmax(r->total_ms - r->downtime_ms, 0) / 1000;
    splits(r, ram);
    flatten(&r->figures, "", "", info, NULL);
    if (ram != info)
        flatten(&r->figures, "", "", ram, info);
    if (ram != info && ram)
        gw_report_add(&r->notes, "Figures of memory are the last ones reported before the end.", NULL, NULL);
}
