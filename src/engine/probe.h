/* SPDX-License-Identifier: MIT
 *
 * probe: measures the link to a godwit that waits for a machine. godwit/survey.h has the asking side.
 *
 * Both sides behave as a migration would: the one sends without waiting, the other reads into memory that was not touched before.
 */
#ifndef GW_ENGINE_PROBE_H
#define GW_ENGINE_PROBE_H

#include "base/base.h"

struct gw_channel;
struct gw_reader;

/* The answering side, on a connection whose first bytes are a HELLO, which the reader has not taken yet and reads no further than.
 * Takes at most 32 MiB; the channel's time-out holds for each frame. */
int gw_probe_answer(struct gw_channel *channel, struct gw_reader *reader, struct gw_error *err);

#endif
