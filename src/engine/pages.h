/* SPDX-License-Identifier: MIT
 *
 * pages: the channels of a session that carry only pages (multifd). A source dials them at the session's address. A
 * destination accepts them at its door like all channels (hello.c), in any order, before the main channel or after it,
 * and keeps them here until the session takes them.
 *
 * Each begins with a greeting (wire/greeting.h), which says what it is. If two have the same number, the later one
 * replaces the earlier, unless the session has taken that: the earlier one may come from an attempt that failed.
 *
 * Threads: arrived by the thread that attends the door, refused by any; all others by the session's.
 */
#ifndef GW_ENGINE_PAGES_H
#define GW_ENGINE_PAGES_H

#include "engine/classify.h"
#include "ram/lane/lanes.h"

struct gw_recv;
struct gw_send;
struct gw_vm;
struct gw_wire_profile;

/* The channels that have come to a destination. All under the session's lock. */
struct gw_pages {
    struct {
        struct gw_channel *channel; /* not taken yet */
        uint8_t uuid[16];
        bool taken;
    } at[GW_LANES_MAX];
    struct gw_error why; /* why one was refused, or failed */
    struct gw_error lost; /* why one ended, in postcopy */
    uint64_t why_ns;     /* when `why` was set; the vm's clock */
    uint64_t since_ns;   /* since when the session waits for them; 0: it does not wait yet */
};

/* Number of channels that the options ask for; 0: pages do not travel on channels of their own. many: the address
 * accepts more than one connection. */
int gw_pages_count(const struct gw_vm *vm, bool many, const char *address, unsigned *ret, struct gw_error *err);
/* A source sends pages on these channels in postcopy only to a godwit that supports it; otherwise this does nothing. Before the
 * channels are dialled: asks the destination whether it supports it. */
int gw_pages_agree(struct gw_send *s, struct gw_error *err);
/* Call while the destination lacks pages. -EPIPE: the destination has closed one of the channels, or the connection was
 * lost. */
int gw_pages_alive(struct gw_send *s, struct gw_error *err);

/* gw_lanes_config.open of a source (struct gw_send) and of a destination (struct gw_recv). */
int gw_pages_dial(void *send, unsigned i, struct gw_channel **ret, struct gw_error *err);
int gw_pages_await(void *recv, unsigned i, struct gw_channel **ret, struct gw_error *err);

/* Takes the channel in any case. -EEXIST: the session already has one of this number. */
int gw_pages_arrived(struct gw_recv *r, unsigned i, const uint8_t uuid[16], struct gw_channel *take_channel,
                     struct gw_error *err);
/* A channel was refused or sent something wrong, so its source cannot succeed: it is told why. Any thread. */
void gw_pages_refused(struct gw_recv *r, const struct gw_error *why);
/* gw_lanes_config.lost (recv): the session pauses as if its main channel was lost. Has no effect when nothing is
 * lacking. */
void gw_pages_lost(void *recv, const struct gw_error *why);
/* The reason for which this side has shut down the main channel; 0: it has not. */
int gw_pages_check_lost(struct gw_recv *r, struct gw_error *err);
/* Fails with the reason if a channel was refused or failed just now. */
int gw_pages_check(struct gw_recv *r, struct gw_error *err);
/* Frees the channels that were not taken, and resets everything else. */
void gw_pages_forget(struct gw_recv *r);

#endif
