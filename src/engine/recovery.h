/* SPDX-License-Identifier: MIT
 *
 * recovery: the destination of a postcopy migration whose connection was lost: it waits for a connection, tells the
 * source which pages it has, and continues (docs/wire-format.md 10.7). follow.h reads the pages and decides what
 * happens to the machine.
 *
 * Threads: the session's, except the functions of godwit/recv.h.
 */
#ifndef GW_ENGINE_RECOVERY_H
#define GW_ENGINE_RECOVERY_H

#include <stdint.h>

#include "godwit/error.h"

struct gw_recv;

/* RECV_BITMAP and RESUME, after the head of the command. */
int gw_recovery_map(struct gw_recv *r, uint16_t bytes, struct gw_error *err);
/* Starts a machine that was not started because it was not known whether the source runs it. */
int gw_recovery_resume(struct gw_recv *r, struct gw_error *err);
/* Reading ended with e. Continues on new connections as long as a source may still have pages that are lacking. 0:
 * everything is here. */
int gw_recovery_until_complete(struct gw_recv *r, int e, struct gw_error *err);
/* Runs a session whose machine came in part in an earlier one (gw_image_await): it continues where that one stopped. 0:
 * everything is here, and was parked. */
int gw_recovery_regain(struct gw_recv *r, struct gw_error *err);
/* No source can connect any more. */
void gw_recovery_close(struct gw_recv *r);

#endif
