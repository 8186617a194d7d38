/* SPDX-License-Identifier: MIT
 *
 * farewell: what can be learned from a connection about the last thing that was said on it.
 */
#ifndef GW_CHANNEL_FAREWELL_H
#define GW_CHANNEL_FAREWELL_H

#include "godwit/channel.h"
#include "godwit/clock.h"

/* After the last write: takes in what still comes, and looks at nothing of it, until the other side closes, at most
 * until deadline_ns on this clock. 1: it has closed in good order, and its host has everything; 0: it has everything,
 * and has not closed. An error: a reset, or bytes of ours that its host has not acknowledged (a unix socket: that it
 * has not read), so that nobody here knows what it heard. Whether a host that acknowledged has told its program, no
 * connection says. Leaves the channel with another time-out. The thread that reads and writes it. */
int gw_channel_farewell(struct gw_channel *ch, const struct gw_clock *clock, uint64_t deadline_ns,
                        struct gw_error *err);

#endif
