/* SPDX-License-Identifier: MIT
 *
 * giveback: memory of pages that the other side has is given back to the host (release-ram).
 *
 * A source around another one, right around the guest's memory. It notes down what is sent, and is told when the
 * machine runs at the destination and what has come there; only then a page goes, a whole host page at a time. A page
 * that was sent is not one that came: when the connection is lost, what was on its way is asked for again. So what
 * comes on a channel that no mark follows (batches without `from`: preempt) stays to the end.
 *
 * Memory that others see stays, as it is not only ours: shared mappings (memfd, files, tmpfs). Of a private mapping of
 * a file what this process wrote goes, and the file stays as it is.
 *
 * What went is kept with the blocks (gw_ram_block.given): a later session must not send it, as it reads as zeros now.
 *
 * Threads: sent by any; all else by the session's.
 */
#ifndef GW_SOURCE_GIVEBACK_H
#define GW_SOURCE_GIVEBACK_H

#include "ram/page/ops.h"

#define GW_GIVEBACK_MARK_PAGES 256u /* sent since the last mark, for another one to be worth it */

struct gw_giveback;

/* The inner source is its own from now on, also on failure; it must have due, settle and take. Freed with the source.
 */
int gw_source_giveback_new(struct gw_source *take_inner, struct gw_ram *ram, struct gw_source **ret,
                           struct gw_giveback **ret_giveback, struct gw_error *err);

/* The last sync is over, and what is due follows. say is told of memory that cannot be given back, and why, from here
 * on. */
int gw_giveback_open(struct gw_giveback *g, void (*say)(void *opaque, const char *text), void *opaque,
                     struct gw_error *err);
/* The machine runs there, with all that was not due, which goes a piece at a time. Before the marks. false: that was
 * the last. */
bool gw_giveback_runs(struct gw_giveback *g);
/* All batches have come back, and what they put is in the stream. true: that was enough since the last mark, and what
 * is in front of that one has come; a mark is to be put now. */
bool gw_giveback_mark(struct gw_giveback *g);
/* What is in front of the mark has come. */
void gw_giveback_came(struct gw_giveback *g);
/* All has come. */
void gw_giveback_all(struct gw_giveback *g);

#endif
