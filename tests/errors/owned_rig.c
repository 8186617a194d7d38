/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../owned.h"
#include "rig.h"

static void end(void *rig)
{
    rig_free(rig);
    free(rig);
}

struct rig *owned_rig(uint64_t seed, unsigned pages)
{
    struct gw_error err = GW_ERROR_INIT;
    struct rig *g = malloc(sizeof *g);
    int r;

    if (!g)
        fail_msg("no memory for the test machine");
    r = rig_new(g, seed, pages, &err); /* on failure unmade parts are zeros, so the rig can be freed */
    owned(g, end);
    if (r < 0)
        fail_msg("the test machine: %d %s", r, err.text);
    return g;
}
