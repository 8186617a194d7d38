/* SPDX-License-Identifier: MIT
 *
 * prefer: the pages of a working set before all others.
 *
 * A source around another one. It gives, in this order: the due pages of the set's runs that were asked for, in the order of the
 * runs, host pages whole; of those that were sent beside them; and those of the other source. A page of the set that is not due, since it has gone already, is passed over, and so are blocks
 * and pages that the machine does not have.
 *
 * Memory: none. Threads: as in ram/page/ops.h; the set is read by the session's thread.
 */
#ifndef GW_SOURCE_PREFER_H
#define GW_SOURCE_PREFER_H

#include "ram/page/ops.h"
#include "ram/source/working_set.h"

struct gw_prefer;

/* The inner source is its own from now on, also on failure; it must have take, and need no sync before that is used. The set stays
 * until free. */
int gw_source_prefer_new(struct gw_source *take_inner, struct gw_ram *ram, const struct gw_working_set *set, struct gw_source **ret,
                         struct gw_prefer **ret_prefer, struct gw_error *err);
/* Pages are left that were asked for in the record: they will be waited for soon. By the session's thread. */
bool gw_prefer_wanted(struct gw_prefer *p);
/* Pages of the set that the machine does not have. */
uint64_t gw_prefer_dropped(struct gw_ram *ram, const struct gw_working_set *set);

#endif
