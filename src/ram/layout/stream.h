/* SPDX-License-Identifier: MIT
 *
 * stream layout: RAM records in the main stream (docs/wire-format.md 7).
 *
 * Put: header words are copied, page bodies are referenced in guest memory. The zero pages of a batch are written
 * first: the order within a batch is free, and the rest is then one run of records of equal size, with only those pages
 * of the batch that the receiver does not have yet. After the POSTCOPY barrier pages are written in their order, so
 * that the target pages of a large host page are consecutive.
 * Get: reads records until the end mark, or MULTIFD_FLUSH. While records come in sequence, it predicts that they
 * continue: it reads headers and pages directly to the predicted places, and checks each header before its page counts.
 * "In sequence" means over the pages that have no contents yet (store->open), the only ones that are predicted; the
 * sequence ends with the batch, that is with the 2 MiB window of pages. Bytes that do not fit the prediction are
 * returned to the reader and read as usual, and the pages that they have overwritten are restored.
 *
 * Threads: one owner. Hostile: every offset is checked before it becomes an address; unknown flags, a block without a
 * name before it, an offset beyond the block, a non-zero fill are -EPROTO, blame PEER, with the byte offset.
 */
#ifndef GW_LAYOUT_STREAM_H
#define GW_LAYOUT_STREAM_H

#include "ram/page/ops.h"

/* The RAM section writes the end marks. */
int gw_layout_stream_new(const struct gw_ram *ram, struct gw_layout **ret, struct gw_error *err);
/* Writes only the records of the zero pages. *last: the block of the previous record. Returns the number of records. */
unsigned gw_stream_put_zeros(const struct gw_batch *batch, unsigned page_bits, struct gw_ram_block **last, struct gw_writer *w);

/* guess: read ahead as described above, if the store allows it. */
int gw_layout_stream_in_new(const struct gw_ram *ram, bool guess, struct gw_layout_in **ret, struct gw_error *err);
/* Numbers of pages that were read to a predicted place, and of those that were restored; for tests and benches. */
void gw_layout_stream_guesses(const struct gw_layout_in *l, uint64_t *ret_guessed, uint64_t *ret_missed);

#endif
