/* SPDX-License-Identifier: MIT */
#include "progress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "human.h"
#include "options.h"

#define DRAW_NS     200000000ull
#define SAMPLE_S    0.5 /* shorter intervals give no meaningful rate */
#define SMOOTH_S    6.0 /* values older than this have a weight below 1/e */
#define COLUMNS     80u
#define COLUMNS_MAX 4096u
#define FIELDS      (5u + GW_PROGRESS_EXTRAS)

/* ---- speeds ------------------------------------------------------------------------------------------------------ */

/* The mean at first, then a moving average in which old values fade. */
static void smooth(struct gw_progress_speed *speed, double bytes, double s)
{
    double weight = 1 - exp(-s / SMOOTH_S), mean = s / (speed->over_s + s);

    speed->per_s += (bytes / s - speed->per_s) * (mean > weight ? mean : weight);
    speed->over_s += s;
}

static void begin(struct gw_progress_line *line, const struct gw_progress_at *at, uint64_t now_ns)
{
    line->begun = true;
    line->at_ns = now_ns;
    line->sent = at->sent;
    line->left = at->left;
    line->round = at->round;
}

void gw_progress_sample(struct gw_progress_line *line, const struct gw_progress_at *at, uint64_t now_ns)
{
    double s = (double)(now_ns - line->at_ns) / 1e9;

    if (!line->begun || at->sent < line->sent) { /* another operation has begun */
        line->sent_speed = line->left_speed = (struct gw_progress_speed){0};
        begin(line, at, now_ns);
        return;
    }
    if (at->sent <= 0) /* nothing sent yet: waiting time is not part of the rate */
        begin(line, at, now_ns);
    if (s < SAMPLE_S || at->sent <= 0)
        return;
    smooth(&line->sent_speed, at->sent - line->sent, s);
    if (at->left >= 0 && line->left >= at->left && at->round == line->round)
        smooth(&line->left_speed, line->left - at->left, s);
    begin(line, at, now_ns);
}

static double rate(const struct gw_progress_line *line, const struct gw_progress_at *at)
{
    return line->sent_speed.over_s > 0 ? line->sent_speed.per_s : at->told_per_s;
}

int gw_progress_percent(const struct gw_progress_at *at)
{
    double percent;

    if (!(at->total > 0) || !(at->left >= 0))
        return -1;
    percent = 100 * (1 - at->left / at->total);
    return percent < 0 ? 0 : (int)(percent + 1e-9);
}

double gw_progress_eta_s(const struct gw_progress_line *line, const struct gw_progress_at *at)
{
    double speed = rate(line, at);

    if (line->left_speed.over_s > 0 && line->left_speed.per_s > speed)
        speed = line->left_speed.per_s;
    if (at->never)
        return GW_PROGRESS_NEVER;
    if (!(at->total > 0) || !(at->left >= 0) || speed < 1)
        return at->total > 0 && at->left == 0 ? 0 : GW_PROGRESS_UNKNOWN;
    return speed > at->dirty_per_s ? at->left / (speed - at->dirty_per_s) : GW_PROGRESS_NEVER;
}

/* ---- the text ---------------------------------------------------------------------------------------------------- */

struct field {
    char text[96];
    unsigned importance; /* 0: dropped last; meaningless without a text */
};

static size_t width(const struct field *fields)
{
    size_t n = 0;

    for (unsigned i = 0; i < FIELDS; i++)
        if (fields[i].text[0])
            n += strlen(fields[i].text) + (n ? 2 : 0);
    return n;
}

static unsigned shown(const struct field *fields)
{
    unsigned n = 0;

    for (unsigned i = 0; i < FIELDS; i++)
        n += fields[i].text[0] != 0;
    return n;
}

static void drop_least(struct field *fields)
{
    struct field *least = NULL;

    for (unsigned i = 0; i < FIELDS; i++)
        if (fields[i].text[0] && (!least || fields[i].importance > least->importance))
            least = &fields[i];
    if (least)
        least->text[0] = 0;
}

/* In the order on the line. */
static void fill(const struct gw_progress_line *line, const struct gw_progress_at *at, struct field *fields)
{
    double eta_s = gw_progress_eta_s(line, at), per_s = rate(line, at);
    char a[GW_HUMAN], b[GW_HUMAN];
    int percent = gw_progress_percent(at);

    fields[0].importance = 2;
    snprintf(fields[0].text, sizeof fields[0].text, "%s", at->phase);
    for (unsigned i = 0; i < GW_PROGRESS_EXTRAS; i++) {
        fields[5 + i].importance = 5 + i;
        snprintf(fields[5 + i].text, sizeof fields[0].text, "%s", at->extra[i]);
    }
    fields[1].importance = 0;
    fields[2].importance = 4;
    fields[3].importance = 3;
    fields[4].importance = 1;
    if (percent >= 0)
        snprintf(fields[1].text, sizeof fields[0].text, "%d%%", percent);
    if (percent >= 0)
        snprintf(fields[2].text, sizeof fields[0].text, "%s of %s", gw_human_bytes(a, at->total - at->left),
                 gw_human_bytes(b, at->total));
    else if (at->sent > 0)
        snprintf(fields[2].text, sizeof fields[0].text, "%s", gw_human_bytes(a, at->sent));
    if (percent < 0 && !(at->sent > 0))
        return;
    if (per_s > 0)
        snprintf(fields[3].text, sizeof fields[0].text, "%s/s", gw_human_bytes(a, per_s));
    snprintf(fields[4].text, sizeof fields[0].text, "ETA %s",
             eta_s == GW_PROGRESS_NEVER     ? "never"
             : eta_s == GW_PROGRESS_UNKNOWN ? "-"
                                            : gw_human_eta(a, eta_s));
}

const char *gw_progress_text(const struct gw_progress_line *line, const struct gw_progress_at *at, unsigned columns,
                             char buf[GW_PROGRESS_TEXT])
{
    struct field fields[FIELDS] = {0};
    size_t n = 0, room = columns < 2 ? 1 : columns - 1;

    fill(line, at, fields);
    if (room > GW_PROGRESS_TEXT - 1)
        room = GW_PROGRESS_TEXT - 1;
    while (width(fields) > room && shown(fields) > 1)
        drop_least(fields);
    buf[0] = 0;
    for (unsigned i = 0; i < FIELDS; i++)
        if (fields[i].text[0])
            n += (size_t)snprintf(buf + n, GW_PROGRESS_TEXT - n, "%s%s", n ? "  " : "", fields[i].text);
    if (n > room) {
        while (room && (buf[room] & 0xc0) == 0x80) /* not in the middle of a character */
            room--;
        buf[room] = 0;
    }
    return buf;
}

/* ---- the terminal ------------------------------------------------------------------------------------------------ */

unsigned gw_progress_columns(int fd)
{
    const char *text = getenv("COLUMNS");
    struct winsize w;
    uint64_t told = 0;
    unsigned columns = ioctl(fd, TIOCGWINSZ, &w) == 0 ? w.ws_col : 0;

    if (text && gw_option_number(text, 1, COLUMNS_MAX, &told) && (!columns || told < columns))
        columns = (unsigned)told;
    return columns ? columns : COLUMNS;
}

void gw_progress_init(struct gw_progress_line *line, bool wanted)
{
    *line = (struct gw_progress_line){.to = stderr, .on = wanted && isatty(STDERR_FILENO)};
}

void gw_progress_show(struct gw_progress_line *line, const struct gw_progress_at *at)
{
    uint64_t now_ns = gw_now_ns(line->clock ? line->clock : &gw_clock_real);
    char buf[GW_PROGRESS_TEXT];

    if (!line->on)
        return;
    if (strncmp(line->phase, at->phase, sizeof line->phase - 1)) {
        snprintf(line->phase, sizeof line->phase, "%s", at->phase);
        if (line->next_ns)
            line->next_ns = now_ns;
    }
    gw_progress_sample(line, at, now_ns);
    if (!line->next_ns)
        line->next_ns = now_ns + DRAW_NS;
    if (now_ns < line->next_ns)
        return;
    line->next_ns = now_ns + DRAW_NS;
    atomic_store(&line->drawn, true);
    fprintf(line->to, "\r%s\033[K", gw_progress_text(line, at, gw_progress_columns(fileno(line->to)), buf));
    fflush(line->to);
}

void gw_progress_clear(struct gw_progress_line *line)
{
    if (!atomic_exchange(&line->drawn, false))
        return;
    fputs("\r\033[K", line->to);
    fflush(line->to);
}
