/* SPDX-License-Identifier: MIT
 *
 * giveback: gives memory of pages that the destination has back to the host (release-ram).
 *
 * A source around another one, directly around the guest's memory. It records which pages are sent; its user reports
 * when the machine runs at the destination, and which marks have arrived there. Only then memory is given back, in
 * whole host pages. A page that was sent has not arrived yet: when the connection is lost, pages under way are
 * requested again. So pages on a channel without marks (batches without `from`: preempt) stay to the end.
 *
 * Shared mappings (memfd, files, tmpfs) stay, as other processes may use them. Of a private mapping of a file, the
 * pages that this process wrote are given back, and the file does not change.
 *
 * The blocks record which pages were given back (gw_ram_block.given): a later session must not send them, as they now
 * read as zeros.
 *
 * Threads: sent by any; all else by the session's.
 */
#ifndef GW_SOURCE_GIVEBACK_H
#define GW_SOURCE_GIVEBACK_H

#include "ram/page/ops.h"

/* least number of pages sent since the last mark before another one is worth its cost */
#define GW_GIVEBACK_MARK_PAGES 256u

struct gw_giveback;

/* Takes the inner source, also on failure; it must have due, settle and take. Freed with the source. */
int gw_source_giveback_new(struct gw_source *take_inner, struct gw_ram *ram, struct gw_source **ret,
                           struct gw_giveback **ret_giveback, struct gw_error *err);

/* Call after the last sync, when the pages are due that the destination lacks. From here on say gets a message if
 * memory cannot be given back, with the reason. */
int gw_giveback_open(struct gw_giveback *g, void (*say)(void *opaque, const char *text), void *opaque,
                     struct gw_error *err);
/* The machine runs at the destination, which has all pages that were not due: gives them back piece by piece. Call
 * before the marks. false: that was the last piece. */
bool gw_giveback_runs(struct gw_giveback *g);
/* Call when all batches have come back and their records are in the stream. true: enough pages were sent since the last
 * mark, and the last mark has arrived: write a mark now. */
bool gw_giveback_mark(struct gw_giveback *g);
/* The mark has arrived, and so have all pages before it. */
void gw_giveback_came(struct gw_giveback *g);
/* All pages have arrived. */
void gw_giveback_all(struct gw_giveback *g);

#endif
