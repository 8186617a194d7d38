/* SPDX-License-Identifier: MIT
 *
 * guest: feeds bytes to a destination that accepts any machine, as `godwit receive` does: the RAM is adopted, devices
 * are kept as raw bytes, and the source may switch to postcopy. Checks the rules for every outcome.
 */
#ifndef GUEST_H
#define GUEST_H

#include "rig.h"

struct guest_outcome {
    int r;
    struct gw_error err;
    enum gw_owner owner;
    enum gw_status status;
    size_t bytes;           /* bytes of the stream that were read */
    uint64_t cpu_ns;        /* CPU time of this thread for the load */
    unsigned parked;        /* number of calls to write the machine */
    uint64_t devices_bytes; /* size of the parked devices */
    uint64_t lacking_bytes; /* missing bytes of memory, if the machine was handed over and its source was lost */
    bool asked, told;       /* the source opened a return path; it was told that its machine arrived (SHUT 0) */
};

/* waits: after the last byte the source stays silent instead of closing. On this thread. */
struct guest_outcome guest_load(const uint8_t *data, size_t bytes, enum rig_split split, uint64_t seed, bool waits);
/* The violated rule; NULL: none. */
const char *guest_judge(const struct guest_outcome *o);

#endif
