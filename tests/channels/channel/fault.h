/* SPDX-License-Identifier: MIT
 *
 * fault: a channel over another in which something goes wrong at a chosen place. For tests.
 *
 * A place is a byte of one direction (counted from 0, positioned I/O included) or a call of it (counted from 1). Bytes
 * before the place pass as they are: a call that would cross it moves less. Each fault happens once, or from then on
 * for good, as said below. Several faults may be set; of those at the same place the first set comes first.
 *
 * Features, name and all the rest are those of the channel behind. Threads: as in channel.h; gw_fault_add from any.
 */
#ifndef GW_CHANNEL_FAULT_H
#define GW_CHANNEL_FAULT_H

#include "base/base.h"
#include "godwit/channel.h"

enum gw_fault_kind {
    GW_FAULT_END,   /* for good: an orderly end. in: reads give 0. out: also, and writes -EPIPE, and the channel behind
                     * is shut down, so that the other side sees an end where the stream was cut */
    GW_FAULT_DEAF,  /* for good: writes give -EPIPE, and the other side sees an end; what it says still arrives. out only */
    GW_FAULT_RESET, /* for good: the connection is lost. Both directions give -ECONNRESET; the other side sees an end */
    GW_FAULT_STALL, /* for good: nothing moves; -ETIMEDOUT after the channel's time-out, -ECANCELED on shutdown */
    GW_FAULT_SHORT, /* for good: at most `bytes` bytes per call */
    GW_FAULT_CORRUPT, /* once: the byte is changed by XOR with `flip`. The caller's memory is not touched when writing
                       */
    GW_FAULT_ERROR,   /* once: the call gives -errno `code` and moves nothing */
};

enum gw_fault_direction { GW_FAULT_IN, GW_FAULT_OUT };

struct gw_fault {
    enum gw_fault_kind kind;
    enum gw_fault_direction direction;
    uint64_t at_byte; /* used when at_call is 0 */
    uint64_t at_call;
    size_t bytes; /* SHORT; 0: 1 */
    uint8_t flip; /* CORRUPT; 0: 0x01 */
    int code;     /* ERROR, negative; 0: -EIO */
    const _Atomic bool *holds; /* STALL: while this is true no time-out ends it, only a shutdown; may be NULL */
    _Atomic unsigned *tell; /* counted up when it happens, also for who cannot ask the channel any more; may be NULL */
};

/* Takes the channel whatever happens. The faults are copied. */
int gw_fault_new(struct gw_channel *take_next, const struct gw_fault *faults, unsigned count,
                 struct gw_channel **ret_channel, struct gw_error *err);
/* One more, also while I/O is under way; a place that has passed counts as here and now. Wakes nobody: a call that
 * waits in the channel behind goes on waiting. ch is one that gw_fault_new made. */
int gw_fault_add(struct gw_channel *ch, const struct gw_fault *fault, struct gw_error *err);
/* How many have happened. */
unsigned gw_fault_happened(struct gw_channel *ch);

#endif
