/* SPDX-License-Identifier: MIT */
#include "wire/names.h"

#include "base/base.h"

static const struct gw_wire_name *find(const struct gw_wire_name *table, size_t count, uint16_t number)
{
    for (size_t i = 0; i < count; i++)
        if (table[i].number == number)
            return &table[i];
    return NULL;
}

#define ROW(name, number, bytes, text) {number, bytes, text},

const struct gw_wire_name *gw_wire_command(uint16_t number)
{
    static const struct gw_wire_name table[] = {GW_COMMANDS(ROW)};

    return find(table, GW_ARRAY_LEN(table), number);
}

const struct gw_wire_name *gw_wire_rp(uint16_t number)
{
    static const struct gw_wire_name table[] = {GW_RP_MESSAGES(ROW)};

    return find(table, GW_ARRAY_LEN(table), number);
}

bool gw_wire_fits(const struct gw_wire_name *name, size_t bytes)
{
    return name->bytes >= 0 ? bytes == (size_t)name->bytes : name->bytes == -2 || bytes;
}

static const char *name(const struct gw_wire_name *found)
{
    return found ? found->name : "unknown";
}

const char *gw_wire_ram_flag(uint64_t flags)
{
    static const struct gw_wire_name table[] = {GW_RAM_FLAGS(ROW)};
    uint64_t kind = flags & ~(uint64_t)GW_RAMF_CONTINUE;

    return name(kind > UINT16_MAX ? NULL : find(table, GW_ARRAY_LEN(table), (uint16_t)kind));
}

const char *gw_wire_element(uint8_t type)
{
    static const struct gw_wire_name table[] = {GW_ELEMENTS(ROW)};

    return name(find(table, GW_ARRAY_LEN(table), type));
}
