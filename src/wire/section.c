/* SPDX-License-Identifier: MIT */
#include "wire/section.h"

#include "wire/numbers.h"

void gw_section_put_head(struct gw_out *out, uint8_t element, const struct gw_section_head *head)
{
    gw_section_put_part(out, element, head->id);
    gw_put_str8(out, head->name);
    gw_put_u32(out, head->instance);
    gw_put_u32(out, head->version);
}

void gw_section_put_part(struct gw_out *out, uint8_t element, uint32_t id)
{
    gw_put_u8(out, element);
    gw_put_u32(out, id);
}

void gw_section_put_footer(struct gw_out *out, uint32_t id)
{
    gw_section_put_part(out, GW_ELEMENT_FOOTER, id);
}

int gw_section_get_head(struct gw_in *in, struct gw_section_head *ret, struct gw_error *err)
{
    int e = gw_get_u32(in, &ret->id, err);

    if (e >= 0)
        e = gw_get_name(in, ret->name, err);
    if (e >= 0)
        e = gw_get_u32(in, &ret->instance, err);
    return e < 0 ? e : gw_get_u32(in, &ret->version, err);
}

int gw_section_get_footer(struct gw_in *in, uint32_t id, const char *name, struct gw_error *err)
{
    uint64_t at = gw_in_offset(in);
    uint32_t found;
    uint8_t mark;
    int e = gw_get_u8(in, &mark, err);

    if (e >= 0 && mark != GW_ELEMENT_FOOTER)
        return gw_in_fail(in, -EPROTO, err, "footer of section %u (%s) missing at byte %" PRIu64 ": found 0x%02x", id,
                          name, at, mark);
    if (e >= 0)
        e = gw_get_u32(in, &found, err);
    if (e >= 0 && found != id)
        return gw_in_fail(in, -EPROTO, err, "footer at byte %" PRIu64 ": section %u (%s) ends with the id %u", at, id,
                          name, found);
    return e;
}

void gw_wire_put_vmdesc(struct gw_out *out, const char *text, size_t bytes)
{
    if (!bytes)
        return;
    gw_put_u8(out, GW_ELEMENT_VMDESC);
    gw_put_u32(out, (uint32_t)bytes);
    gw_put_bytes(out, text, bytes);
}

int gw_wire_get_vmdesc(struct gw_in *in, uint32_t max, uint32_t *ret_bytes, struct gw_error *err)
{
    uint64_t at = gw_in_offset(in);
    int e = gw_get_u32(in, ret_bytes, err);

    if (e >= 0 && *ret_bytes > max)
        return gw_in_fail(in, -EPROTO, err, "a state description of %u bytes at byte %" PRIu64 ", at most %u are taken",
                          *ret_bytes, at, max);
    return e;
}
