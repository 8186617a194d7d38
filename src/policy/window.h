/* SPDX-License-Identifier: MIT
 *
 * window: how fast is the link? Measured from windows of 100 ms, as bytes and pages over the time spent moving them.
 *
 * What to feed: after each step, the bytes that left (what they took off what is pending, and what they were on the wire),
 * the pages that they stand for, and the time that the step took,
 * sleeping for the rate limit included (a rate limit is a property of the link as far as a round is concerned), dirty
 * syncs, decisions and waiting for something else excluded. On a socket with a deep queue the bytes are those written
 * less what the queue grew by; the queue itself is gw_switch_in.in_flight_bytes.
 *
 * Where pages are coded the two kinds of bytes differ. What is pending is counted in pages as they are, so the link's rate is
 * in them too: a page of 4096 bytes that went as 400 counts 4096. An estimate of what the pending pages will be when coded
 * would do as well for a link that is slower than the coding, but not where the processor is the slower one; the rate at
 * which pages really went is right for both. Zero pages count what their records are: they are quick, and how many of them
 * come next is not known.
 *
 * What comes out: `typical` (the median of what is kept) for durations and statistics, and `low` for promises: of all
 * stretches of about the span asked for, the rate that nine in ten beat, no more than the latest, less a tenth.
 *
 * A window in which next to nothing moved proves nothing and is left out, unless it goes on for a second; a window that
 * was held up (one step of 3 s) counts several times, for it stands for several. Steps of a few bytes that took no time are left
 * out as well: with nothing to send but what waits for the end (dirty bitmaps), they would soon be all that is known of the link.
 *
 * Pure: no clock, no allocation; the same calls give the same answers. One owner.
 */
#ifndef GW_WINDOW_H
#define GW_WINDOW_H

#include "base/base.h"

#define GW_WINDOW_NS         (100 * GW_NS_PER_MS)
#define GW_WINDOW_KEPT       32u    /* 3.2 s */
#define GW_WINDOW_IDLE_BYTES 10000u /* a window with less is not an answer */

struct gw_window_sample {
    uint64_t bytes;      /* of pages as they are, and of all else as it went */
    uint64_t wire_bytes; /* that really went */
    uint64_t pages, ns;
};

struct gw_window {
    struct gw_window_sample open;                 /* the window under way */
    struct gw_window_sample kept[GW_WINDOW_KEPT]; /* a ring */
    uint64_t ended;                               /* samples ever put into the ring */
};

struct gw_bandwidth {
    bool known; /* a window has ended; before, low and typical are 1/4 and 3/4 of what the open one shows */
    uint64_t low_bytes_per_s; /* for promises */
    uint64_t typical_bytes_per_s;
    uint64_t latest_bytes_per_s; /* of the last window */
    uint64_t pages_per_s;        /* of the last window */
    uint64_t bytes, wire_bytes;  /* of all windows kept: so much went as so much; 0: unknown, the same */
};

void gw_window_init(struct gw_window *w);
/* One step. True when a window ended. */
bool gw_window_add(struct gw_window *w, const struct gw_window_sample *step);
/* The end of a pass: ends the open window now if it has seen enough to be worth something (5 ms and 1 MiB), so that a
 * small machine need not wait for its first one. True when it ended. */
bool gw_window_flush(struct gw_window *w);
/* span_ns: how long the transfer will take for which `low` is wanted (the downtime limit). */
void gw_window_estimate(const struct gw_window *w, uint64_t span_ns, struct gw_bandwidth *ret);
/* Million bits a second of the last window, on the wire. */
double gw_window_mbps(const struct gw_window *w);

/* bytes * 10^9 / ns without overflow, saturating; 0 when ns is 0. */
uint64_t gw_rate_per_s(uint64_t bytes, uint64_t ns);
/* How long `bytes` take at that rate; UINT64_MAX when the rate is 0 and there are bytes. */
uint64_t gw_time_for(uint64_t bytes, uint64_t bytes_per_s);

#endif
