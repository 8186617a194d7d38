/* SPDX-License-Identifier: MIT
 *
 * feed: gives a program the zstd frames that a file has, and nothing of what lies behind the last one. The program refuses
 * whatever else follows a frame, and a volume is larger than what was saved into it.
 *
 * Frames are found by their heads and the sizes of their blocks (RFC 8878, 3.1); what they hold is for the program to check. What is
 * damaged is passed on as it is, so that the program says so.
 *
 * Threads: one of its own, from start to end.
 */
#ifndef GW_IMAGE_FEED_H
#define GW_IMAGE_FEED_H

#include "base/base.h"

struct gw_feed;

/* Reads fd from its position on; fd stays the caller's and must stay open. Takes `to`, a pipe, and closes it when all was given, or
 * if it fails. -ENOMEM, -EAGAIN: no thread. */
int gw_feed_start(int fd, int to, struct gw_feed **ret, struct gw_error *err);
/* Waits for its end: the reader of the pipe has ended, or has got everything. -EIO: the file could not be read. Takes NULL. */
int gw_feed_end(struct gw_feed *f, struct gw_error *err);

#endif
