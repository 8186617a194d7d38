/* SPDX-License-Identifier: MIT
 *
 * own_rig: rigs on the heap and on the list of the test (owned.h), so that a failed assertion leaves no session with a
 * machine on a stack that is gone. For cmocka programs; include it behind <cmocka.h>.
 */
#ifndef OWN_RIG_H
#define OWN_RIG_H

#include "../owned.h"
#include "rig.h"

static inline void own_rig_end(void *what)
{
    rig_free(what);
    free(what);
}

/* As rig_new; ended by owned_end. Fails the test when it cannot be made. */
static inline struct rig *own_rig(uint64_t seed, unsigned pages)
{
    struct gw_error err = GW_ERROR_INIT;
    struct rig *g = malloc(sizeof *g);
    int r;

    if (!g)
        fail_msg("no memory for the test machine");
    r = rig_new(g, seed, pages, &err); /* what it could not make is zeros: it can be ended */
    owned(g, own_rig_end);
    if (r < 0)
        fail_msg("the test machine: %d %s", r, err.text);
    return g;
}

#endif
