/* SPDX-License-Identifier: MIT
 *
 * The session of sink.h reads what was put, and fails as it should.
 */
#ifndef ENGINE_LOAD_RIG_H
#define ENGINE_LOAD_RIG_H

#include "sink.h"

static struct gw_error err;

static inline int load(void)
{
    err = (struct gw_error)GW_ERROR_INIT;
    sink_phase(GW_PHASE_LOADING);
    return gw_recv_load(r, &err);
}

static inline void refused(const char *text)
{
    put(false);
    assert_true(load() < 0);
    assert_string_equal(err.text, text);
    assert_int_equal(err.blame, GW_BLAME_PEER);
}

#endif
