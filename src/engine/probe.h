/* SPDX-License-Identifier: MIT
 *
 * probe: measures the link to a godwit that waits for a machine. The asking side is declared in godwit/survey.h.
 *
 * Both sides behave as in a migration: the one sends without waiting, the other reads into memory that was not touched
 * before.
 */
#ifndef GW_ENGINE_PROBE_H
#define GW_ENGINE_PROBE_H

#include "base/base.h"

struct gw_channel;
struct gw_reader;

/* The answering side. The connection begins with a HELLO, which was not taken from the reader yet; the reader must not
 * have read further. Receives at most 32 MiB; the channel's time-out holds for each frame. */
int gw_probe_answer(struct gw_channel *channel, struct gw_reader *reader, struct gw_error *err);

#endif
