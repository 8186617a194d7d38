/* SPDX-License-Identifier: MIT
 *
 * profile: what the peer's version implies. Filled once for a session and passed down; nothing else asks for a version.
 */
#ifndef GW_WIRE_PROFILE_H
#define GW_WIRE_PROFILE_H

#include <stdbool.h>

struct gw_wire_profile {
    const char *name;
    unsigned machines_from;      /* machine types of this version (100 * major + minor) and later come from such a peer */
    bool switchover_start;       /* command 11 is understood */
    bool vmdesc_configuration;   /* the vmdesc begins with the configuration section's description */
    bool no_compressed_pages;    /* 9.1 and later refuse their records */
    bool no_block;               /* 9.1 and later have no section `block` */
    bool ask_extensions;         /* PING with the cookie: a plain peer answers it like any PING */
    bool multifd_rounds;         /* its multifd channels wait where pages may come again, not at each section's end */
    bool multifd_zeros;          /* its multifd packets tell of zero pages */
    bool preempt_first;          /* the channel of urgent pages comes right behind the main one, and ends with a mark */
    bool open_return_path;       /* also without the capability, where the channel carries both directions */
};

/* "7.2", "8.1", "9.0", "10.0", "godwit"; NULL for a name that does not exist. */
const struct gw_wire_profile *gw_wire_profile(const char *name);
/* Of the peer that has such a machine type; the oldest one when its name has no version. */
const struct gw_wire_profile *gw_wire_profile_of_machine(const char *machine);

/* How multifd goes with a peer of this profile: as its machine type has it, if that has a version, since both sides of a
 * plain migration go by that; but never newer than the peer. */
const struct gw_wire_profile *gw_wire_profile_multifd(const struct gw_wire_profile *peer, const char *machine);

#endif
