/* SPDX-License-Identifier: MIT
 *
 * stream layout: RAM records in the main stream (docs/wire-format.md 7).
 *
 * Put: header words are staged, page bodies referenced where the guest has them. The zero pages of a batch go first: the
 * order is free within it, and what follows is then one run of records of one size, over just the pages of the batch that
 * the receiver does not have yet. Behind the POSTCOPY barrier they go in the order of pages: large host pages are whole, one after
 * the other.
 * Get: reads records until the end mark, or MULTIFD_FLUSH. While records go on in sequence it predicts that they will: reads scatter
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

/* The RAM section writes the end marks. */
int gw_layout_stream_new(const struct gw_ram *ram, struct gw_layout **ret, struct gw_error *err);
/* Records of the zero pages alone. *last: the block of the record before. Returns how many there were. */
unsigned gw_stream_put_zeros(const struct gw_batch *batch, unsigned page_bits, struct gw_ram_block **last, struct gw_writer *w);

/* guess: read ahead as told above, where the store allows it. */
int gw_layout_stream_in_new(const struct gw_ram *ram, bool guess, struct gw_layout_in **ret, struct gw_error *err);
/* Pages that were read to their place by prediction, and that were put back, for tests and benches. */
void gw_layout_stream_guesses(const struct gw_layout_in *l, uint64_t *ret_guessed, uint64_t *ret_missed);

#endif
