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

/* The channel is borrowed. -ENOTSUP: it is no TCP connection created here, or the kernel does not support it. */
int gw_zerocopy_new(struct gw_channel *channel, struct gw_zerocopy **ret, struct gw_error *err);
/* Takes NULL, returns NULL. */
struct gw_zerocopy *gw_zerocopy_free(struct gw_zerocopy *z);

/* Sends everything or fails; an error is permanent. The array is consumed. Vectors in [stage, stage + stage_bytes) are
 * copied: the caller reuses their memory at once. */
int gw_zerocopy_send(struct gw_zerocopy *z, struct iovec *iov, int n, const uint8_t *stage, size_t stage_bytes,
                     struct gw_error *err);
/* How many of the first bytes the kernel has released, as far as it has reported. After a failure: all. */
uint64_t gw_zerocopy_released(struct gw_zerocopy *z);
/* Waits until the first `bytes` bytes are released. Fails, permanently, when nothing is released for the channel's
 * time-out. */
int gw_zerocopy_wait(struct gw_zerocopy *z, uint64_t bytes, struct gw_error *err);
/* Waits for all bytes, and records whether the kernel has copied since the last call. */
int gw_zerocopy_settle(struct gw_zerocopy *z, struct gw_error *err);
/* How often settle has recorded that. Any thread. */
uint64_t gw_zerocopy_missed(const struct gw_zerocopy *z);

/* Whether this process may lock so many bytes at the same time. The message of -ENOMEM contains the required limit. */
int gw_zerocopy_check_limit(uint64_t bytes, struct gw_error *err);

#endif
