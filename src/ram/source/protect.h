/* SPDX-License-Identifier: MIT
 *
 * protect source: all pages as they are at one moment, while the guest writes on. Memory is write-protected by userfaultfd at
 * that moment (sync), with the machine stopped; who then writes to a page waits until the page has been sent.
 *
 *     begin   every block is watched (moment.h)
 *     sync    the moment: all is protected, all is due
 *     next    pages that are written to first, with what lies around them; then all others in their order
 *     sent    the bytes have left the buffers: the protection goes, and who waits goes on
 *     end     all protection goes, whatever was sent
 *
 * Invariants
 *   1. A page that is due, or not yet back, is protected, unless the block is read-only or the range discarded: what is sent
 *      is what it was at the moment.
 *   2. A host page loses its protection when all of its target pages are back.
 *   3. Nobody waits for a page without the thread that calls next. It must not write to the memory itself.
 *
 * Writes by other processes, or through another mapping, are not seen.
 */
#ifndef GW_SOURCE_PROTECT_H
#define GW_SOURCE_PROTECT_H

#include "channel/cancel.h"
#include "ram/page/ops.h"

/* ram stays until free. cancel: ends begin and wait; borrowed, may be NULL. */
int gw_source_protect_new(struct gw_ram *ram, const struct gw_cancel *cancel, struct gw_source **ret, struct gw_error *err);

#endif
