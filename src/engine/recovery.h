/* SPDX-License-Identifier: MIT
 *
 * recovery: the destination of a postcopy migration whose connection was lost: it waits, hears who comes, says what it has, and goes on
 * (docs/wire-format.md 10.7). What reads pages meanwhile, and what becomes of the machine, is follow.h.
 *
 * Threads: the session's, but for those of godwit/recv.h.
 */
#ifndef GW_ENGINE_RECOVERY_H
#define GW_ENGINE_RECOVERY_H

#include <stdint.h>

#include "godwit/error.h"

struct gw_recv;

/* RECV_BITMAP and RESUME, behind the head of the command. */
int gw_recovery_map(struct gw_recv *r, uint16_t bytes, struct gw_error *err);
/* A machine that was not started because nobody knew where it belongs is started now. */
int gw_recovery_resume(struct gw_recv *r, struct gw_error *err);
/* Reading ended with e. Goes on, on another connection, as long as something is lacking that a source may still have. 0: all is here. */
int gw_recovery_until_complete(struct gw_recv *r, int e, struct gw_error *err);
/* All of a session whose machine came in part by an earlier one (gw_image_await): it begins where that was left. 0: all is here, and
 * was parked. */
int gw_recovery_regain(struct gw_recv *r, struct gw_error *err);
/* Nobody can come any more. */
void gw_recovery_close(struct gw_recv *r);

#endif
