/* SPDX-License-Identifier: MIT
 *
 * The report as one SVG picture, for embedding in another page. Every figure is in the HTML form; here are the charts,
 * the settings and what is not known.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "human.h"
#include "report.h"
#include "svg.h"

#define WIDTH   1200
#define INNER   1120
#define LEFT    40
#define SAMPLES 2000
#define ROUNDS  200

/* A text shortened to fit on a line, cut between characters. */
static void line(FILE *to, double *y, double step, const char *class, const char *text, size_t most)
{
    char cut[400];
    size_t n = strlen(text ? text : "");

    if (!n)
        return;
    most = most < sizeof cut - 4 ? most : sizeof cut - 4;
    if (n > most) {
        for (n = most; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80; n--)
            ;
        snprintf(cut, sizeof cut, "%.*s...", (int)n, text);
        text = cut;
    }
    *y += step;
    gw_svg_text(to, LEFT, *y, 's', class, "%s", text);
}

static void heading(FILE *to, double *y, const char *text)
{
    *y += 44;
    gw_svg_text(to, LEFT, *y, 's', "h2", "%s", text);
    *y += 12;
}

static double content(FILE *to, const struct gw_report *r)
{
    char first[200], second[100], text[700], a[GW_HUMAN], b[GW_HUMAN];
    double y = 24;

    gw_report_headline(r, first, second, sizeof second);
    line(to, &y, 34, "h1", first, 90);
    line(to, &y, 32, "h1 soft", second, 90);
    snprintf(text, sizeof text, "%s%s%s%s%s%s%s", r->machine ? r->machine : "", r->machine ? ": " : "", r->server ? r->server : "",
             r->to ? " to " : "", r->to ? r->to : "", r->when ? ", " : "", r->when ? r->when : "");
    line(to, &y, 28, "soft", text, 170);
    line(to, &y, 24, "bad", r->why, 160);
    snprintf(text, sizeof text, "%s sent, %.0f rounds%s%s", gw_human_bytes(a, isnan(r->sent) ? 0 : r->sent), isnan(r->rounds) ? 0 : r->rounds,
             isnan(r->downtime_limit_ms) ? "" : ", downtime limit ", isnan(r->downtime_limit_ms) ? "" : gw_human_ms(b, r->downtime_limit_ms));
    line(to, &y, 24, "strong", text, 160);
    if (r->forecast.known) {
        snprintf(text, sizeof text, "predicted: %s in all, downtime %s", isnan(r->forecast.total_ms) ? "?" : gw_human_ms(a, r->forecast.total_ms),
                 isnan(r->forecast.downtime_ms) ? "?" : gw_human_ms(b, r->forecast.downtime_ms));
        line(to, &y, 22, "", text, 160);
    }
    heading(to, &y, "Bandwidth and dirty rate");
    y += gw_report_timeline(to, r, LEFT, y, INNER, "chart");
    heading(to, &y, "Remaining memory by round");
    y += gw_report_remaining(to, r, LEFT, y, INNER, "chart");
    heading(to, &y, "Downtime by cause");
    y += gw_report_bar(to, &r->downtime_us, "Downtime by cause", gw_report_us, LEFT, y, INNER, "chart");
    heading(to, &y, "Pages by kind");
    y += gw_report_bar(to, &r->pages, "Pages by kind", gw_report_pages, LEFT, y, INNER, "chart");
    heading(to, &y, "Bytes by kind");
    y += gw_report_bar(to, &r->bytes, "Bytes by kind", gw_report_bytes, LEFT, y, INNER, "chart");
    heading(to, &y, "Settings");
    for (size_t i = 0; i < r->settings.count; i++) {
        const struct gw_report_row *s = &r->settings.row[i];
        bool noted = s->note && *s->note;

        snprintf(text, sizeof text, "%s: %s%s%s%s", s->name, s->value, noted ? " (" : "", noted ? s->note : "", noted ? ")" : "");
        line(to, &y, 20, "", text, 160);
    }
    y += 16;
    line(to, &y, 20, "soft", r->source, 170);
    for (size_t i = 0; i < r->notes.count; i++)
        line(to, &y, 20, "soft", r->notes.row[i].name, 170);
    return y + 32;
}

bool gw_report_sheet(FILE *to, struct gw_report *r)
{
    char *body = NULL, first[200], second[100];
    size_t bytes = 0;
    double height;
    bool good;
    FILE *memory = open_memstream(&body, &bytes);

    if (!memory)
        return false;
    gw_report_thin(r, SAMPLES, ROUNDS);
    height = content(memory, r);
    good = !ferror(memory);
    good = fclose(memory) == 0 && good;
    if (good) {
        gw_report_headline(r, first, second, sizeof second);
        fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n", to);
        gw_svg_begin(to, 0, 0, WIDTH, height, "sheet", first);
        fprintf(to, "<style>%ssvg text.h1{font-size:28px;font-weight:650}svg text.h2{font-size:17px;font-weight:600}"
                    "svg .page{fill:var(--bg)}svg .bad{fill:var(--bad);font-weight:600}</style>\n", gw_report_style);
        gw_svg_rect(to, 0, 0, WIDTH, height, "page", NULL);
        fwrite(body, 1, bytes, to);
        gw_svg_end(to);
    }
    free(body);
    return good && !ferror(to) && !r->settings.failed && !r->notes.failed;
}
