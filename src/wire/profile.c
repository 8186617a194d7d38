/* SPDX-License-Identifier: MIT */
#include "wire/profile.h"

#include <stdlib.h>
#include <string.h>

#include "base/base.h"

static const struct gw_wire_profile profiles[] = {
    {.name = "godwit", .ask_extensions = true, .open_return_path = true},
    {.name = "7.2"},
    {.name = "9.0", .machines_from = 9},
    {.name = "10.0", .machines_from = 10, .switchover_start = true, .vmdesc_configuration = true, .no_compressed_pages = true},
};

const struct gw_wire_profile *gw_wire_profile(const char *name)
{
    for (size_t i = 0; i < GW_ARRAY_LEN(profiles); i++)
        if (!strcmp(profiles[i].name, name))
            return &profiles[i];
    return NULL;
}

/* "-MAJOR.MINOR" at the end of the name; 0: there is none. */
static unsigned long major(const char *machine)
{
    const char *dash = strrchr(machine, '-');
    unsigned long n;
    char *end;

    if (!dash || dash[1] < '0' || dash[1] > '9')
        return 0;
    n = strtoul(dash + 1, &end, 10);
    if (*end != '.' || end[1] < '0' || end[1] > '9')
        return 0;
    strtoul(end + 1, &end, 10);
    return *end ? 0 : n;
}

const struct gw_wire_profile *gw_wire_profile_of_machine(const char *machine)
{
    const struct gw_wire_profile *found = gw_wire_profile("7.2");
    unsigned long version = major(machine);

    for (size_t i = 0; i < GW_ARRAY_LEN(profiles); i++)
        if (profiles[i].machines_from > found->machines_from && profiles[i].machines_from <= version)
            found = &profiles[i];
    return found;
}
