/* SPDX-License-Identifier: MIT
 *
 * Any bytes as what a live source sends to a destination that takes any machine; the source closes behind them, and
 * waits.
 */
#include <stdio.h>

#include "guest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum rig_split split = size % 16 == 1 ? RIG_BYTES : size % 3 ? RIG_WHOLE : RIG_PIECES;

    for (int waits = 0; waits < 2; waits++) {
        struct guest_outcome o = guest_load(data, size, split, size, waits);
        const char *why = guest_judge(&o);

        if (why) {
            fprintf(stderr, "%s: %d %s: %s\n", why, o.r, gw_blame_name(o.err.blame), o.err.text);
            abort();
        }
    }
    return 0;
}
