/* SPDX-License-Identifier: MIT
 *
 * source_clock: a clock for a source that advances only while the session's thread sleeps on it, e.g. for the rate
 * limit.
 *
 * Other work of this thread takes no time on it, nor does waiting for a CPU. A sleep takes its real time, or a part of
 * it, so that the thread of the test can follow. There is one per program.
 */
#ifndef SIM_SOURCE_CLOCK_H
#define SIM_SOURCE_CLOCK_H

#include "godwit/godwit.h"

extern const struct gw_clock source_clock;

/* Called before a session is started: sets the clock to one second, and no thread's sleep counts. From now on a sleep
 * takes 1/times of its duration in real time. */
void source_clock_begin(unsigned times);
/* From now on the sleep of the calling thread counts; only the first call since the beginning has an effect. */
void source_clock_adopt(void);
uint64_t source_clock_now(void);

#endif
