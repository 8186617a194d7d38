/* SPDX-License-Identifier: MIT
 *
 * farewell: whether the peer's host has received the last message of a connection.
 */
#ifndef GW_CHANNEL_FAREWELL_H
#define GW_CHANNEL_FAREWELL_H

#include "godwit/channel.h"
#include "godwit/clock.h"

/* Call it after the last write: reads and discards data until the other side closes, at most until deadline_ns on this
 * clock. 1: it closed in order, and its host has everything; 0: its host has everything, but it has not closed. An error: a
 * reset, or bytes that its host has not acknowledged (unix: that it has not read), so it is not known whether the message
 * arrived. An acknowledgement does not prove that the peer's program has read the message. Changes the channel's time-out.
 * Call it on the thread that reads and writes the channel. */
int gw_channel_farewell(struct gw_channel *ch, const struct gw_clock *clock, uint64_t deadline_ns,
                        struct gw_error *err);

#endif
