/* SPDX-License-Identifier: MIT
 *
 * prefer: gives the pages of a working set before all others.
 *
 * A source around another one. It gives, in this order: the due pages of the set's requested runs, in the order of the
 * runs, as whole host pages; then those of the runs that were sent beside requested ones; then the pages of the inner
 * source. Pages of the set that are not due, since they were sent already, are skipped, and so are blocks and pages
 * that the machine does not have.
 *
 * Memory: none. Threads: as in ram/page/ops.h; the set is read by the session's thread.
 */
#ifndef GW_SOURCE_PREFER_H
#define GW_SOURCE_PREFER_H

#include "ram/page/ops.h"
#include "ram/source/working_set.h"

struct gw_prefer;

/* Takes the inner source, also on failure; it must have take, and take must work without an earlier sync. The set stays
 * until free. */
int gw_source_prefer_new(struct gw_source *take_inner, struct gw_ram *ram, const struct gw_working_set *set, struct gw_source **ret,
                         struct gw_prefer **ret_prefer, struct gw_error *err);
/* Whether requested pages of the record are left: they will soon be waited for. By the session's thread. */
bool gw_prefer_wanted(struct gw_prefer *p);
/* Number of pages in the set that the machine does not have. */
uint64_t gw_prefer_dropped(struct gw_ram *ram, const struct gw_working_set *set);

#endif
