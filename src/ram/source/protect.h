/* SPDX-License-Identifier: MIT
 *
 * protect source: all pages as they are at one moment, while the guest writes on. Memory is write-protected by
 * userfaultfd at that moment (sync), while the machine is stopped; after that a thread that writes to a page waits
 * until the page was sent.
 *
 *     begin   every block is watched (moment.h)
 *     sync    the moment: all pages are protected, and due
 *     next    first pages that a thread wants to write to, with the pages around them; then all others in their order
 *     sent    the bytes have left the buffers: the protection is removed, and waiting threads continue
 *     end     removes all protection, even if not everything was sent
 *
 * Invariants
 *   1. A page that is due, or has not come back yet, is protected, unless the block is read-only or the range
 * discarded: so it is sent with the contents that it had at the moment.
 *   2. A host page loses its protection when all of its target pages have come back.
 *   3. Waiting threads depend on the thread that calls next, so that thread must not write to the memory itself.
 *
 * Writes by other processes, or through another mapping, are not seen.
 */
#ifndef GW_SOURCE_PROTECT_H
#define GW_SOURCE_PROTECT_H

#include "channel/cancel.h"
#include "ram/page/ops.h"

/* ram stays until free. cancel: interrupts begin and wait; borrowed, may be NULL. */
int gw_source_protect_new(struct gw_ram *ram, const struct gw_cancel *cancel, struct gw_source **ret, struct gw_error *err);

#endif
