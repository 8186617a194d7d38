/* SPDX-License-Identifier: MIT
 *
 * postcopy_in: the destination of postcopy (docs/wire-format.md 10): what the source says beforehand, the package with the devices'
 * state, the pages that follow, and the end.
 *
 *     ADVISE --> loading as usual --> [RAM_DISCARD] --> PACKAGED { LISTEN, devices, PING, RUN } --> pages --> EOF --> SHUT
 *
 * From RUN on the machine is here and nowhere else, and part of its memory is still at the source. A machine that stands for an
 * image rests meanwhile: nobody asks for pages, and it is parked when all have come.
 *
 * Threads: the session's.
 */
#ifndef GW_ENGINE_POSTCOPY_IN_H
#define GW_ENGINE_POSTCOPY_IN_H

#include "channel/reader.h"
#include "wire/postcopy.h"

struct gw_recv;

#define GW_PACKAGE_MAX   (1u << 29) /* bytes: the state of all devices, in memory */
#define GW_PACKAGE_PINGS 4u

struct gw_postcopy_in {
    enum gw_postcopy state;
    uint32_t pings[GW_PACKAGE_PINGS]; /* of the package: they are answered when it was loaded, which an answer means */
    unsigned ping_count;
};

/* ADVISE, RAM_DISCARD and PACKAGED, behind the head of the command. bytes: of the payload. */
int gw_postcopy_in_command(struct gw_recv *r, uint16_t command, uint16_t bytes, struct gw_error *err);
/* EOF was read, and the machine had been switched to postcopy: whether all has come. */
int gw_postcopy_in_complete(struct gw_recv *r, struct gw_error *err);
/* All has come, and the machine belongs here. */
int gw_postcopy_in_arrive(struct gw_recv *r, struct gw_error *err);
/* The stream broke off behind RUN. The machine arrives all the same if all of it is here. */
int gw_postcopy_in_broken(struct gw_recv *r, struct gw_error *err);

#endif
