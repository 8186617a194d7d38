/* SPDX-License-Identifier: MIT
 *
 * postcopy_in: the destination of postcopy up to the switch (docs/wire-format.md 10): the commands before it, and the
 * package with the devices' state. follow.h continues after the package.
 *
 *     ADVISE --> loading as usual --> [RAM_DISCARD] --> PACKAGED { LISTEN, devices, PING, RUN } --> pages --> EOF --> SHUT
 *
 * From RUN on the machine belongs here, and part of its memory is still at the source.
 *
 * Threads: the session's.
 */
#ifndef GW_ENGINE_POSTCOPY_IN_H
#define GW_ENGINE_POSTCOPY_IN_H

#include "godwit/error.h"

struct gw_recv;

#define GW_PACKAGE_MAX   (1u << 29) /* bytes of a package: the state of all devices is kept in memory */
#define GW_PACKAGE_PINGS 4u

/* ADVISE, RAM_DISCARD and PACKAGED, after the head of the command. bytes: size of the payload. */
int gw_postcopy_in_command(struct gw_recv *r, uint16_t command, uint16_t bytes, struct gw_error *err);

#endif
