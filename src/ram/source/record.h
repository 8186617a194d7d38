/* SPDX-License-Identifier: MIT
 *
 * record: records which pages were requested, and which were sent beside them, in this order.
 *
 * A source around `requests`, which passes all calls on. It does not record pages that were sent without a request:
 * whether the guest has accessed them is not known.
 *
 * Threads: as in ram/page/ops.h; the set is written by the session's thread.
 */
#ifndef GW_SOURCE_RECORD_H
#define GW_SOURCE_RECORD_H

#include "ram/source/requests.h"
#include "ram/source/working_set.h"

/* Takes the inner source, to which `requests` belongs, also on failure. The set stays until free. */
int gw_source_record_new(struct gw_source *take_inner, const struct gw_requests *requests, const struct gw_ram *ram,
                         struct gw_working_set *set, struct gw_source **ret, struct gw_error *err);

#endif
