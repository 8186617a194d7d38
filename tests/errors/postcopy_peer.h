/* SPDX-License-Identifier: MIT
 *
 * postcopy_peer: a destination by postcopy, as far as a source sees one: it reads a stream of a machine with one RAM block `r`,
 * answers, asks for pages once it runs, keeps what came, and is resumed as often as it takes (docs/wire-format.md 6, 10). It is
 * written from the protocol alone.
 */
#ifndef POSTCOPY_PEER_H
#define POSTCOPY_PEER_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/base.h"
#include "godwit/godwit.h"

#define PEER_PAGE  4096u
#define PEER_PAGES 24u
#define PEER_BYTES (PEER_PAGES * PEER_PAGE)
/* What it says at least on a connection that resumes: a map of one word, and that it goes on. */
#define PEER_RESUMED_BYTES (6 + 8 + 8 + 8 + 8u)

struct peer_bytes {
    uint64_t in, out;           /* of the last connection */
    uint64_t package, packaged; /* in: where the package began and ended */
};

struct peer {
    uint8_t ram[PEER_BYTES];
    bool have[PEER_PAGES];
    bool runs;       /* it has the whole package */
    bool whole;      /* it has said that it has everything */
    char wrong[200]; /* what the source must not have sent; "": nothing */
    struct peer_bytes bytes;

    /* its own */
    struct gw_channel *channel;
    pthread_t thread;
    bool resumed, lost;
};

/* Attends one connection, on a thread; takes the channel. */
void peer_start(struct peer *p, struct gw_channel *take_channel, bool resumed);
void peer_join(struct peer *p);

#endif
