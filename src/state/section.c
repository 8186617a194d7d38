/* SPDX-License-Identifier: MIT */
#include "state/section.h"

#include "wire/numbers.h"

int gw_section_get_head(struct gw_reader *r, struct gw_section_head *ret, struct gw_error *err)
{
    int e = gw_get_u32(r, &ret->id, err);

    if (e >= 0)
        e = gw_get_str8(r, ret->name, err);
    if (e >= 0)
        e = gw_get_u32(r, &ret->instance, err);
    if (e >= 0)
        e = gw_get_u32(r, &ret->version, err);
    if (e < 0)
        return e;
    for (char *p = ret->name; *p; p++)
        *p = *p < ' ' || *p > '~' ? '?' : *p;
    return 0;
}

int gw_section_get_footer(struct gw_reader *r, uint32_t id, const char *name, struct gw_error *err)
{
    uint64_t at = gw_reader_offset(r);
    uint32_t found;
    uint8_t mark;
    int e = gw_get_u8(r, &mark, err);

    if (e >= 0 && mark != GW_ELEMENT_FOOTER)
        e = gw_fail(err, -EPROTO, GW_BLAME_PEER, "footer of section %u (%s) missing at byte %" PRIu64 ": found 0x%02x", id,
                    name, at, mark);
    if (e >= 0)
        e = gw_get_u32(r, &found, err);
    if (e >= 0 && found != id)
        e = gw_fail(err, -EPROTO, GW_BLAME_PEER, "footer at byte %" PRIu64 ": section %u (%s) ends with the id %u", at, id,
                    name, found);
    return e;
}
