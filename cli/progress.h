/* SPDX-License-Identifier: MIT
 *
 * progress: how far long work is, on one line of the terminal that is standard error. All commands use it.
 *
 *     active  37%  1.49 GiB of 4.00 GiB  110 MiB/s  ETA 25 s  dirty 12.0 MiB/s  round 1
 *
 * On a narrow terminal the least important fields are left out: percentage, ETA, phase, rate, bytes is the order in which they stay,
 * the caller's own come behind these. The width is asked for at each draw, so a resized window counts from the next one on.
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

/* What is known at one moment. Bytes are double: QMP servers tell them as any number. */
struct gw_progress_at {
    const char *phase; /* "active", "verified" */
    double sent;       /* so far; the rate is of these */
    double total;      /* 0: not known */
    double left;       /* of total; below 0: not known */
    double round;      /* `left` begins anew in another one */
    double dirty_per_s; /* that `left` grows by meanwhile */
    double told_per_s;  /* a rate measured by the machine, used until there is one of our own; 0: none */
    bool never;         /* it is known that it does not end as things are */
    char extra[GW_PROGRESS_EXTRAS][GW_PROGRESS_EXTRA]; /* more fields, the most important first; empty: none */
};

struct gw_progress_line {
    const struct gw_clock *clock; /* NULL: the system's */
    FILE *to;
    bool on;
    atomic_bool drawn;
    uint64_t next_ns; /* when it may be drawn again; 0: not begun */
    char phase[32];   /* of the last draw */
    /* The speeds: of what is sent, and at which `left` shrinks. Pages of zeros make the second one larger. */
    bool begun;
    uint64_t at_ns;
    double sent, left, round;
    struct gw_progress_speed {
        double per_s, over_s; /* smoothed; the time that it was seen for, 0: not known */
    } sent_speed, left_speed;
};

/* wanted: no --quiet, no --json. Nothing is drawn where standard error is no terminal. */
void gw_progress_init(struct gw_progress_line *line, bool wanted);
/* Takes the sample in and draws: at once where the phase is another one, else five times a second at most. What is over within a
 * fifth of a second is not drawn at all. */
void gw_progress_show(struct gw_progress_line *line, const struct gw_progress_at *at);
/* Takes the line away. To be called before anything else is written to the terminal. */
void gw_progress_clear(struct gw_progress_line *line);

/* The parts. */
void gw_progress_sample(struct gw_progress_line *line, const struct gw_progress_at *at, uint64_t now_ns);
/* Percentage that is done, rounded down; -1: not known. */
int gw_progress_percent(const struct gw_progress_at *at);
/* Seconds to the end: left / (speed - dirty). GW_PROGRESS_UNKNOWN; GW_PROGRESS_NEVER: the guest writes as fast as it is sent. */
#define GW_PROGRESS_UNKNOWN (-1.0)
#define GW_PROGRESS_NEVER   (-2.0)
double gw_progress_eta_s(const struct gw_progress_line *line, const struct gw_progress_at *at);
/* At most columns - 1 wide: a line that wraps could not be taken away. Returns buf. */
const char *gw_progress_text(const struct gw_progress_line *line, const struct gw_progress_at *at, unsigned columns,
                             char buf[GW_PROGRESS_TEXT]);
/* The terminal's width; COLUMNS where that is less or the terminal does not tell its own; else 80. */
unsigned gw_progress_columns(int fd);

#endif
