/* SPDX-License-Identifier: MIT
 *
 * profile: the properties that follow from the peer's version. Chosen once for a session and passed down; no other code
 * tests versions.
 */
#ifndef GW_WIRE_PROFILE_H
#define GW_WIRE_PROFILE_H

#include <stdbool.h>

struct gw_wire_profile {
    const char *name;
    unsigned machines_from;      /* the profile of machine types from this version on (100 * major + minor) */
    bool switchover_start;       /* the peer knows command 11 */
    bool vmdesc_configuration;   /* the vmdesc begins with the configuration section's description */
    bool no_compressed_pages;    /* the peer refuses records of compressed pages (9.1 and later) */
    bool no_block;               /* the peer has no section `block` (9.1 and later) */
    bool ask_extensions;         /* send PING with the cookie: a plain peer answers it like any PING */
    /* multifd channels wait for each other when pages may be sent again, not at the end of each section */
    bool multifd_rounds;
    bool multifd_zeros;          /* multifd packets list zero pages */
    /* the channel of urgent pages is dialled right after the main one, and ends with a mark */
    bool preempt_first;
    bool open_return_path;       /* even without the capability, if the channel carries both directions */
};

/* "7.2", "8.1", "9.0", "10.0", "godwit"; NULL: no such name. */
const struct gw_wire_profile *gw_wire_profile(const char *name);
/* The profile of peers with this machine type; the oldest one if the name has no version. */
const struct gw_wire_profile *gw_wire_profile_of_machine(const char *machine);

/* The profile for multifd with this peer: that of the machine type if it has a version, since both sides of a plain
 * migration use that; but never newer than the peer. */
const struct gw_wire_profile *gw_wire_profile_multifd(const struct gw_wire_profile *peer, const char *machine);

#endif
