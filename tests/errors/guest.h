/* SPDX-License-Identifier: MIT
 *
 * guest: any bytes into a destination that takes any machine, as `godwit receive` is one: the RAM is adopted, devices are
 * kept as the bytes that they are, and its source may switch to postcopy. What must hold however it ends.
 */
#ifndef GUEST_H
#define GUEST_H

#include "rig.h"

struct guest_outcome {
    int r;
    struct gw_error err;
    enum gw_owner owner;
    enum gw_status status;
    size_t bytes;           /* that were given */
    uint64_t cpu_ns;        /* of this thread, for the load */
    unsigned parked;        /* how often it was to be written */
    uint64_t devices_bytes; /* of what was parked */
    uint64_t lacking_bytes; /* of memory, of a machine that was handed over and whose source was lost */
    bool asked, told;       /* the source opened a return path; it was told that its machine is here (SHUT 0) */
};

/* waits: the source says nothing more after the last byte, instead of closing. On this thread. */
struct guest_outcome guest_load(const uint8_t *data, size_t bytes, enum rig_split split, uint64_t seed, bool waits);
/* What is wrong with it; NULL: nothing. */
const char *guest_judge(const struct guest_outcome *o);

#endif
