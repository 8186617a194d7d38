/* SPDX-License-Identifier: MIT
 *
 * beside: a second channel for positioned I/O on the file of another channel. Shutting one down does not affect the other.
 */
#ifndef GW_CHANNEL_BESIDE_H
#define GW_CHANNEL_BESIDE_H

#include "godwit/channel.h"

/* `of` is seekable, stays the caller's and must outlive the new channel. direct: bypass the page cache, if the file supports
 * that. Only for positioned I/O. */
int gw_channel_beside(struct gw_channel *of, bool direct, struct gw_channel **ret_channel, struct gw_error *err);

#endif
