/* SPDX-License-Identifier: MIT
 *
 * zerocopy: sending on a TCP channel without copying bodies (MSG_ZEROCOPY). The kernel sends from the caller's memory, and
 * reports on the socket's error queue when it has released it.
 *
 *     writer --small pieces--> copied      --.
 *            --bodies--------> from memory --+--> socket
 *            <--released, up to here-- error queue
 *
 * If a body is written to meanwhile, old or new contents are sent. For devices that cannot send from memory (such as loopback)
 * the kernel copies after all, and reports that.
 *
 * Memory held by the kernel is locked, and counts against the user's limit (RLIMIT_MEMLOCK) unless the process has CAP_IPC_LOCK.
 * If other programs use up the limit, sends wait for earlier ones, or are copied.
 *
 * After a failure, and when it is freed early, the connection is reset with all queued data, so that the kernel does not send
 * from memory that was freed or reused.
 *
 * Threads: one owner, who is also the only one to write to the channel; missed by any.
 */
#ifndef GW_CHANNEL_ZEROCOPY_H
#define GW_CHANNEL_ZEROCOPY_H

#include "base/base.h"
#include "godwit/channel.h"

struct gw_zerocopy;

/* The channel is borrowed. -ENOTSUP: it is no TCP connection of ours, or the kernel cannot. */
int gw_zerocopy_new(struct gw_channel *channel, struct gw_zerocopy **ret, struct gw_error *err);
/* Takes NULL, returns NULL. */
struct gw_zerocopy *gw_zerocopy_free(struct gw_zerocopy *z);

/* All of it or an error, which is for good. The array is consumed. Vectors in [stage, stage + stage_bytes) are copied: their
 * memory is used again at once. */
int gw_zerocopy_send(struct gw_zerocopy *z, struct iovec *iov, int n, const uint8_t *stage, size_t stage_bytes,
                     struct gw_error *err);
/* The kernel holds nothing of the first so many bytes, as far as it has said by now. All, after a failure. */
uint64_t gw_zerocopy_released(struct gw_zerocopy *z);
/* Waits until this is so. Fails, for good, when nothing moves for the channel's time-out. */
int gw_zerocopy_wait(struct gw_zerocopy *z, uint64_t bytes, struct gw_error *err);
/* Waits for all, and notes whether a copy was not avoided since the last time. */
int gw_zerocopy_settle(struct gw_zerocopy *z, struct gw_error *err);
/* How many times settle noted that. Any thread. */
uint64_t gw_zerocopy_missed(const struct gw_zerocopy *z);

/* Whether so many bytes may be locked by this process at a time. -ENOMEM says how many it takes. */
int gw_zerocopy_check_limit(uint64_t bytes, struct gw_error *err);

#endif
