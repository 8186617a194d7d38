/* SPDX-License-Identifier: MIT */
#include "wire/command.h"

void gw_command_put(struct gw_out *out, uint16_t number, const void *payload, uint16_t bytes)
{
    gw_put_u8(out, GW_ELEMENT_COMMAND);
    gw_put_u16(out, number);
    gw_put_u16(out, bytes);
    gw_put_bytes(out, payload, bytes);
}

int gw_command_get(struct gw_in *in, uint64_t at, const struct gw_wire_name **ret_what, uint16_t *ret_bytes,
                   struct gw_error *err)
{
    const struct gw_wire_name *what;
    uint16_t number;
    int e = gw_get_u16(in, &number, err);

    if (e >= 0)
        e = gw_get_u16(in, ret_bytes, err);
    if (e < 0)
        return e;
    what = gw_wire_command(number);
    if (!what)
        return gw_in_fail(in, -EPROTO, err, "unknown command 0x%x at byte %" PRIu64, number, at);
    if (!gw_wire_fits(what, *ret_bytes))
        return gw_in_fail(in, -EPROTO, err, "command %s at byte %" PRIu64 " has %u bytes instead of %d", what->name, at,
                          *ret_bytes, what->bytes < 0 ? 1 : what->bytes);
    *ret_what = what;
    return 0;
}
