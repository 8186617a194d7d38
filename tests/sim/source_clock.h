/* SPDX-License-Identifier: MIT
 *
 * source_clock: a clock for a source that goes on only while the session's thread sleeps on it, as for the rate limit.
 *
 * Whatever else this thread does takes no time, and neither does it when it is not let run. A sleep takes its real time,
 * or a part of it, so that the thread of the test can follow. One for the program.
 */
#ifndef SIM_SOURCE_CLOCK_H
#define SIM_SOURCE_CLOCK_H

#include "godwit/godwit.h"

extern const struct gw_clock source_clock;

/* Before a session is started: it is one second, and nobody's sleep counts. From now on a sleep takes the part 1/times of its
 * time. */
void source_clock_begin(unsigned times);
/* From now on the sleep of the calling thread counts; only the first call since the beginning does something. */
void source_clock_adopt(void);
uint64_t source_clock_now(void);

#endif
