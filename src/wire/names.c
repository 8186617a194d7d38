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

const char *gw_wire_ram_flag(uint64_t flags)
{
    switch (flags & ~(uint64_t)GW_RAMF_CONTINUE) {
    case GW_RAMF_ZERO:
        return "ZERO";
    case GW_RAMF_MEM_SIZE:
        return "MEM_SIZE";
    case GW_RAMF_PAGE:
        return "PAGE";
    case GW_RAMF_EOS:
        return "end mark";
    case GW_RAMF_XBZRLE:
        return "XBZRLE";
    case GW_RAMF_HOOK:
        return "RDMA hook";
    case GW_RAMF_COMPRESS:
        return "COMPRESS";
    case GW_RAMF_MULTIFD_FLUSH:
        return "MULTIFD_FLUSH";
    default:
        return "unknown";
    }
}

const char *gw_wire_element(uint8_t type)
{
    switch (type) {
    case GW_ELEMENT_EOF:
        return "EOF";
    case GW_ELEMENT_START:
        return "START";
    case GW_ELEMENT_PART:
        return "PART";
    case GW_ELEMENT_END:
        return "END";
    case GW_ELEMENT_FULL:
        return "FULL";
    case GW_ELEMENT_SUBSECTION:
        return "SUBSECTION";
    case GW_ELEMENT_VMDESC:
        return "VMDESCRIPTION";
    case GW_ELEMENT_CONFIGURATION:
        return "CONFIGURATION";
    case GW_ELEMENT_COMMAND:
        return "COMMAND";
    case GW_ELEMENT_FOOTER:
        return "FOOTER";
    default:
        return "unknown";
    }
}
