/* SPDX-License-Identifier: MIT
 *
 * transport codec: the first of a chain, asks a page transport for each page. Pages that the transport takes are not
 * written to the stream (GW_FORM_SAME).
 *
 * Barriers ROUND, SWITCH and END wait until all pages that it took are complete, since pages may be sent again after
 * them. When the session has ended, the transport reads no page any more.
 *
 * Threads: one owner, on the main stream's lane.
 */
#ifndef GW_CODEC_TRANSPORT_H
#define GW_CODEC_TRANSPORT_H

#include "channel/account.h"
#include "ram/page/ops.h"
#include "ram/page/transport.h"

/* All borrowed; cancel and account may be NULL. Pages that are taken are counted in account. */
int gw_codec_transport_new(struct gw_transport *t, const struct gw_cancel *cancel, struct gw_account *account,
                           struct gw_codec **ret, struct gw_error *err);

#endif
