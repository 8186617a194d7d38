/* SPDX-License-Identifier: MIT */
#include "wire/mapped.h"

#define VERSION     1u
#define PAGES_ALIGN GW_MIB

static uint64_t map_bytes(uint64_t used_bytes, uint32_t page_bytes)
{
    return gw_div_up(used_bytes / page_bytes, 64) * 8;
}

int gw_mapped_lay(const char *name, uint64_t used_bytes, uint32_t page_bytes, uint64_t at, struct gw_wire_mapped *ret,
                  struct gw_error *err)
{
    if (at > INT64_MAX / 2 || used_bytes > INT64_MAX / 2)
        return gw_fail(err, -EFBIG, GW_BLAME_LOCAL, "RAM block %s: no file is so large", name);
    ret->map_at = at + GW_MAPPED_HEAD_BYTES;
    ret->map_bytes = map_bytes(used_bytes, page_bytes);
    ret->pages_at = gw_div_up(ret->map_at + ret->map_bytes, PAGES_ALIGN) * PAGES_ALIGN;
    if (gw_add_overflows(ret->pages_at, used_bytes, &ret->end) || ret->end > INT64_MAX)
        return gw_fail(err, -EFBIG, GW_BLAME_LOCAL, "RAM block %s: no file is so large", name);
    return 0;
}

void gw_mapped_put(struct gw_out *out, uint32_t page_bytes, const struct gw_wire_mapped *m)
{
    gw_put_u32(out, VERSION);
    gw_put_u64(out, page_bytes);
    gw_put_u64(out, m->map_at);
    gw_put_u64(out, m->pages_at);
}

int gw_mapped_get(struct gw_in *in, const char *name, uint64_t used_bytes, uint32_t page_bytes, uint64_t at,
                  struct gw_wire_mapped *ret, struct gw_error *err)
{
    uint64_t bytes, least;
    const uint8_t *p = NULL;
    int e = gw_in_need(in, GW_MAPPED_HEAD_BYTES, &p, err);

    if (e < 0) {
        gw_context(err, "mapped-ram head of RAM block %s", name);
        return e;
    }
    bytes = gw_load_be64(p + 4);
    *ret = (struct gw_wire_mapped){
        .map_at = gw_load_be64(p + 12), .map_bytes = map_bytes(used_bytes, page_bytes), .pages_at = gw_load_be64(p + 20)};
    if (gw_load_be32(p) != VERSION)
        return gw_in_fail(in, -EPROTO, err, "byte %" PRIu64 ": mapped-ram version %u", at, gw_load_be32(p));
    if (bytes != page_bytes)
        return gw_in_fail(in, -EPROTO, err, "byte %" PRIu64 ": pages of %" PRIu64 " bytes instead of %u", at + 4, bytes,
                          page_bytes);
    if (ret->map_at < at + GW_MAPPED_HEAD_BYTES || gw_add_overflows(ret->map_at, ret->map_bytes, &least) ||
        ret->pages_at < least || ret->pages_at % page_bytes || gw_add_overflows(ret->pages_at, used_bytes, &ret->end) ||
        ret->end > INT64_MAX)
        return gw_in_fail(in, -EPROTO, err,
                          "byte %" PRIu64 ": RAM block %s has its map at byte %" PRIu64 " and its pages at byte %" PRIu64
                          ", where they cannot be",
                          at, name, ret->map_at, ret->pages_at);
    gw_in_skip(in, GW_MAPPED_HEAD_BYTES);
    return 0;
}
