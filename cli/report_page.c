/* SPDX-License-Identifier: MIT
 *
 * The report as one HTML file: no scripts, nothing loaded. It is also well-formed XML.
 */
#include <math.h>
#include <string.h>

#include "human.h"
#include "report.h"
#include "svg.h"

#define WIDE    GW_PAGE_WIDE
#define NARROW  GW_PAGE_NARROW
#define SAMPLES 2000
#define ROUNDS  200

static const char style[] =
    "*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"
    "'Segoe UI',Roboto,'DejaVu Sans',sans-serif}\n"
    "main{max-width:1064px;margin:0 auto;padding:28px 32px 48px}h1{font-size:30px;line-height:1.2;margin:0 0 6px;"
    "letter-spacing:-.01em}h2{font-size:18px;margin:40px 0 4px}h1 span{display:block;color:var(--soft);font-weight:400}\n"
    "p{margin:0 0 10px}.soft,figcaption,caption{color:var(--soft)}.way{overflow-wrap:anywhere}.why{color:var(--bad);"
    "font-weight:600;overflow-wrap:anywhere;border-left:4px solid var(--bad);padding:2px 0 2px 12px;margin:12px 0}\n"
    ".tiles{display:grid;grid-template-columns:repeat(4,1fr);gap:12px;margin:24px 0 0;padding:0}.tiles div{background:var(--card);"
    "border:1px solid var(--rule);border-radius:10px;padding:12px 16px}.tiles dt{color:var(--soft);font-size:13px}"
    ".tiles dd{margin:0;font-size:13px;color:var(--soft)}.tiles dd.big{font-size:26px;line-height:1.25;font-weight:650;"
    "color:var(--ink);font-variant-numeric:tabular-nums}\n"
    "figure{margin:0}figcaption{font-size:13px;margin-top:4px}figure svg{display:block;max-width:100%;height:auto}"
    "svg.narrow{display:none!important}.pair{display:grid;grid-template-columns:1fr 1fr;gap:0 40px}\n"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;font-size:14px;width:100%}th,td{text-align:left;padding:5px 14px 5px 0;"
    "border-bottom:1px solid var(--rule);vertical-align:top}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;"
    "white-space:nowrap}th{font-weight:600}td{overflow-wrap:anywhere}caption{text-align:left;font-size:13px;padding-bottom:6px}"
    "tbody th{font-weight:400}.rows th{width:44%;overflow-wrap:anywhere}details{margin-top:8px}summary{cursor:pointer;color:var(--c0)}ul{padding-left:20px;margin:6px 0}\n"
    "@media (max-width:700px){main{padding:20px 16px 40px}h1{font-size:23px}.tiles{grid-template-columns:1fr 1fr}"
    ".pair{grid-template-columns:1fr}svg.wide{display:none!important}svg.narrow{display:block!important}.tiles dd.big{font-size:21px}}\n"
    "@media print{details>*{display:block}}\n";

void gw_page_put(FILE *to, const char *before, const char *text, const char *after)
{
    fputs(before, to);
    gw_svg_escape(to, text);
    fputs(after, to);
}

void gw_page_begin(FILE *to, const char *more_style, const char *first, const char *second)
{
    fputs("<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\"><head><meta charset=\"utf-8\"/>\n"
          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"/>\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\"/>\n"
          "<meta name=\"generator\" content=\"godwit\"/><link rel=\"icon\" href=\"data:,\"/>\n",
          to);
    gw_page_put(to, "<title>", first, "");
    gw_page_put(to, *second ? ", " : "", second, "</title>\n");
    fprintf(to, "<style>\n%s%s%s</style></head>\n<body><main>\n", gw_report_style, style, more_style);
    gw_page_put(to, "<h1>", first, "");
    gw_page_put(to, *second ? "<span>" : "", second, *second ? "</span></h1>\n" : "</h1>\n");
}

static void put_head(FILE *to, const struct gw_report *r, const char *first, const char *second)
{
    gw_page_begin(to, "", first, second);
    gw_page_put(to, "<p class=\"soft way\">", r->machine, r->machine ? ": " : "");
    gw_page_put(to, "", r->server, r->to ? " to " : "");
    gw_page_put(to, "", r->to, r->when ? ", " : "");
    gw_page_put(to, "", r->when, "</p>\n");
    if (r->why)
        gw_page_put(to, "<p class=\"why\">", r->why, "</p>\n");
    if (r->end != GW_REPORT_COMPLETED && r->left)
        gw_page_put(to, "<p>The machine here is now <strong>", r->left, "</strong>.</p>\n");
}

void gw_page_tile(FILE *to, const char *name, const char *value, const char *more)
{
    gw_page_put(to, "<div><dt>", name, "</dt>");
    gw_page_put(to, "<dd class=\"big\">", value, "</dd>");
    gw_page_put(to, "<dd>", more, "</dd></div>\n");
}

static void put_tiles(FILE *to, const struct gw_report *r)
{
    char value[80], a[GW_HUMAN], b[GW_HUMAN], more[160];

    fputs("<dl class=\"tiles\">\n", to);
    snprintf(more, sizeof more, "%s%s", isnan(r->setup_ms) ? "" : "set-up ", isnan(r->setup_ms) ? "" : gw_human_ms(a, r->setup_ms));
    gw_page_tile(to, "Total time", isnan(r->total_ms) ? "not known" : gw_human_ms(value, r->total_ms), more);
    snprintf(more, sizeof more, "%s%s", isnan(r->downtime_limit_ms) ? "" : "limit ",
             isnan(r->downtime_limit_ms) ? "" : gw_human_ms(a, r->downtime_limit_ms));
    gw_page_tile(to, "Downtime", isnan(r->downtime_ms) ? "none" : gw_human_ms(value, r->downtime_ms), more);
    *more = 0;
    if (r->total_ms > 0 && !isnan(r->sent))
        snprintf(more, sizeof more, "%s/s on average", gw_human_bytes(b, r->sent / r->total_ms * 1000));
    gw_page_tile(to, "Sent", isnan(r->sent) ? "not known" : gw_human_bytes(value, r->sent), more);
    snprintf(value, sizeof value, "%.0f", r->rounds);
    gw_page_tile(to, "Rounds over memory", isnan(r->rounds) ? "not known" : value,
                 r->end == GW_REPORT_COMPLETED ? "converged" : "did not end");
    fputs("</dl>\n", to);
}

static void put_forecast(FILE *to, const struct gw_report *r)
{
    const struct {
        const char *name;
        double said, was;
        const char *(*shown)(char buf[GW_HUMAN], double v);
    } rows[] = {
        {"Total time", r->forecast.total_ms, r->total_ms, gw_human_ms},
        {"Downtime", r->forecast.downtime_ms, r->downtime_ms, gw_human_ms},
        {"Sent", r->forecast.sent, r->sent, gw_human_bytes},
        {"Rounds", r->forecast.rounds, r->rounds, gw_report_pages},
    };
    char a[GW_HUMAN];

    if (!r->forecast.known)
        return;
    fputs("<h2>Prediction and result</h2>\n<div class=\"scroll\"><table><thead><tr><th></th><th class=\"n\">predicted</th>"
          "<th class=\"n\">happened</th><th class=\"n\">happened / predicted</th></tr></thead><tbody>\n",
          to);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fprintf(to, "<tr><th>%s</th><td class=\"n\">%s</td>", rows[i].name,
                isnan(rows[i].said) ? "not said" : rows[i].shown(a, rows[i].said));
        fprintf(to, "<td class=\"n\">%s</td>", isnan(rows[i].was) ? "not known" : rows[i].shown(a, rows[i].was));
        if (rows[i].said > 0 && !isnan(rows[i].was))
            fprintf(to, "<td class=\"n\">%.2f</td></tr>\n", rows[i].was / rows[i].said);
        else
            fputs("<td class=\"n\"></td></tr>\n", to);
    }
    fputs("</tbody></table></div>\n", to);
}

static void put_chart(FILE *to, const struct gw_report *r, const char *title,
                      double (*draw)(FILE *, const struct gw_report *, double, double, double, const char *),
                      void (*caption)(FILE *, const struct gw_report *))
{
    fprintf(to, "<h2>%s</h2>\n<figure>", title);
    draw(to, r, 0, 0, WIDE, "wide");
    draw(to, r, 0, 0, NARROW, "narrow");
    fputs("<figcaption>", to);
    caption(to, r);
    fputs("</figcaption></figure>\n", to);
}

void gw_page_bar(FILE *to, const struct gw_report_split *s, const char *title,
                 const char *(*shown)(char *buf, double value), double wide)
{
    fprintf(to, "<div><h2>%s</h2>\n<figure>", title);
    gw_report_bar(to, s, title, shown, 0, 0, wide, "wide");
    gw_report_bar(to, s, title, shown, 0, 0, NARROW, "narrow");
    fputs("<figcaption>", to);
    gw_report_bar_caption(to, s, shown);
    fputs("</figcaption></figure></div>\n", to);
}

void gw_page_rows(FILE *to, const struct gw_report_rows *rows)
{
    fputs("<div class=\"scroll\"><table class=\"rows\"><tbody>\n", to);
    for (size_t i = 0; i < rows->count; i++) {
        bool noted = rows->row[i].note && *rows->row[i].note;

        gw_page_put(to, "<tr><th>", rows->row[i].name, "</th>");
        gw_page_put(to, "<td>", rows->row[i].value, noted ? " <span class=\"soft\">(" : "</td></tr>\n");
        if (noted)
            gw_page_put(to, "", rows->row[i].note, ")</span></td></tr>\n");
    }
    fputs("</tbody></table></div>\n", to);
}

static void put_rounds(FILE *to, const struct gw_report *r)
{
    char a[GW_HUMAN], b[GW_HUMAN], c[GW_HUMAN], d[GW_HUMAN], e[GW_HUMAN], name[40];

    if (!r->round_count)
        return;
    fprintf(to,
            "<details%s><summary>Each round in figures</summary><div class=\"scroll\"><table><thead><tr><th class=\"n\">round</th>"
            "<th class=\"n\">began after</th><th class=\"n\">took</th><th class=\"n\">remaining</th><th class=\"n\">limit</th>"
            "<th class=\"n\">sent</th><th class=\"n\">pages</th><th class=\"n\">of zeros</th><th class=\"n\">dirtied</th></tr></thead><tbody>\n",
            r->round_count <= 8 ? " open=\"open\"" : "");
    for (size_t i = 0; i < r->round_count; i++) {
        const struct gw_report_round *n = &r->round[i];

        snprintf(name, sizeof name, n->count > 1 ? "%.0f-%.0f" : "%.0f", n->first, n->first + n->count - 1);
        fprintf(to, "<tr><td class=\"n\">%s</td><td class=\"n\">%.3f s</td><td class=\"n\">%s</td><td class=\"n\">%s</td><td class=\"n\">%s</td>", name,
                n->began_s, gw_human_ms(b, n->duration_s * 1000), isnan(n->remaining) ? "" : gw_human_bytes(c, n->remaining),
                n->limit > 0 ? gw_human_bytes(d, n->limit) : "");
        fprintf(to, "<td class=\"n\">%s</td>", isnan(n->sent) ? "" : gw_human_bytes(a, n->sent));
        if (isnan(n->pages))
            fputs("<td></td><td></td>", to);
        else
            fprintf(to, "<td class=\"n\">%.0f</td><td class=\"n\">%.0f</td>", n->pages, n->zero_pages);
        fprintf(to, "<td class=\"n\">%s%s</td></tr>\n", isnan(n->dirty_per_s) ? "" : gw_human_bytes(e, n->dirty_per_s),
                isnan(n->dirty_per_s) ? "" : "/s");
    }
    fputs("</tbody></table></div></details>\n", to);
}

bool gw_report_page(FILE *to, struct gw_report *r)
{
    char first[200], second[100];

    gw_report_thin(r, SAMPLES, ROUNDS);
    gw_report_headline(r, first, second, sizeof second);
    put_head(to, r, first, second);
    put_tiles(to, r);
    put_forecast(to, r);
    put_chart(to, r, "Bandwidth and dirty rate", gw_report_timeline, gw_report_timeline_caption);
    put_chart(to, r, "Remaining memory by round", gw_report_remaining, gw_report_remaining_caption);
    put_rounds(to, r);
    gw_page_bar(to, &r->downtime_us, "Downtime by cause", gw_report_us, WIDE);
    fputs("<div class=\"pair\">\n", to);
    gw_page_bar(to, &r->pages, "Pages by kind", gw_report_pages, WIDE / 2 - 20);
    gw_page_bar(to, &r->bytes, "Bytes by kind", gw_report_bytes, WIDE / 2 - 20);
    fputs("</div>\n<h2>Settings</h2>\n", to);
    gw_page_rows(to, &r->settings);
    fputs("<h2>All figures</h2>\n<details><summary>Output of query-migrate at the end</summary>\n", to);
    gw_page_rows(to, &r->figures);
    fputs("</details>\n", to);
    gw_page_put(to, "<p class=\"soft\">", r->source, "</p>\n");
    if (r->notes.count) {
        fputs("<ul class=\"soft\">\n", to);
        for (size_t i = 0; i < r->notes.count; i++)
            gw_page_put(to, "<li>", r->notes.row[i].name, "</li>\n");
        fputs("</ul>\n", to);
    }
    fputs("</main></body></html>\n", to);
    return !ferror(to) && !r->figures.failed && !r->settings.failed && !r->notes.failed;
}
