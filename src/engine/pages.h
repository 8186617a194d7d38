/* SPDX-License-Identifier: MIT
 *
 * pages: the channels of a session that carry only pages (multifd). A source dials them at the session's address; at a
 * destination they come to the door like all others (hello.c), in any order, before the main channel or after it, and wait
 * here until the session takes them.
 *
 * Each begins with a greeting (wire/greeting.h), which says what it is. Of two that say that they are the same one, the later
 * takes the place of the earlier as long as nobody has taken that: an earlier attempt may have left it.
 *
 * Threads: arrived by whoever attends the door, refused by any; all others by the session's.
 */
#ifndef GW_ENGINE_PAGES_H
#define GW_ENGINE_PAGES_H

#include "engine/classify.h"
#include "ram/lane/lanes.h"

struct gw_recv;
struct gw_send;
struct gw_vm;
struct gw_wire_profile;

/* What has come to a destination. All under the session's lock. */
struct gw_pages {
    struct {
        struct gw_channel *channel; /* waits to be taken */
        uint8_t uuid[16];
        bool taken;
    } at[GW_LANES_MAX];
    struct gw_error why; /* one was refused, or failed */
    struct gw_error lost; /* in postcopy, one has ended */
    uint64_t why_ns;     /* when; of the vm's clock */
    uint64_t since_ns;   /* since when they are waited for; 0: they are not yet */
};

/* How many the options ask for; 0: pages travel by something else. many: the address can be connected to more than once. */
int gw_pages_count(const struct gw_vm *vm, bool many, const char *address, unsigned *ret, struct gw_error *err);
/* Of a source whose pages go on these channels in postcopy too; else it does nothing. Before the channels are dialled: asks whether the
 * destination is a godwit that takes them there. */
int gw_pages_agree(struct gw_send *s, struct gw_error *err);
/* While pages are lacking there: -EPIPE when the destination has closed one of them, or it was lost. */
int gw_pages_alive(struct gw_send *s, struct gw_error *err);

/* gw_lanes_config.open of a source (struct gw_send) and of a destination (struct gw_recv). */
int gw_pages_dial(void *send, unsigned i, struct gw_channel **ret, struct gw_error *err);
int gw_pages_await(void *recv, unsigned i, struct gw_channel **ret, struct gw_error *err);

/* Takes the channel whatever happens. -EEXIST: another one was taken already. */
int gw_pages_arrived(struct gw_recv *r, unsigned i, const uint8_t uuid[16], struct gw_channel *take_channel,
                     struct gw_error *err);
/* The source of one that was refused, or that sent something wrong, cannot succeed: it is told why. Any thread. */
void gw_pages_refused(struct gw_recv *r, const struct gw_error *why);
/* gw_lanes_config.lost (recv): the session pauses, as where its main channel is lost. Harmless where nothing is lacking. */
void gw_pages_lost(void *recv, const struct gw_error *why);
/* Why the main channel was shut down from here; 0: it was not. */
int gw_pages_check_lost(struct gw_recv *r, struct gw_error *err);
/* Whether one was refused or failed just now, and why. */
int gw_pages_check(struct gw_recv *r, struct gw_error *err);
/* Frees those that were not taken, and forgets the rest. */
void gw_pages_forget(struct gw_recv *r);

#endif
