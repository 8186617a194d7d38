/* SPDX-License-Identifier: MIT
 *
 * Prints a plan: one screen of text, JSON, and the forecast next to the result.
 */
#include "plan.h"

#include <stdio.h>
#include <string.h>

#include "shown.h"

#define COLUMNS 79
#define INDENT  12
#define LINES   5 /* of rounds */

static const char *const answers[] = {[GW_FORECAST_UNKNOWN] = "maybe", [GW_FORECAST_YES] = "yes", [GW_FORECAST_NO] = "no"};

/* ---- text --------------------------------------------------------------------------------------------------------- */

/* "name        text", broken between words. */
static void print_wrapped(const char *name, const char *text)
{
    int at = printf("%-*s", INDENT, name);

    while (*text) {
        int n = (int)strcspn(text, " ");

        if (at > INDENT && at + 1 + n > COLUMNS)
            at = printf("\n%*s", INDENT, "") - 1;
        at += printf("%s%.*s", at > INDENT ? " " : "", n, text);
        text += n;
        text += strspn(text, " ");
    }
    printf("\n");
}

static const char *set_name(const struct gw_forecast_set *s, char buf[96])
{
    int n = snprintf(buf, 96, "%s%s%s%s%s%s", s->xbzrle ? ", xbzrle" : "", s->multifd ? ", multifd" : "",
                     s->compression == GW_FORECAST_ZSTD   ? " + zstd"
                     : s->compression == GW_FORECAST_ZLIB ? " + zlib"
                                                          : "",
                     s->compress ? ", compress" : "", s->auto_converge ? ", auto-converge" : "", s->dirty_limit ? ", dirty-limit" : "");

    return n ? buf + 2 : "no capability of these";
}

static void print_machine(const struct gw_plan *p)
{
    char a[GW_HUMAN], b[GW_HUMAN], c[GW_HUMAN], set[96], text[400];

    snprintf(text, sizeof text, "%s, with what is set: %s", gw_shown(p->uri), set_name(&p->set, set));
    print_wrapped("to", text);
    if (p->in.zero_known)
        snprintf(text, sizeof text, "%s, %.0f %% of it zeros", gw_human_bytes(a, (double)p->in.ram_bytes), p->in.zero_share * 100);
    else
        snprintf(text, sizeof text, "%s", gw_human_bytes(a, (double)p->in.ram_bytes));
    print_wrapped("memory", text);
    if (p->now.hot_bytes >= 65536)
        snprintf(text, sizeof text, "a hot set of %s at %s/s, and %s/s of the rest (%s)", gw_human_bytes(a, p->now.hot_bytes),
                 gw_human_bytes(b, p->now.hot_bytes_per_s), gw_human_bytes(c, p->now.cold_bytes_per_s), p->dirty_from);
    else
        snprintf(text, sizeof text, "%s/s (%s)", gw_human_bytes(a, p->now.hot_bytes_per_s + p->now.cold_bytes_per_s), p->dirty_from);
    print_wrapped("writes", text);
    snprintf(text, sizeof text, "%s%s (%s); max-bandwidth %s%s", p->in.link_bytes_per_s ? gw_human_bytes(a, (double)p->in.link_bytes_per_s) : "?",
             p->in.link_bytes_per_s ? "/s" : "", p->link_from, p->in.max_bandwidth ? gw_human_bytes(b, (double)p->in.max_bandwidth) : "none",
             p->in.max_bandwidth ? "/s" : "");
    print_wrapped("link", text);
    if (p->in.slowdown > 1.5) {
        snprintf(text, sizeof text, "busy: work takes %.1f times its CPU time there, so ranges are wider", p->in.slowdown);
        print_wrapped("host", text);
    }
    if (*p->probe_error && !p->in.link_bytes_per_s) {
        snprintf(text, sizeof text, "it could not be measured: %.300s", gw_shown(p->probe_error));
        print_wrapped("", text);
    }
}

typedef const char *(*human)(char buf[GW_HUMAN], double value);

static const char *range_text(const struct gw_forecast_range *r, double unit, human to_text, char *buf, size_t size)
{
    char a[GW_HUMAN], b[GW_HUMAN], c[GW_HUMAN];

    snprintf(buf, size, "%s (%s to %s)", to_text(a, r->typical / unit), to_text(b, r->low / unit), to_text(c, r->high / unit));
    return buf;
}

static void print_now(const struct gw_plan *p)
{
    const struct gw_forecast *f = &p->now;
    char a[GW_HUMAN], b[GW_HUMAN], text[160];

    snprintf(text, sizeof text, "%s: in %.0f of 100 simulated migrations", answers[f->converges], f->certainty * 100);
    print_wrapped("converges", text);
    if (f->certainty > 0) {
        printf("time        %s\n", range_text(&f->total_ns, 1e6, gw_human_ms, text, sizeof text));
        printf("downtime    %s\n", range_text(&f->downtime_ns, 1e6, gw_human_ms, text, sizeof text));
        printf("bytes       %s\n", range_text(&f->bytes, 1, gw_human_bytes, text, sizeof text));
    }
    if (f->throttle)
        printf("throttle    up to %u %% of the guest's CPU time\n", f->throttle);
    if (f->converges == GW_FORECAST_NO && f->needed_limit_ns) {
        snprintf(text, sizeof text, "%s after each round; a downtime-limit of %s would do", gw_human_bytes(a, f->rest_bytes),
                 gw_human_ms(b, (double)f->needed_limit_ns / 1e6));
        print_wrapped("left", text);
    }
}

static void print_rounds(const struct gw_forecast *f)
{
    unsigned shown = f->rounds < LINES ? f->rounds : LINES;
    char a[GW_HUMAN], b[GW_HUMAN], c[GW_HUMAN];

    printf("\n  %5s %12s %12s %18s\n", "round", "sent", "time", "dirty at its end");
    for (unsigned i = 0; i < shown; i++)
        printf("  %5u %12s %12s %18s\n", i + 1, gw_human_bytes(a, (double)f->round[i].bytes),
               gw_human_ms(b, (double)f->round[i].ns / 1e6), gw_human_bytes(c, (double)f->round[i].dirty_bytes));
    if (f->rounds > shown)
        printf("  %5s %u in all\n", "...", f->rounds);
}

static void print_choices(const struct gw_forecast_advice *a)
{
    char t[GW_HUMAN], d[GW_HUMAN], b[GW_HUMAN];

    printf("\n  %-26s %10s %10s %10s %10s\n", "capabilities", "converges", "time", "downtime", "bytes");
    for (unsigned i = 0; i < a->count; i++) {
        const struct gw_forecast_choice *c = &a->choice[i];
        bool any = c->forecast.certainty > 0;

        printf("  %-26s %8.0f %% %10s %10s %10s\n", c->name, c->forecast.certainty * 100,
               any ? gw_human_ms(t, c->forecast.total_ns.typical / 1e6) : "-",
               any ? gw_human_ms(d, c->forecast.downtime_ns.typical / 1e6) : "-",
               any ? gw_human_bytes(b, c->forecast.bytes.typical) : "-");
    }
    printf("\n");
}

static void print_list(const char *name, const char *const *list, unsigned count, const char *behind)
{
    char text[400];
    int n = 0;

    for (unsigned i = 0; i < count; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%s%s", i ? "; " : "", list[i]);
    snprintf(text + n, sizeof text - (size_t)n, "%s", behind);
    if (count)
        print_wrapped(name, text);
}

void gw_plan_print(const struct gw_plan *p)
{
    char text[480];

    print_machine(p);
    print_now(p);
    print_rounds(&p->now);
    print_choices(&p->advice);
    snprintf(text, sizeof text, "%s: %s.%s", p->advice.choice[0].name, p->advice.why,
             p->peer_known ? "" : " The destination was not asked for its capabilities (--destination).");
    print_wrapped("best", text);
    print_list("unknown", p->unknown, p->unknown_count, "; ranges are wider for it");
    print_list("left out", p->left_out, p->left_out_count, ": on, and not in the model");
}

/* ---- JSON --------------------------------------------------------------------------------------------------------- */

static json_t *range_json(const struct gw_forecast_range *r, double unit)
{
    return json_pack("{sfsfsf}", "low", r->low / unit, "typical", r->typical / unit, "high", r->high / unit);
}

static json_t *set_json(const struct gw_forecast_set *s)
{
    static const char *const methods[] = {"none", "zlib", "zstd"};
    json_t *o = json_pack("{sbsbsbsbsbss}", "xbzrle", s->xbzrle, "multifd", s->multifd, "compress", s->compress, "auto-converge",
                          s->auto_converge, "dirty-limit", s->dirty_limit, "multifd-compression", methods[s->compression]);

    if (s->downtime_limit_ns)
        json_object_set_new(o, "downtime-limit", json_integer((json_int_t)(s->downtime_limit_ns / 1000000)));
    return o;
}

static json_t *forecast_json(const struct gw_forecast *f)
{
    json_t *o = json_pack("{sssf}", "converges", answers[f->converges], "certainty", f->certainty), *rounds = json_array();

    if (f->certainty > 0) {
        json_object_set_new(o, "total-ms", range_json(&f->total_ns, 1e6));
        json_object_set_new(o, "downtime-ms", range_json(&f->downtime_ns, 1e6));
        json_object_set_new(o, "bytes", range_json(&f->bytes, 1));
    }
    if (f->throttle)
        json_object_set_new(o, "throttle-percent", json_integer(f->throttle));
    if (f->needed_limit_ns)
        json_object_set_new(o, "needed-downtime-limit-ms", json_real((double)f->needed_limit_ns / 1e6));
    for (unsigned i = 0; i < f->rounds && i < GW_FORECAST_ROUNDS; i++)
        json_array_append_new(rounds, json_pack("{sIsfsI}", "bytes", (json_int_t)f->round[i].bytes, "ms", (double)f->round[i].ns / 1e6,
                                                "dirty-bytes", (json_int_t)f->round[i].dirty_bytes));
    json_object_set_new(o, "rounds", json_integer(f->rounds));
    json_object_set_new(o, "round", rounds);
    return o;
}

static json_t *measured_json(const struct gw_plan *p)
{
    const struct gw_forecast_in *in = &p->in;
    json_t *o = json_pack("{sIsssssf}", "ram-bytes", (json_int_t)in->ram_bytes, "dirty-from", p->dirty_from, "link-from", p->link_from,
                          "hot-bytes", p->now.hot_bytes);
    json_t *points = json_array();

    json_object_set_new(o, "hot-bytes-per-second", json_real(p->now.hot_bytes_per_s));
    json_object_set_new(o, "cold-bytes-per-second", json_real(p->now.cold_bytes_per_s));
    for (unsigned i = 0; i < in->points; i++)
        json_array_append_new(points, json_pack("{sfsIsf}", "ms", (double)in->dirty[i].ns / 1e6, "bytes", (json_int_t)in->dirty[i].bytes,
                                                "error", in->dirty[i].error));
    json_object_set_new(o, "dirty", points);
    if (in->link_bytes_per_s)
        json_object_set_new(o, "link-bytes-per-second", json_integer((json_int_t)in->link_bytes_per_s));
    if (in->slowdown > 0)
        json_object_set_new(o, "slowdown", json_real(in->slowdown));
    if (*p->probe_error)
        json_object_set_new(o, "probe-error", json_string(p->probe_error));
    if (in->zero_known)
        json_object_set_new(o, "zero-share", json_real(in->zero_share));
    return o;
}

static json_t *texts_json(const char *const *list, unsigned count)
{
    json_t *a = json_array();

    for (unsigned i = 0; i < count; i++)
        json_array_append_new(a, json_string(list[i]));
    return a;
}

json_t *gw_plan_json(const struct gw_plan *p)
{
    json_t *choices = json_array(), *uri = json_string(p->uri);

    if (!uri) /* invalid UTF-8 */
        uri = json_string(gw_shown(p->uri));
    for (unsigned i = 0; i < p->advice.count; i++)
        json_array_append_new(choices, json_pack("{sssoso}", "name", p->advice.choice[i].name, "set", set_json(&p->advice.choice[i].set),
                                                 "forecast", forecast_json(&p->advice.choice[i].forecast)));
    return json_pack("{sosssosososssssososo}", "uri", uri, "source", p->server, "measured", measured_json(p), "set", set_json(&p->set),
                     "forecast", forecast_json(&p->now), "best", p->advice.choice[0].name, "why", p->advice.why, "choices", choices,
                     "unknown", texts_json(p->unknown, p->unknown_count), "left-out", texts_json(p->left_out, p->left_out_count));
}

/* ---- beside what happened ------------------------------------------------------------------------------------------ */

struct fact {
    const char *name, *key;
    const struct gw_forecast_range *foreseen;
    double unit, happened;
    human to_text;
};

/* Fills three; none for a migration that did not complete. */
static void facts(const struct gw_plan *p, const json_t *info, struct fact f[3])
{
    double us = gw_ctl_number(info, "x-godwit.downtime-us");

    f[0] = (struct fact){"time", "total-ms", &p->now.total_ns, 1e6, gw_ctl_number(info, "total-time"), gw_human_ms};
    f[1] = (struct fact){"downtime", "downtime-ms", &p->now.downtime_ns, 1e6, us > 0 ? us / 1e3 : gw_ctl_number(info, "downtime"), gw_human_ms};
    f[2] = (struct fact){"bytes", "bytes", &p->now.bytes, 1, gw_ctl_number(info, "ram.transferred"), gw_human_bytes};
}

static const char *where(const struct fact *f)
{
    double x = f->happened * f->unit;

    return x < f->foreseen->low ? "less" : x > f->foreseen->high ? "more" : "as predicted";
}

static bool completed(const json_t *info)
{
    return !strcmp(gw_ctl_text(info, "status", ""), "completed");
}

void gw_plan_print_beside(const struct gw_plan *p, const json_t *info)
{
    char foreseen[128], happened[GW_HUMAN];
    struct fact f[3];

    facts(p, info, f);
    snprintf(foreseen, sizeof foreseen, "%s (%.0f of 100)", answers[p->now.converges], p->now.certainty * 100);
    printf("\n            %-38s %s\n", "predicted (nine of ten from, to)", "happened");
    printf("converges   %-38s %s\n", foreseen, completed(info) ? "yes" : "no");
    for (unsigned i = 0; i < 3 && completed(info); i++) {
        bool any = p->now.certainty > 0;

        if (any)
            range_text(f[i].foreseen, f[i].unit, f[i].to_text, foreseen, sizeof foreseen);
        printf("%-11s %-38s %-12s %s\n", f[i].name, any ? foreseen : "-", f[i].to_text(happened, f[i].happened), any ? where(&f[i]) : "");
    }
}

json_t *gw_plan_beside_json(const struct gw_plan *p, const json_t *info)
{
    json_t *o = forecast_json(&p->now), *happened = json_pack("{sb}", "converged", completed(info));
    struct fact f[3];

    facts(p, info, f);
    for (unsigned i = 0; i < 3 && completed(info); i++)
        json_object_set_new(happened, f[i].key, json_real(f[i].happened));
    json_object_set_new(o, "happened", happened);
    return o;
}
