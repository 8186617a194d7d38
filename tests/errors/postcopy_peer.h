/* SPDX-License-Identifier: MIT
 *
 * postcopy_peer: the protocol side of a postcopy destination: it reads a stream of a machine with one RAM block `r`,
 * answers, requests pages once it runs, keeps received pages, and can be resumed any number of times
 * (docs/wire-format.md 6, 10). It is written from the protocol alone.
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
/* The least that it sends on a resumed connection: a map of one word, and that it continues. */
#define PEER_RESUMED_BYTES (6 + 8 + 8 + 8 + 8u)

struct peer_bytes {
    uint64_t in, out;           /* of the last connection */
    uint64_t package, packaged; /* in: where the package began and ended */
};

struct peer {
    uint8_t ram[PEER_BYTES];
    bool have[PEER_PAGES];
    bool runs;       /* it has received the whole package */
    bool whole;      /* it has reported that it has everything */
    char wrong[200]; /* the source's violation; "": none */
    struct peer_bytes bytes;

    /* private */
    struct gw_channel *channel;
    pthread_t thread;
    bool resumed, lost;
};

/* Handles one connection, on a thread; takes the channel. */
void peer_start(struct peer *p, struct gw_channel *take_channel, bool resumed);
void peer_join(struct peer *p);

#endif
