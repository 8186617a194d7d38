/* SPDX-License-Identifier: MIT
 *
 * stream layout: RAM records in the main stream (docs/wire-format.md 7).
 *
 * Put: header words are staged, page bodies referenced where the guest has them. The zero pages of a batch go first: the
 * order is free within it, and what follows is then one run of records of one size, over just the pages of the batch that
 * the receiver does not have yet.
 * Get: reads records until the end mark. While records go on in sequence it predicts that they will: reads scatter
 * headers and pages straight to their places, and each header is checked before its page counts. "In sequence" is over
 * the pages that have no contents yet (store->open), the only ones ever guessed at, and ends with the batch, that is with
 * the 2 MiB window of pages. What does not fit the prediction goes back to be read as ordinary bytes, and the pages that
 * were scribbled on are put back.
 *
 * Threads: one owner. Hostile: every offset is checked before it becomes an address; unknown flags, a name that was never
 * given, an offset beyond the block, a non-zero fill are -EPROTO, blame PEER, with the byte offset.
 */
#ifndef GW_LAYOUT_STREAM_H
#define GW_LAYOUT_STREAM_H

#include "ram/page/ops.h"

int gw_layout_stream_new(const struct gw_ram *ram, struct gw_layout **ret, struct gw_error *err);

struct gw_stream_get {
    const struct gw_ram *ram;
    struct gw_store *store;
    struct gw_ram_block *last;
    uint64_t next;             /* the page after the last plain one */
    unsigned run;              /* plain records in sequence so far */
    unsigned guess;            /* pages to guess at next time */
    unsigned reach;            /* vectors to give to one read: some more than the transport lately filled */
    atomic_bool *touched;      /* set before the first page is written; may be NULL */
    uint64_t plain, zero;      /* records read */
    uint64_t guessed, missed;  /* pages that were read to their place by prediction; that were put back */
    uint64_t *slot;            /* the pages of a guess */
    uint64_t *heads;           /* scratch for their headers */
    struct iovec *iov;
};

int gw_stream_get_init(struct gw_stream_get *g, const struct gw_ram *ram, struct gw_store *store, struct gw_error *err);
void gw_stream_get_close(struct gw_stream_get *g);
/* Records up to and with the end mark. */
int gw_stream_get_records(struct gw_stream_get *g, struct gw_reader *r, struct gw_error *err);

#endif
