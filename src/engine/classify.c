/* SPDX-License-Identifier: MIT */
#include "engine/classify.h"

#include "base/endian.h"
#include "wire/greeting.h"
#include "wire/numbers.h"

static int pages(const struct gw_classify *c, const uint8_t *first, size_t got, struct gw_link_id *ret,
                 struct gw_error *err)
{
    struct gw_greeting g;
    int r;

    if (!c->pages)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                       "a multifd channel came: capability multifd is on at the source and off here: set the same on both "
                       "sides");
    if (got < GW_GREETING_BYTES)
        return GW_GREETING_BYTES;
    r = gw_greeting_get(first, &g, err);
    if (r < 0)
        return r;
    if (!c->any_uuid && memcmp(g.uuid, c->uuid, sizeof g.uuid) != 0)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "multifd channel %u belongs to a machine with another UUID: give both sides the same", g.channel);
    if (g.channel >= c->pages)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                       "multifd channel %u came, but multifd-channels is %u here and more at the source: set the same on both "
                       "sides",
                       g.channel, c->pages);
    *ret = (struct gw_link_id){.purpose = GW_LINK_PAGES, .index = g.channel, .consume = GW_GREETING_BYTES};
    return 0;
}

/* The first word of a record of a page, or the end mark. Addresses within a block are far below 2^48. */
static int urgent(const uint8_t *first, size_t got, struct gw_link_id *ret, struct gw_error *err)
{
    uint64_t word, flags;

    if (got < sizeof word)
        return sizeof word;
    word = gw_load_be64(first);
    flags = word & ((1u << GW_PAGE_BITS_MIN) - 1);
    if (word >> 48 || (flags != GW_RAMF_PAGE && flags != GW_RAMF_ZERO && word != GW_RAMF_EOS))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "begins with 0x%016" PRIx64 ", which is not the beginning of any channel "
                       "expected here", word);
    *ret = (struct gw_link_id){.purpose = GW_LINK_URGENT};
    return 0;
}

int gw_classify(const struct gw_classify *c, const uint8_t *first, size_t got, bool silent, struct gw_link_id *ret,
                struct gw_error *err)
{
    if (silent && !c->urgent)
        return gw_fail(err, -ETIMEDOUT, GW_BLAME_PEER, "said nothing");
    if (!silent && got < 4)
        return 4;
    if (silent)
        *ret = (struct gw_link_id){.purpose = GW_LINK_URGENT};
    else if (gw_load_be32(first) == GW_WIRE_MULTIFD_MAGIC)
        return pages(c, first, got, ret, err);
    else if (!c->recover && gw_load_be32(first) == GW_WIRE_MAGIC)
        *ret = (struct gw_link_id){.purpose = GW_LINK_MAIN};
    else if (c->recover && first[0] == GW_ELEMENT_COMMAND)
        *ret = (struct gw_link_id){.purpose = GW_LINK_RECOVER};
    else if (c->urgent && gw_load_be32(first) != GW_WIRE_MAGIC)
        return urgent(first, got, ret, err);
    else
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "begins with 0x%08x, which is not the beginning of any channel expected here",
                       gw_load_be32(first));
    return 0;
}
