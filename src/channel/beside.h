/* SPDX-License-Identifier: MIT
 *
 * beside: a channel for positioned I/O on the file that another channel is, which has a life of its own: shutting it down
 * leaves the other one alone.
 */
#ifndef GW_CHANNEL_BESIDE_H
#define GW_CHANNEL_BESIDE_H

#include "godwit/channel.h"

/* `of`, which is seekable, stays the caller's, and outlives the new one. direct: past the page cache, where its file can do
 * that. Streams are not moved through it. */
int gw_channel_beside(struct gw_channel *of, bool direct, struct gw_channel **ret_channel, struct gw_error *err);

#endif
