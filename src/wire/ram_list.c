/* SPDX-License-Identifier: MIT */
#include "wire/ram_list.h"

#include "wire/numbers.h"

void gw_ram_list_put_total(struct gw_out *out, uint64_t bytes)
{
    gw_put_u64(out, bytes | GW_RAMF_MEM_SIZE);
}

int gw_ram_list_get_total(struct gw_in *in, uint32_t page_bytes, uint64_t max, uint64_t *ret_bytes,
                          struct gw_error *err)
{
    uint64_t word, mask = page_bytes - 1, at = gw_in_offset(in);
    int e = gw_get_u64(in, &word, err);

    if (e < 0)
        return e;
    if ((word & mask) != GW_RAMF_MEM_SIZE)
        return gw_in_fail(in, -EPROTO, err, "RAM block list expected at byte %" PRIu64 ", found flags 0x%" PRIx64, at,
                          word & mask);
    if ((word & ~mask) > max)
        return gw_in_fail(in, -EPROTO, err, "byte %" PRIu64 ": more than %" PRIu64 " TiB of RAM", at, max >> 40);
    *ret_bytes = word & ~mask;
    return 0;
}

void gw_ram_list_put(struct gw_out *out, const char *name, uint64_t used_bytes, const uint64_t *gpa)
{
    gw_put_str8(out, name);
    gw_put_u64(out, used_bytes);
    if (gpa)
        gw_put_u64(out, *gpa);
}

int gw_ram_list_get(struct gw_in *in, uint64_t *left, struct gw_wire_block *ret, struct gw_error *err)
{
    uint64_t at = gw_in_offset(in);
    int e = gw_get_name(in, ret->name, err);

    if (e >= 0)
        e = gw_get_u64(in, &ret->used_bytes, err);
    if (e < 0)
        return e;
    if (ret->used_bytes > *left)
        return gw_in_fail(in, -EPROTO, err,
                          "RAM block %s at byte %" PRIu64 ": 0x%" PRIx64 " bytes, 0x%" PRIx64 " of the total are left",
                          ret->name, at, ret->used_bytes, *left);
    *left -= ret->used_bytes;
    return 0;
}
