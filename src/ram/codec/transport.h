/* SPDX-License-Identifier: MIT
 *
 * transport codec: the first of a chain, asks a page transport for each page. What it takes is not put (GW_FORM_SAME).
 *
 * Barriers ROUND, SWITCH and END wait until all that it took is complete: what follows may bring pages again. When the
 * session ends no page of it is looked at any more.
 *
 * Threads: one owner, on the main stream's lane.
 */
#ifndef GW_CODEC_TRANSPORT_H
#define GW_CODEC_TRANSPORT_H

#include "channel/account.h"
#include "ram/page/ops.h"
#include "ram/page/transport.h"

/* All borrowed; cancel and account may be NULL. What is taken is booked as bytes of pages. */
int gw_codec_transport_new(struct gw_transport *t, const struct gw_cancel *cancel, struct gw_account *account,
                           struct gw_codec **ret, struct gw_error *err);

#endif
