/* SPDX-License-Identifier: MIT
 *
 * Common parts of tests of waiting sessions. None of these sessions has a time-out unless the test is about it: a
 * cancel that does not wake the session never ends, and check.py reports the test.
 */
#ifndef PATIENCE_H
#define PATIENCE_H

#include "engine/session.h"
#include "must.h"

#define PAGES 16

/* Waits until the session is in this phase; fails if it has ended. */
static inline void await(struct gw_session *s, enum gw_phase phase)
{
    enum gw_phase now;

    while ((now = gw_session_phase(s)) != phase && !gw_phase_row(now)->final)
        sleep_ms(1);
    if (now != phase)
        print_error("%s instead of %s\n", gw_phase_row(now)->name, gw_phase_row(phase)->name);
    assert_int_equal(now, phase);
}

#endif
