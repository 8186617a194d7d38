/* SPDX-License-Identifier: MIT
 *
 * window: measures the link's bandwidth in windows of 100 ms, as bytes and pages over the time spent sending them.
 *
 * Input: after each step, the bytes sent (counted as pending bytes, and as bytes on the wire), the number of pages, and
 * the time of the step. The time includes sleeping for the rate limit, which acts like a property of the link; it
 * excludes dirty syncs, decisions and other waits. On a socket with a deep queue the bytes are those written minus the
 * growth of the queue; the queue itself is gw_switch_in.in_flight_bytes.
 *
 * With compression the two counts differ. Pending bytes are counted at uncompressed size, so the bandwidth uses that
 * unit too: a page of 4096 bytes that went as 400 counts 4096. Estimating the compressed size of the pending pages
 * would also work if the link is slower than the codec, but not if the processor is; the rate at which pages were
 * really sent is correct for both. Zero pages count as the size of their records: they are fast, and their future share
 * is unknown.
 *
 * Output: `typical` (the median of the kept windows) for durations and statistics, and `low` for keeping the downtime
 * limit: the rate that nine in ten spans of about the requested length exceed, at most the latest, minus a tenth.
 *
 * A window with almost no bytes is ignored, unless it lasts for a second; a window with a long step (3 s) counts
 * several times, because it covers several. Very small, fast steps are ignored as well: when only data for the end is
 * left (dirty bitmaps), the measurements would soon consist of them alone.
 *
 * Pure: no clock, no allocation; the same calls give the same answers. One owner.
 */
#ifndef GW_WINDOW_H
#define GW_WINDOW_H

#include "base/base.h"

#define GW_WINDOW_NS         (100 * GW_NS_PER_MS)
#define GW_WINDOW_KEPT       32u    /* 3.2 s */
#define GW_WINDOW_IDLE_BYTES 10000u /* a window with fewer bytes is no measurement */

struct gw_window_sample {
    uint64_t bytes;      /* pages at uncompressed size, everything else as sent */
    uint64_t wire_bytes; /* bytes on the wire */
    uint64_t pages, ns;
};

struct gw_window {
    struct gw_window_sample open;                 /* the current window */
    struct gw_window_sample kept[GW_WINDOW_KEPT]; /* a ring */
    uint64_t ended;                               /* samples ever stored */
};

struct gw_bandwidth {
    bool known; /* a window has ended; before that, low and typical are 1/4 and 3/4 of the open window's rate */
    uint64_t low_bytes_per_s; /* for keeping the downtime limit */
    uint64_t typical_bytes_per_s;
    uint64_t latest_bytes_per_s; /* of the last window */
    uint64_t pages_per_s;        /* of the last window */
    uint64_t bytes, wire_bytes;  /* of all kept windows: uncompressed bytes, and their bytes on the wire; 0: unknown, assume equal */
};

void gw_window_init(struct gw_window *w);
/* One step. True when a window ended. */
bool gw_window_add(struct gw_window *w, const struct gw_window_sample *step);
/* The end of a pass: ends the open window now if it has enough data (5 ms and 1 MiB), so that a small machine does not
 * wait for its first one. True when it ended. */
bool gw_window_flush(struct gw_window *w);
/* span_ns: the expected length of the transfer for which `low` is needed (the downtime limit). */
void gw_window_estimate(const struct gw_window *w, uint64_t span_ns, struct gw_bandwidth *ret);
/* Megabits per second of the last window, on the wire. */
double gw_window_mbps(const struct gw_window *w);

/* bytes * 10^9 / ns without overflow, saturating; 0 when ns is 0. */
uint64_t gw_rate_per_s(uint64_t bytes, uint64_t ns);
/* How long `bytes` take at that rate; UINT64_MAX when the rate is 0 and there are bytes. */
uint64_t gw_time_for(uint64_t bytes, uint64_t bytes_per_s);

#endif
