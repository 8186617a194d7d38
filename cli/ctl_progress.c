/* SPDX-License-Identifier: MIT */
#include "ctl_progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define SAMPLE_S 0.5

void gw_progress_erase(struct gw_progress *p)
{
    if (p->drawn)
        fprintf(stderr, "\r\033[K");
    p->drawn = false;
}

/* A figure of memory and disks together. */
static double both(const json_t *info, const char *key)
{
    return gw_ctl_number(json_object_get(info, "ram"), key) + gw_ctl_number(json_object_get(info, "disk"), key);
}

/* A godwit's ram.transferred is all that was sent. */
static double sent_bytes(const json_t *info)
{
    return json_object_get(info, "x-godwit") ? gw_ctl_number(info, "ram.transferred") : both(info, "transferred");
}

/* What is left shrinks faster than bytes are sent where pages are zeros, so both speeds are taken. A round that ended
 * in between says nothing about the second. */
static void sample(struct gw_progress *p, const json_t *info)
{
    double sent = sent_bytes(info), left = both(info, "remaining");
    double round = gw_ctl_number(info, "ram.dirty-sync-count"), s = (double)(gw_now_ns(&gw_clock_real) - p->at_ns) / 1e9;

    if (!p->at_ns)
        p->sent_per_s = gw_ctl_number(info, "ram.mbps") * 1e6 / 8;
    if (p->at_ns && s < SAMPLE_S)
        return;
    if (p->at_ns)
        p->sent_per_s = (sent - p->sent) / s;
    if (p->at_ns && round == p->round && left < p->left)
        p->left_per_s = (p->left - left) / s;
    p->at_ns = gw_now_ns(&gw_clock_real);
    p->sent = sent;
    p->left = left;
    p->round = round;
}

/* While `left` is sent, more gets dirty, and while that is sent ... A godwit knows better whether that ends. */
static const char *eta(const struct gw_progress *p, const json_t *info, char buf[GW_HUMAN], double left, double dirty)
{
    double speed = p->left_per_s > p->sent_per_s ? p->left_per_s : p->sent_per_s;

    if (p->is_stuck || !strcmp(gw_ctl_text(info, "x-godwit.converges", ""), "no"))
        snprintf(buf, GW_HUMAN, "never at this rate");
    else if (speed <= 0)
        snprintf(buf, GW_HUMAN, "?");
    else if (speed <= dirty)
        snprintf(buf, GW_HUMAN, "never at this rate");
    else if (left / (speed - dirty) < 1)
        snprintf(buf, GW_HUMAN, "< 1 s");
    else
        gw_human_ms(buf, left / (speed - dirty) * 1000);
    return buf;
}

static unsigned columns(void)
{
    struct winsize w;

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col ? w.ws_col : 80;
}

void gw_progress_draw(struct gw_progress *p, const json_t *info)
{
    double total = both(info, "total"), left = both(info, "remaining");
    double dirty = gw_ctl_number(info, "ram.dirty-pages-rate") * gw_ctl_number(info, "ram.page-size");
    const char *state = gw_ctl_text(info, "status", "starting");
    char a[GW_HUMAN], b[GW_HUMAN], c[GW_HUMAN], d[GW_HUMAN], e[GW_HUMAN], f[GW_HUMAN], throttle[32] = "", line[320];

    if (!p->on)
        return;
    gw_progress_erase(p);
    p->drawn = true;
    snprintf(line, sizeof line, "%s", state);
    if (json_object_get(info, "ram")) {
        sample(p, info);
        if (json_object_get(info, "cpu-throttle-percentage"))
            snprintf(throttle, sizeof throttle, ", throttle %.0f%%", gw_ctl_number(info, "cpu-throttle-percentage"));
        snprintf(line, sizeof line,
                 "%3.0f%%  %s sent, %s left, %s/s, dirty %s/s, ETA %s, downtime ~%s%s, round %.0f%s%s",
                 total > 0 ? 100 * (1 - left / total) : 0, gw_human_bytes(a, sent_bytes(info)),
                 gw_human_bytes(b, left), gw_human_bytes(c, p->sent_per_s), gw_human_bytes(d, dirty),
                 eta(p, info, e, left, dirty), gw_human_ms(f, gw_ctl_number(info, "expected-downtime")), throttle,
                 gw_ctl_number(info, "ram.dirty-sync-count"), strcmp(state, "active") ? ", " : "",
                 strcmp(state, "active") ? state : "");
    }
    /* A line that wraps could not be erased. */
    fprintf(stderr, "%.*s", (int)columns() - 1, line);
}
