/* SPDX-License-Identifier: MIT */
#include "wire/profile.h"

#include <string.h>

#include "base/base.h"

static const struct gw_wire_profile profiles[] = {
    {.name = "godwit", .ask_extensions = true, .open_return_path = true},
    {.name = "7.2"},
    {.name = "9.0"},
    {.name = "10.0", .switchover_start = true, .vmdesc_configuration = true},
};

const struct gw_wire_profile *gw_wire_profile(const char *name)
{
    for (size_t i = 0; i < GW_ARRAY_LEN(profiles); i++)
        if (!strcmp(profiles[i].name, name))
            return &profiles[i];
    return NULL;
}
