/* SPDX-License-Identifier: MIT
 *
 * cancel: the definition of struct gw_cancel, to embed one, and waits that it ends.
 *
 * Every channel over a descriptor has one of its own ("wake"), triggered by shutdown.
 */
#ifndef GW_CHANNEL_CANCEL_H
#define GW_CHANNEL_CANCEL_H

#include "base/base.h"
#include "godwit/channel.h"

struct gw_cancel {
    int fd; /* eventfd, readable for good once triggered */
    int triggered;
};

int gw_cancel_init(struct gw_cancel *c, struct gw_error *err);
void gw_cancel_fini(struct gw_cancel *c); /* also after a failed init, and on {.fd = -1} */

/* A point in monotonic time, timeout_ns from now. 0 (never) for 0, and for what is beyond the end of time. */
uint64_t gw_deadline(uint64_t timeout_ns);

/* Waits until fd is ready for `events` (or in error: the next call on it will tell). 0, -ECANCELED when one of the two
 * (each may be NULL) was triggered, -ETIMEDOUT at the deadline (0: never). fd -1: only sleeps. */
int gw_wait_ready(int fd, short events, const struct gw_cancel *wake, const struct gw_cancel *also,
                  uint64_t deadline_ns);

/* "250 ms", "5 s", "1.5 s", "40 us": for messages. Returns buf. */
#define GW_DURATION_TEXT 32
const char *gw_duration_text(char buf[GW_DURATION_TEXT], uint64_t ns);

/* The two endings that all transports share. */
int gw_fail_canceled(struct gw_error *err);
int gw_fail_timeout(uint64_t timeout_ns, struct gw_error *err);

#endif
