/* SPDX-License-Identifier: MIT */
#include "wire/profile.h"

#include <stdlib.h>
#include <string.h>

#include "base/base.h"

static const struct gw_wire_profile profiles[] = {
    {.name = "godwit", .ask_extensions = true, .multifd_rounds = true, .multifd_zeros = true, .open_return_path = true},
    {.name = "7.2", .preempt_first = true},
    {.name = "8.1", .machines_from = 801, .multifd_rounds = true},
    {.name = "9.0", .machines_from = 900, .multifd_rounds = true, .multifd_zeros = true},
    {.name = "10.0",
     .machines_from = 1000,
     .switchover_start = true,
     .vmdesc_configuration = true,
     .no_compressed_pages = true,
     .no_block = true,
     .multifd_rounds = true,
     .multifd_zeros = true},
};

const struct gw_wire_profile *gw_wire_profile(const char *name)
{
    for (size_t i = 0; i < GW_ARRAY_LEN(profiles); i++)
        if (!strcmp(profiles[i].name, name))
            return &profiles[i];
    return NULL;
}

/* "-MAJOR.MINOR" at the end of the name, as 100 * MAJOR + MINOR; 0: the name has no version. */
static unsigned long version_of(const char *machine)
{
    const char *dash = strrchr(machine, '-');
    unsigned long major, minor;
    char *end;

    if (!dash || dash[1] < '0' || dash[1] > '9')
        return 0;
    major = strtoul(dash + 1, &end, 10);
    if (*end != '.' || end[1] < '0' || end[1] > '9')
        return 0;
    minor = strtoul(end + 1, &end, 10);
    return *end || major > 9999 ? 0 : major * 100 + GW_MIN(minor, 99u);
}

const struct gw_wire_profile *gw_wire_profile_of_machine(const char *machine)
{
    const struct gw_wire_profile *found = gw_wire_profile("7.2");
    unsigned long version = version_of(machine);

    for (size_t i = 0; i < GW_ARRAY_LEN(profiles); i++)
        if (profiles[i].machines_from > found->machines_from && profiles[i].machines_from <= version)
            found = &profiles[i];
    return found;
}

const struct gw_wire_profile *gw_wire_profile_multifd(const struct gw_wire_profile *peer, const char *machine)
{
    const struct gw_wire_profile *by_machine = gw_wire_profile_of_machine(machine);
    bool older = peer->multifd_rounds < by_machine->multifd_rounds || peer->multifd_zeros < by_machine->multifd_zeros;

    return !version_of(machine) || older ? peer : by_machine;
}
