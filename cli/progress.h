/* SPDX-License-Identifier: MIT
 *
 * progress: shows the progress of long operations on one line of the terminal (standard error). All commands use it.
 *
 *     active  37%  1.49 GiB of 4.00 GiB  110 MiB/s  ETA 25 s  dirty 12.0 MiB/s  round 1
 *
 * On a narrow terminal the least important fields are left out: percentage, ETA, phase, rate, bytes, then the caller's
 * own fields, in order of importance. The width is read at each draw, so a resized window takes effect with the next
 * one.
 *
 * Threads: one owner; gw_progress_clear also from others.
 */
#ifndef GODWIT_CLI_PROGRESS_H
#define GODWIT_CLI_PROGRESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <godwit/clock.h>

#define GW_PROGRESS_TEXT   512u
#define GW_PROGRESS_EXTRAS 6u
#define GW_PROGRESS_EXTRA  48u

/* The values at one moment. Bytes are double: QMP servers may send any number. */
struct gw_progress_at {
    const char *phase; /* "active", "verified" */
    double sent;       /* bytes so far; the rate is computed from them */
    double total;      /* 0: not known */
    double left;       /* of total; below 0: not known */
    double round;      /* `left` begins anew in another one */
    double dirty_per_s; /* rate at which `left` grows meanwhile */
    double told_per_s;  /* a rate reported by the machine, used until there is a measured one; 0: none */
    bool never;         /* the operation is known not to end under current conditions */
    char extra[GW_PROGRESS_EXTRAS][GW_PROGRESS_EXTRA]; /* more fields, the most important first; empty: none */
};

struct gw_progress_line {
    const struct gw_clock *clock; /* NULL: the system clock */
    FILE *to;
    bool on;
    atomic_bool drawn;
    uint64_t next_ns; /* earliest time of the next draw; 0: not begun */
    char phase[32];   /* phase of the last draw */
    /* Speeds: of sent bytes, and of the decrease of `left`. Zero pages make the second one larger. */
    bool begun;
    uint64_t at_ns;
    double sent, left, round;
    struct gw_progress_speed {
        double per_s, over_s; /* smoothed; how long it was measured, 0: not known */
    } sent_speed, left_speed;
};

/* wanted: no --quiet, no --json. Nothing is drawn if standard error is not a terminal. */
void gw_progress_init(struct gw_progress_line *line, bool wanted);
/* Adds a sample and draws: at once if the phase changed, else at most five times a second. Operations shorter than a
 * fifth of a second are not drawn. */
void gw_progress_show(struct gw_progress_line *line, const struct gw_progress_at *at);
/* Erases the line. To be called before anything else is written to the terminal. */
void gw_progress_clear(struct gw_progress_line *line);

/* The following functions are public for tests and other displays. */
void gw_progress_sample(struct gw_progress_line *line, const struct gw_progress_at *at, uint64_t now_ns);
/* Percentage done, rounded down; -1: not known. */
int gw_progress_percent(const struct gw_progress_at *at);
/* Seconds to the end: left / (speed - dirty). GW_PROGRESS_UNKNOWN; GW_PROGRESS_NEVER: the guest writes as fast as it is sent. */
#define GW_PROGRESS_UNKNOWN (-1.0)
#define GW_PROGRESS_NEVER   (-2.0)
double gw_progress_eta_s(const struct gw_progress_line *line, const struct gw_progress_at *at);
/* At most columns - 1 wide: a line that wraps could not be erased. Returns buf. */
const char *gw_progress_text(const struct gw_progress_line *line, const struct gw_progress_at *at, unsigned columns,
                             char buf[GW_PROGRESS_TEXT]);
/* The terminal's width; COLUMNS if that is less or the width is unknown; else 80. */
unsigned gw_progress_columns(int fd);

#endif
