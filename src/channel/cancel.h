/* SPDX-License-Identifier: MIT
 *
 * cancel: the definition of struct gw_cancel, for embedding, and waits that it interrupts.
 *
 * Every channel over a descriptor has one of its own ("wake"), triggered by shutdown.
 */
#ifndef GW_CHANNEL_CANCEL_H
#define GW_CHANNEL_CANCEL_H

#include "base/base.h"
#include "godwit/channel.h"

struct gw_cancel {
    int fd; /* eventfd, stays readable once triggered */
    int triggered;
};

int gw_cancel_init(struct gw_cancel *c, struct gw_error *err);
void gw_cancel_fini(struct gw_cancel *c); /* also after a failed init, and for {.fd = -1} */

/* The time of the monotonic clock timeout_ns from now. 0 (never) for 0, and if the time would overflow. */
uint64_t gw_deadline(uint64_t timeout_ns);

/* Waits until fd is ready for `events` (or has an error, which the next call on it returns). 0, -ECANCELED if one of
 * the two tokens (each may be NULL) was triggered, -ETIMEDOUT at the deadline (0: never). fd -1: only sleeps. */
int gw_wait_ready(int fd, short events, const struct gw_cancel *wake, const struct gw_cancel *also,
                  uint64_t deadline_ns);

/* "250 ms", "5 s", "1.5 s", "40 us": for messages. Returns buf. */
#define GW_DURATION_TEXT 32
const char *gw_duration_text(char buf[GW_DURATION_TEXT], uint64_t ns);

/* The two errors that all transports have in common. */
int gw_fail_canceled(struct gw_error *err);
int gw_fail_timeout(uint64_t timeout_ns, struct gw_error *err);

#endif
