/* SPDX-License-Identifier: MIT
 *
 * record: keeps which pages were asked for, and which went beside them, in their order.
 *
 * A source around `requests`, which passes everything on. What it sees of a page that came of its own accord is nothing: whether
 * the guest has looked at it nobody can tell.
 *
 * Threads: as in ram/page/ops.h; the set is written by the session's thread.
 */
#ifndef GW_SOURCE_RECORD_H
#define GW_SOURCE_RECORD_H

#include "ram/source/requests.h"
#include "ram/source/working_set.h"

/* The inner source, which `requests` belongs to, is its own from now on, also on failure. The set stays until free. */
int gw_source_record_new(struct gw_source *take_inner, const struct gw_requests *requests, const struct gw_ram *ram,
                         struct gw_working_set *set, struct gw_source **ret, struct gw_error *err);

#endif
