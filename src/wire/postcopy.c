/* SPDX-License-Identifier: MIT */
#include "wire/postcopy.h"

#include "wire/numbers.h"

#define DISCARD_VERSION     0u
#define DISCARD_LEAST       (1u + 1u + 1u + 1u + RANGE_BYTES)
#define RANGE_BYTES         16u

static const struct {
    uint8_t from, to;
    uint16_t command;
} rules[] = {
    {GW_POSTCOPY_NONE, GW_POSTCOPY_ADVISED, GW_COMMAND_POSTCOPY_ADVISE},
    {GW_POSTCOPY_ADVISED, GW_POSTCOPY_DISCARDING, GW_COMMAND_POSTCOPY_RAM_DISCARD},
    {GW_POSTCOPY_DISCARDING, GW_POSTCOPY_DISCARDING, GW_COMMAND_POSTCOPY_RAM_DISCARD},
    {GW_POSTCOPY_ADVISED, GW_POSTCOPY_ADVISED, GW_COMMAND_PACKAGED},
    {GW_POSTCOPY_DISCARDING, GW_POSTCOPY_DISCARDING, GW_COMMAND_PACKAGED},
    {GW_POSTCOPY_ADVISED, GW_POSTCOPY_LISTENING, GW_COMMAND_POSTCOPY_LISTEN},
    {GW_POSTCOPY_DISCARDING, GW_POSTCOPY_LISTENING, GW_COMMAND_POSTCOPY_LISTEN},
    {GW_POSTCOPY_LISTENING, GW_POSTCOPY_RUNNING, GW_COMMAND_POSTCOPY_RUN},
};

bool gw_postcopy_step(enum gw_postcopy *state, uint16_t command)
{
    for (size_t i = 0; i < GW_ARRAY_LEN(rules); i++)
        if (rules[i].from == *state && rules[i].command == command) {
            *state = (enum gw_postcopy)rules[i].to;
            return true;
        }
    return false;
}

const char *gw_postcopy_name(enum gw_postcopy state)
{
    static const char *const names[] = {"not advised", "advised", "discarding", "listening", "running"};

    return (unsigned)state < GW_POSTCOPY_COUNT ? names[state] : "?";
}

void gw_advise_put(uint8_t dst[GW_ADVISE_BYTES], const struct gw_wire_advise *advise)
{
    gw_store_be64(dst, advise->host_pages);
    gw_store_be64(dst + 8, advise->page_bytes);
}

int gw_advise_get(struct gw_in *in, uint16_t bytes, struct gw_wire_advise *ret, struct gw_error *err)
{
    uint64_t at = gw_in_offset(in);
    int e;

    if (!bytes)
        return gw_in_fail(in, -ENOTSUP, err,
                          "the source would send dirty bitmaps after the switch to postcopy, which a machine at rest "
                          "cannot receive: "
                          "turn its capability postcopy-ram on as well, or dirty-bitmaps off");
    if (bytes != GW_ADVISE_BYTES)
        return gw_in_fail(in, -EPROTO, err, "it has %u bytes instead of %u", bytes, GW_ADVISE_BYTES);
    e = gw_get_u64(in, &ret->host_pages, err);
    if (e >= 0)
        e = gw_get_u64(in, &ret->page_bytes, err);
    if (e >= 0 && (!gw_is_pow2(ret->page_bytes) || !ret->host_pages))
        e = gw_in_fail(in, -EPROTO, err, "byte %" PRIu64 ": host pages of 0x%" PRIx64 " bytes, target pages of 0x%" PRIx64
                       ": that cannot be", at, ret->host_pages, ret->page_bytes);
    return e;
}

int gw_discard_get(struct gw_in *in, uint16_t bytes, char name[256], unsigned *ret_ranges, struct gw_error *err)
{
    uint64_t at = gw_in_offset(in);
    uint8_t version, end;
    size_t head;
    int e;

    if (bytes < DISCARD_LEAST)
        return gw_in_fail(in, -EPROTO, err, "it has %u bytes instead of at least %u", bytes, DISCARD_LEAST);
    e = gw_get_u8(in, &version, err);
    if (e < 0)
        return e;
    if (version != DISCARD_VERSION)
        return gw_in_fail(in, -EPROTO, err, "byte %" PRIu64 ": version %u, %u is known", at, version, DISCARD_VERSION);
    e = gw_get_str8(in, name, err);
    if (e < 0)
        return e;
    head = 1 + 1 + strlen(name) + 1;
    if (head + RANGE_BYTES > bytes || (bytes - head) % RANGE_BYTES)
        return gw_in_fail(in, -EPROTO, err, "byte %" PRIu64 ": %u bytes are a name of %zu and no whole number of ranges", at,
                          bytes, strlen(name));
    e = gw_get_u8(in, &end, err);
    if (e >= 0 && end)
        e = gw_in_fail(in, -EPROTO, err, "byte %" PRIu64 ": no zero behind the name of the RAM block, but 0x%02x",
                       gw_in_offset(in) - 1, end);
    *ret_ranges = (unsigned)((bytes - head) / RANGE_BYTES);
    return e;
}

int gw_discard_get_range(struct gw_in *in, uint64_t *ret_start, uint64_t *ret_bytes, struct gw_error *err)
{
    int e = gw_get_u64(in, ret_start, err);

    return e < 0 ? e : gw_get_u64(in, ret_bytes, err);
}
