/* SPDX-License-Identifier: MIT */
#include "wire/block_record.h"

#define FLAGS ((1u << GW_BLOCK_SECTOR_BITS) - 1)

void gw_block_put_chunk(struct gw_out *out, const char *name, uint64_t offset, bool zero)
{
    uint64_t sector = offset >> GW_BLOCK_SECTOR_BITS;

    gw_put_u64(out, sector << GW_BLOCK_SECTOR_BITS | GW_BLOCK_CHUNK | (zero ? GW_BLOCK_ZERO : 0u));
    gw_put_str8(out, name);
}

void gw_block_put_progress(struct gw_out *out, unsigned percent)
{
    gw_put_u64(out, (uint64_t)percent << GW_BLOCK_SECTOR_BITS | GW_BLOCK_PROGRESS);
}

void gw_block_put_end(struct gw_out *out)
{
    gw_put_u64(out, GW_BLOCK_END);
}

int gw_block_get(struct gw_in *in, struct gw_block_record *ret, struct gw_error *err)
{
    uint64_t word, at = gw_in_offset(in);
    int e = gw_get_u64(in, &word, err);
    unsigned flags = word & FLAGS;

    if (e < 0)
        return e;
    *ret = (struct gw_block_record){.kind = flags & ~(unsigned)GW_BLOCK_ZERO, .zero = flags & GW_BLOCK_ZERO};
    switch (flags) {
    case GW_BLOCK_END:
        return 0;
    case GW_BLOCK_PROGRESS:
        if (word >> GW_BLOCK_SECTOR_BITS > 100)
            return gw_in_fail(in, -EPROTO, err, "byte %" PRIu64 ": %" PRIu64 " percent of the disks", at,
                              word >> GW_BLOCK_SECTOR_BITS);
        ret->percent = (unsigned)(word >> GW_BLOCK_SECTOR_BITS);
        return 0;
    case GW_BLOCK_CHUNK:
    case GW_BLOCK_CHUNK | GW_BLOCK_ZERO:
        ret->offset = word & ~(uint64_t)FLAGS;
        return gw_get_name(in, ret->name, err);
    default:
        return gw_in_fail(in, -EPROTO, err, "byte %" PRIu64 ": disk record with flags 0x%x", at, flags);
    }
}
