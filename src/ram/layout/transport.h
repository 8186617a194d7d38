/* SPDX-License-Identifier: MIT
 *
 * transport layout: HOOK records of a page transport, in the main stream among the records of another layout
 * (docs/wire-format.md 7.1): a word 0x080, and the bytes that the transport has written after it.
 *
 * Threads: the session's. Hostile: pages are placed only inside blocks that were added; the transport must check the
 * contents of the records.
 */
#ifndef GW_LAYOUT_TRANSPORT_H
#define GW_LAYOUT_TRANSPORT_H

#include "ram/page/ops.h"
#include "ram/page/transport.h"

/* A stretch begins or ends: the transport may write records. */
int gw_layout_transport_tell(struct gw_transport *t, enum gw_transport_stretch stretch, bool end, struct gw_writer *w,
                             struct gw_error *err);

/* For the receiving half of a layout: gw_layout_in.hook. */
int gw_layout_transport_hook_new(const struct gw_ram *ram, struct gw_transport *t, struct gw_hook **ret, struct gw_error *err);

#endif
