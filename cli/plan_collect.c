/* SPDX-License-Identifier: MIT
 *
 * Collects the inputs of a plan: the machine's settings, the capabilities of both sides, and measurements: a survey of
 * a godwit (survey.h), or calc-dirty-rate of a QEMU for several times.
 */
#include "plan.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "large.h"
#include "shown.h"
#include "units.h"

#define MIB     1048576.0
#define POLL_NS (50 * 1000000ull)
#define MAX(a, b) ((a) > (b) ? (a) : (b))

static void unknown(struct gw_plan *p, const char *what)
{
    if (p->unknown_count < sizeof p->unknown / sizeof p->unknown[0])
        p->unknown[p->unknown_count++] = what;
}

/* ---- settings ----------------------------------------------------------------------------------------------------- */

static bool on(const json_t *caps, const char *name)
{
    return json_is_true(json_object_get(caps, name));
}

/* The capabilities as an object, name: state. NULL: failed, error printed. */
static json_t *capabilities(struct gw_ctl *ctl, struct gw_qmp *qmp)
{
    struct gw_error err = GW_ERROR_INIT;
    json_t *list = NULL, *item, *caps = json_object();
    size_t i;

    if (gw_qmp_execute(qmp, "query-migrate-capabilities", NULL, &list, &err)) {
        gw_ctl_failed("query-migrate-capabilities", &err);
        json_decref(caps);
        return NULL;
    }
    json_array_foreach(list, i, item)
        json_object_set(caps, gw_ctl_text(item, "capability", "?"), json_object_get(item, "state"));
    json_decref(list);
    return caps;
}

/* --capability and --parameter do not change the machine: the forecast assumes them. */
static int overlay(struct gw_ctl *ctl, json_t *caps, json_t *params)
{
    for (size_t i = 0; i < ctl->capability_count; i++) {
        char name[128];
        bool state;

        if (!gw_option_switch(ctl->capabilities[i], name, sizeof name, &state))
            return gw_ctl_usage("'%s' is not NAME=on or NAME=off", ctl->capabilities[i]);
        if (!json_object_get(caps, name))
            return gw_ctl_usage("plan: the machine knows no capability %s", name);
        json_object_set_new(caps, name, json_boolean(state));
    }
    for (size_t i = 0; i < ctl->parameter_count; i++) {
        const char *value;
        char name[128];
        uint64_t counted = 0;
        int64_t number;

        if (!gw_option_setting(ctl->parameters[i], name, sizeof name, &value))
            return gw_ctl_usage("'%s' is not NAME=VALUE", ctl->parameters[i]);
        if (gw_unit_of(name)) {
            if (!gw_unit_read(gw_unit_of(name), value, &counted))
                return gw_ctl_usage("%s: %s is expected", ctl->parameters[i], gw_unit_expected(gw_unit_of(name)));
            json_object_set_new(params, name, gw_large_integer(counted));
            continue;
        }
        json_object_set_new(params, name, gw_option_size(value, &number) ? json_integer(number) : json_string(value));
    }
    return GW_EXIT_DONE;
}

static void take_parameters(struct gw_plan *p, const json_t *params)
{
    struct gw_forecast_in *in = &p->in;

    in->max_bandwidth = (uint64_t)gw_ctl_number(params, "max-bandwidth");
    in->downtime_limit_ns = (uint64_t)(gw_ctl_number(params, "downtime-limit") * 1e6);
    in->xbzrle_cache_bytes = (uint64_t)gw_ctl_number(params, "xbzrle-cache-size");
    in->multifd_channels = (unsigned)gw_ctl_number(params, "multifd-channels");
    in->compress_threads = (unsigned)gw_ctl_number(params, "compress-threads");
    in->throttle_trigger = (unsigned)gw_ctl_number(params, "throttle-trigger-threshold");
    in->throttle_initial = (unsigned)gw_ctl_number(params, "cpu-throttle-initial");
    in->throttle_increment = (unsigned)gw_ctl_number(params, "cpu-throttle-increment");
    in->throttle_max = (unsigned)gw_ctl_number(params, "max-cpu-throttle");
    in->vcpu_dirty_limit_bytes_per_s = (uint64_t)(gw_ctl_number(params, "vcpu-dirty-limit") * 1e6);
}

static void take_set(struct gw_plan *p, const json_t *caps, const json_t *params)
{
    static const char *const others[] = {"postcopy-ram", "mapped-ram", "background-snapshot", "x-colo"};
    const char *method = gw_ctl_text(params, "multifd-compression", "none");

    p->set = (struct gw_forecast_set){.xbzrle = on(caps, "xbzrle"),
                                      .multifd = on(caps, "multifd"),
                                      .compress = on(caps, "compress"),
                                      .auto_converge = on(caps, "auto-converge"),
                                      .dirty_limit = on(caps, "dirty-limit")};
    if (p->set.multifd && !strcmp(method, "zstd"))
        p->set.compression = GW_FORECAST_ZSTD;
    if (p->set.multifd && !strcmp(method, "zlib"))
        p->set.compression = GW_FORECAST_ZLIB;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (on(caps, others[i]))
            p->left_out[p->left_out_count++] = others[i];
}

/* Additional channels need an address to which more than one connection can be made. */
static bool connects(const char *uri)
{
    return !strncmp(uri, "tcp:", 4) || !strncmp(uri, "unix:", 5) || !strncmp(uri, "vsock:", 6);
}

static void take_can(struct gw_plan *p, const json_t *caps, const json_t *params, const json_t *there)
{
    bool codes = json_object_get(params, "multifd-compression");
#define CAN(name) (json_object_get(caps, name) && (!there || json_object_get(there, name)))
    p->can.xbzrle = CAN("xbzrle");
    p->can.multifd = CAN("multifd") && connects(p->uri);
    p->can.compress = CAN("compress");
#undef CAN
    p->can.zlib = p->can.zstd = p->can.multifd && codes;
    p->can.auto_converge = json_object_get(caps, "auto-converge");
    /* QEMU supports it only with KVM's dirty ring, which it does not report. */
    p->can.dirty_limit = json_object_get(caps, "dirty-limit") && (!p->in.qemu || on(caps, "dirty-limit"));
    p->peer_known = there;
}

/* ---- the destination ---------------------------------------------------------------------------------------------- */

/* Queries the destination's monitor. *ret_caps: its capabilities; NULL: no monitor was given. */
static int ask_destination(struct gw_ctl *ctl, json_t **ret_caps, bool *ret_godwit)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_qmp *qmp;

    *ret_caps = NULL;
    *ret_godwit = ctl->peer && !strcmp(ctl->peer, "godwit");
    if (!ctl->destination)
        return GW_EXIT_DONE;
    if (gw_ctl_open(ctl, ctl->destination, &qmp, &err))
        return gw_ctl_failed("--destination", &err);
    *ret_godwit = gw_qmp_is_godwit(qmp);
    *ret_caps = capabilities(ctl, qmp);
    gw_qmp_free(qmp);
    return *ret_caps ? GW_EXIT_DONE : GW_EXIT_FAILED;
}

/* ---- a godwit ----------------------------------------------------------------------------------------------------- */

static struct gw_forecast_codec codec(const json_t *o, const char *name)
{
    const json_t *c = json_object_get(o, name);

    return (struct gw_forecast_codec){.known = c,
                                      .ratio = gw_ctl_number(c, "ratio"),
                                      .error = gw_ctl_number(c, "error"),
                                      .ns = gw_ctl_number(c, "ns")};
}

static void take_survey(struct gw_plan *p, const json_t *s)
{
    struct gw_forecast_in *in = &p->in;
    const json_t *point;
    size_t i;

    in->ram_bytes = (uint64_t)gw_ctl_number(s, "ram-bytes");
    in->page_bytes = (uint32_t)gw_ctl_number(s, "page-bytes");
    in->zero_known = gw_ctl_number(s, "sampled-pages") > 0;
    in->zero_share = gw_ctl_number(s, "zero-share");
    in->zero_error = gw_ctl_number(s, "zero-error");
    in->dirty_zero_share = gw_ctl_number(s, "dirty-zero-share");
    in->early_known = json_object_get(s, "early-share");
    in->early_share = gw_ctl_number(s, "early-share");
    in->page_ns = gw_ctl_number(s, "page-ns");
    in->zero_ns = gw_ctl_number(s, "zero-ns");
    in->slowdown = gw_ctl_number(s, "slowdown");
    in->cpus = (unsigned)gw_ctl_number(s, "cpus");
    in->vcpus = (unsigned)gw_ctl_number(s, "vcpus");
    json_array_foreach(json_object_get(s, "dirty"), i, point)
        if (in->points < GW_FORECAST_POINTS)
            in->dirty[in->points++] = (struct gw_forecast_point){(uint64_t)gw_ctl_number(point, "ns"),
                                                                 (uint64_t)gw_ctl_number(point, "bytes"),
                                                                 gw_ctl_number(point, "error")};
    in->zlib = codec(s, "zlib");
    in->zstd = codec(s, "zstd");
    in->deflate = codec(s, "deflate");
    in->xbzrle = codec(s, "xbzrle");
    snprintf(p->dirty_from, sizeof p->dirty_from, "all pages tracked, %u times; %.0f pages sampled", in->points, gw_ctl_number(s, "sampled-pages"));
    if (json_object_get(s, "link")) {
        in->link_bytes_per_s = (uint64_t)gw_ctl_number(s, "link.bytes-per-second");
        in->link_error = gw_ctl_number(s, "link.error");
        in->round_trip_ns = (uint64_t)gw_ctl_number(s, "link.round-trip-ns");
        snprintf(p->link_from, sizeof p->link_from, "measured to the destination, which is %.2f ms away", (double)in->round_trip_ns / 1e6);
    }
    snprintf(p->probe_error, sizeof p->probe_error, "%s", gw_ctl_text(s, "probe-error", ""));
}

/* -1: this godwit has no survey. */
static int survey(struct gw_ctl *ctl, struct gw_plan *p, bool probe)
{
    struct gw_error err = GW_ERROR_INIT;
    json_t *args = probe ? json_pack("{ss}", "probe", p->uri) : json_object(), *s = NULL;
    int r;

    if (ctl->measure_ns)
        json_object_set_new(args, "time-ms", json_integer((json_int_t)(ctl->measure_ns / 1000000)));
    r = gw_qmp_execute(ctl->qmp, "x-godwit-survey", args, NULL, &err);
    if (r == -ENOSYS)
        return -1;
    while (r == 0) {
        r = gw_qmp_execute(ctl->qmp, "x-godwit-query-survey", NULL, &s, &err);
        if (r == 0 && !strcmp(gw_ctl_text(s, "status", ""), "measured")) {
            take_survey(p, s);
            json_decref(s);
            return GW_EXIT_DONE;
        }
        if (r == 0 && strcmp(gw_ctl_text(s, "status", ""), "measuring"))
            r = gw_fail(&err, -EREMOTEIO, GW_BLAME_PEER, "%s", gw_ctl_text(s, "error-desc", "it was ended"));
        json_decref(s);
        s = NULL;
        if (r == 0)
            r = gw_qmp_wait(ctl->qmp, POLL_NS, &err);
    }
    return gw_ctl_failed("survey", &err);
}

/* ---- a QEMU ------------------------------------------------------------------------------------------------------- */

#define NOT_TAKEN (-1)
#define SAMPLES   2 /* the first entry of the table that estimates from samples */

/* Makes one measurement. *ret_mib_per_s. NOT_TAKEN: this QEMU refuses these arguments; else an exit status, error
 * printed. */
static int calc(struct gw_ctl *ctl, const char *mode, bool ms, unsigned time, double *ret_mib_per_s)
{
    struct gw_error err = GW_ERROR_INIT;
    json_t *args = json_pack("{si}", "calc-time", (int)time), *unit = ms ? json_pack("{ss}", "calc-time-unit", "millisecond") : NULL;
    int r;

    if (ms)
        json_object_set_new(args, "calc-time-unit", json_string("millisecond"));
    if (mode)
        json_object_set_new(args, "mode", json_string(mode));
    if (mode && !strcmp(mode, "page-sampling"))
        json_object_set_new(args, "sample-pages", json_integer(4096));
    r = gw_qmp_execute(ctl->qmp, "calc-dirty-rate", args, NULL, &err);
    if (r == -EREMOTEIO || r == -ENOSYS) {
        json_decref(unit);
        return r == -ENOSYS ? gw_ctl_failed("calc-dirty-rate", &err) : NOT_TAKEN;
    }
    while (r == 0) {
        json_t *info = NULL;
        bool done = false;

        r = gw_qmp_wait(ctl->qmp, POLL_NS, &err);
        if (r == 0)
            r = gw_qmp_execute(ctl->qmp, "query-dirty-rate", unit ? json_incref(unit) : NULL, &info, &err);
        if (r == 0 && !strcmp(gw_ctl_text(info, "status", ""), "measured")) {
            *ret_mib_per_s = gw_ctl_number(info, "dirty-rate");
            done = true;
        }
        json_decref(info);
        if (done)
            break;
    }
    json_decref(unit);
    return r ? gw_ctl_failed("dirty-rate", &err) : GW_EXIT_DONE;
}

/* QEMU reports whole MiB per second, and samples are estimates. */
static void add_point(struct gw_plan *p, bool sampled, unsigned ms, double mib_per_s)
{
    double s = ms / 1e3, bytes = (mib_per_s > 0 ? mib_per_s + 0.5 : 0.2) * MIB * s, error = 0.5 / MAX(mib_per_s, 0.5);

    if (sampled) {
        double share = bytes / (double)p->in.ram_bytes, n = 4096 * (double)p->in.ram_bytes / (1024 * MIB);

        error += share > 0 && share < 1 ? sqrt((1 - share) / (share * MAX(n, 128))) : 0;
    }
    p->in.dirty[p->in.points++] = (struct gw_forecast_point){ms * 1000000ull, (uint64_t)bytes, error > 1 ? 1 : error + 0.03};
}

static int calc_all(struct gw_ctl *ctl, struct gw_plan *p)
{
    /* The best method first. Milliseconds exist since 8.2; older versions are only asked for samples, as some of them
     * crash with another mode. */
    static const struct {
        const char *mode;
        bool ms;
    } ways[] = {{"dirty-bitmap", true}, {"dirty-ring", true}, {"page-sampling", true}, {"page-sampling", false}, {NULL, false}};
    static const unsigned times[2][5] = {{1, 1, 3, 0}, {200, 200, 500, 1000, 0}};
    unsigned way = 0, count = sizeof ways / sizeof ways[0];
    double mib_per_s = 0;
    int r = NOT_TAKEN;

    /* Without KVM the dirty bitmap mode finds nothing even if the guest writes: then only samples work. */
    for (; way < count; way++) {
        r = calc(ctl, ways[way].mode, ways[way].ms, times[ways[way].ms][0], &mib_per_s);
        if (r != NOT_TAKEN && (r != GW_EXIT_DONE || mib_per_s > 0 || way >= SAMPLES))
            break;
    }
    if (r == NOT_TAKEN) {
        struct gw_error err = GW_ERROR_INIT;

        gw_fail(&err, -EREMOTEIO, GW_BLAME_PEER, "this QEMU supports no known way of measuring");
        return gw_ctl_failed("calc-dirty-rate", &err);
    }
    for (unsigned i = 0; r == GW_EXIT_DONE; r = calc(ctl, ways[way].mode, ways[way].ms, times[ways[way].ms][i], &mib_per_s)) {
        unsigned time = times[ways[way].ms][i];

        add_point(p, way >= SAMPLES, ways[way].ms ? time : time * 1000, mib_per_s);
        if (!times[ways[way].ms][++i])
            break;
    }
    snprintf(p->dirty_from, sizeof p->dirty_from, "calc-dirty-rate, %s, %u times", ways[way].mode ? ways[way].mode : "page-sampling",
             p->in.points);
    return r == NOT_TAKEN ? GW_EXIT_FAILED : r;
}

/* The last migration counted zero pages, most of them in its first pass, if that was complete. */
static void find_zeros(struct gw_ctl *ctl, struct gw_plan *p)
{
    json_t *info = NULL;
    double zeros;

    if (!gw_qmp_execute(ctl->qmp, "query-migrate", NULL, &info, NULL) && gw_ctl_number(info, "ram.dirty-sync-count") > 1) {
        zeros = gw_ctl_number(info, "ram.duplicate") * p->in.page_bytes / (double)p->in.ram_bytes;
        p->in.zero_known = true;
        p->in.zero_share = zeros < 1 ? zeros : 1;
        p->in.zero_error = 0.05;
    } else {
        unknown(p, "the share of zero pages");
    }
    json_decref(info);
}

static int measure_qemu(struct gw_ctl *ctl, struct gw_plan *p)
{
    json_t *memory = NULL;
    int r = gw_ctl_run(ctl, "query-memory-size-summary", NULL, &memory);

    if (r != GW_EXIT_DONE)
        return r;
    p->in.ram_bytes = (uint64_t)(gw_ctl_number(memory, "base-memory") + gw_ctl_number(memory, "plugged-memory"));
    p->in.page_bytes = 4096;
    json_decref(memory);
    find_zeros(ctl, p);
    unknown(p, "compressibility of pages, and how much of a page the guest changes");
    unknown(p, "the number of the host's CPUs");
    return calc_all(ctl, p);
}

/* ---- the link ----------------------------------------------------------------------------------------------------- */

static void find_link(struct gw_ctl *ctl, struct gw_plan *p)
{
    struct gw_forecast_in *in = &p->in;
    json_t *info = NULL;

    if (ctl->bandwidth) {
        in->link_bytes_per_s = ctl->bandwidth;
        in->link_error = 0.05;
        snprintf(p->link_from, sizeof p->link_from, "as --bandwidth says");
        return;
    }
    if (in->link_bytes_per_s)
        return;
    if (!gw_qmp_execute(ctl->qmp, "query-migrate", NULL, &info, NULL) && gw_ctl_number(info, "ram.mbps") > 0) {
        in->link_bytes_per_s = (uint64_t)(gw_ctl_number(info, "ram.mbps") * 1e6 / 8);
        in->link_is_whole = true;
        snprintf(p->link_from, sizeof p->link_from, "what the last migration measured");
    } else {
        unknown(p, "the throughput of the link: max-bandwidth is assumed");
        snprintf(p->link_from, sizeof p->link_from, "not known");
    }
    json_decref(info);
}

/* ---- all of it ---------------------------------------------------------------------------------------------------- */

static int measure(struct gw_ctl *ctl, struct gw_plan *p, bool probe)
{
    int r = p->in.qemu ? -1 : survey(ctl, p, probe);

    return r < 0 ? measure_qemu(ctl, p) : r;
}

static int forecast(struct gw_plan *p)
{
    struct gw_error err = GW_ERROR_INIT;

    if (!p->in.link_bytes_per_s && !p->in.max_bandwidth) {
        fprintf(stderr, "godwit ctl: plan: the throughput of the link is not known%s%s, and max-bandwidth is 0: give "
                        "it, as in `--bandwidth 119M`, or use `--peer godwit` if a godwit waits there\n",
                *p->probe_error ? ": " : "", p->probe_error);
        return GW_EXIT_UNKNOWN;
    }
    if (gw_forecast(&p->in, &p->set, &p->now, &err) < 0 || gw_forecast_advise(&p->in, &p->can, &p->advice, &err) < 0)
        return gw_ctl_failed("plan", &err);
    return GW_EXIT_DONE;
}

int gw_plan_make(struct gw_ctl *ctl, const char *uri, struct gw_plan *plan)
{
    json_t *caps, *params = NULL, *there = NULL;
    bool godwit_there;
    int r;

    *plan = (struct gw_plan){.uri = uri, .in.qemu = !gw_qmp_is_godwit(ctl->qmp)};
    snprintf(plan->server, sizeof plan->server, "%s", gw_qmp_server(ctl->qmp));
    caps = capabilities(ctl, ctl->qmp);
    r = caps ? gw_ctl_run(ctl, "query-migrate-parameters", NULL, &params) : GW_EXIT_FAILED;
    if (r == GW_EXIT_DONE)
        r = overlay(ctl, caps, params);
    if (r == GW_EXIT_DONE)
        r = ask_destination(ctl, &there, &godwit_there);
    if (r == GW_EXIT_DONE) {
        take_set(plan, caps, params);
        take_parameters(plan, params);
        take_can(plan, caps, params, there);
        r = measure(ctl, plan, godwit_there && !ctl->bandwidth && connects(uri));
    }
    if (r == GW_EXIT_DONE) {
        find_link(ctl, plan);
        r = forecast(plan);
    }
    json_decref(caps);
    json_decref(params);
    json_decref(there);
    return r;
}

int gw_plan_exit(const struct gw_plan *plan)
{
    static const int exits[] = {[GW_FORECAST_UNKNOWN] = GW_EXIT_UNKNOWN, [GW_FORECAST_YES] = GW_EXIT_DONE, [GW_FORECAST_NO] = GW_EXIT_DIFFERENT};

    return exits[plan->now.converges];
}
