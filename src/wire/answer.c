/* SPDX-License-Identifier: MIT */
#include "wire/answer.h"

void gw_answer_put(struct gw_out *out, uint16_t type, const void *body, uint16_t bytes)
{
    gw_put_u16(out, type);
    gw_put_u16(out, bytes);
    gw_put_bytes(out, body, bytes);
}

int gw_answer_get(struct gw_in *in, const struct gw_wire_name **ret_what, uint16_t *ret_bytes, struct gw_error *err)
{
    const struct gw_wire_name *what;
    uint16_t type;
    int e = gw_get_u16(in, &type, err);

    if (e >= 0)
        e = gw_get_u16(in, ret_bytes, err);
    if (e < 0)
        return e;
    what = gw_wire_rp(type);
    if (!what || *ret_bytes > GW_RP_MAX_BYTES || !gw_wire_fits(what, *ret_bytes))
        return gw_in_fail(in, -EPROTO, err, "no message of the return path has type 0x%04x and %u bytes", type,
                          *ret_bytes);
    *ret_what = what;
    return 0;
}
