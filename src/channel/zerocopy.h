/* SPDX-License-Identifier: MIT
 *
 * zerocopy: sending on a TCP channel without copying bodies (MSG_ZEROCOPY). The kernel sends from the memory that it was
 * given, and says later, on the socket's error queue, that it has let go of it.
 *
 *     writer --small pieces--> copied      --.
 *            --bodies--------> from memory --+--> socket
 *            <--released, up to here-- error queue
 *
 * What is written to a body meanwhile may be sent or not. What goes through a device that cannot take it from memory (as
 * loopback) is copied by the kernel after all, and told as such.
 *
 * The memory that the kernel holds is locked, and counts against the limit of the user (RLIMIT_MEMLOCK) unless the process may
 * lock what it likes (CAP_IPC_LOCK). Where the limit is reached by others, sends wait for earlier ones, or are copied.
 *
 * After a failure, and where it is freed too early, the connection is dropped with all that waits in it: nothing is sent from
 * memory that is somebody else's by then.
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
