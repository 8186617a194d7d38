/* SPDX-License-Identifier: MIT */
#include "wire/packet.h"

#include "wire/numbers.h"

#define VERSION 1u
#define NAME_AT 64u

_Static_assert(GW_PACKET_PAGES_MAX == GW_PACKET_DATA >> GW_PAGE_BITS_MIN, "the most pages");
_Static_assert(GW_PACKET_FIXED + 8 * GW_PACKET_PAGES_MAX <= GW_IN_LOOK, "a head is looked at in one piece");

const char *gw_packet_coding_name(uint32_t flags)
{
    switch (flags & GW_PACKET_CODING) {
    case GW_PACKET_PLAIN:
        return "none";
    case GW_PACKET_ZLIB:
        return "zlib";
    case GW_PACKET_ZSTD:
        return "zstd";
    case 0x08:
        return "qpl";
    case 0x10:
        return "uadk";
    case 0x20:
        return "qatzip";
    default:
        return "unknown";
    }
}

void gw_packet_put(struct gw_out *out, uint32_t page_bytes, const struct gw_packet *p, const uint64_t *offset)
{
    uint8_t *head = gw_out_room(out, gw_packet_head_bytes(page_bytes));

    if (!head)
        return;
    memset(head, 0, gw_packet_head_bytes(page_bytes));
    gw_store_be32(head, GW_WIRE_MULTIFD_MAGIC);
    gw_store_be32(head + 4, VERSION);
    gw_store_be32(head + 8, p->flags);
    gw_store_be32(head + 12, gw_packet_capacity(page_bytes));
    gw_store_be32(head + 16, p->pages);
    gw_store_be32(head + 20, p->bytes);
    gw_store_be64(head + 24, p->number);
    gw_store_be32(head + 32, p->zeros);
    gw_strcopy((char *)head + NAME_AT, sizeof p->name, p->name);
    for (uint32_t i = 0; i < p->pages + p->zeros; i++)
        gw_store_be64(head + GW_PACKET_FIXED + 8 * (size_t)i, offset[i]);
}

static int wrong(struct gw_in *in, int code, const char *what, uint64_t value, struct gw_error *err)
{
    return gw_in_fail(in, code, err, "multifd packet at byte %" PRIu64 ": %s (0x%" PRIx64 ")", gw_in_offset(in), what,
                      value);
}

static int check_pages(struct gw_in *in, const uint8_t *head, uint32_t page_bytes, enum gw_packet_coding coding,
                       struct gw_packet *p, uint64_t *offset, struct gw_error *err)
{
    bool coded = coding != GW_PACKET_PLAIN && !(p->flags & GW_PACKET_AS_IS);

    if ((p->flags & GW_PACKET_CODING) != (uint32_t)coding)
        return gw_in_fail(in, -EPROTO, err,
                          "multifd packet at byte %" PRIu64 ": multifd-compression is %s at the source and %s here: "
                          "set the same on both sides",
                          gw_in_offset(in), gw_packet_coding_name(p->flags), gw_packet_coding_name(coding));
    if (p->pages && (coded ? !p->bytes || p->bytes > GW_PACKET_CODED_MAX : p->bytes != (uint64_t)p->pages * page_bytes))
        return wrong(in, -EPROTO, "its number of content bytes is out of range", p->bytes, err);
    if (!head[NAME_AT] || !memchr(head + NAME_AT, 0, sizeof p->name))
        return wrong(in, -EPROTO, "the name of its block is empty or does not end", head[NAME_AT], err);
    memcpy(p->name, head + NAME_AT, sizeof p->name);
    for (uint32_t i = 0; i < p->pages + p->zeros; i++) {
        offset[i] = gw_load_be64(head + GW_PACKET_FIXED + 8 * (size_t)i);
        if (offset[i] % page_bytes)
            return wrong(in, -EPROTO, "a page begins within a page", offset[i], err);
    }
    return gw_in_printable(in, p->name, gw_in_offset(in) + NAME_AT, err);
}

int gw_packet_get(struct gw_in *in, uint32_t page_bytes, enum gw_packet_coding coding, struct gw_packet *ret,
                  uint64_t *offset, struct gw_error *err)
{
    uint32_t capacity = gw_packet_capacity(page_bytes), most;
    const uint8_t *head;
    int e = gw_in_need(in, gw_packet_head_bytes(page_bytes), &head, err);

    if (e < 0)
        return e;
    if (gw_load_be32(head) != GW_WIRE_MULTIFD_MAGIC)
        return wrong(in, -EPROTO, "this is none", gw_load_be32(head), err);
    if (gw_load_be32(head + 4) != VERSION)
        return wrong(in, -EPROTO, "its version is not known", gw_load_be32(head + 4), err);
    *ret = (struct gw_packet){.flags = gw_load_be32(head + 8),
                              .pages = gw_load_be32(head + 16),
                              .bytes = gw_load_be32(head + 20),
                              .number = gw_load_be64(head + 24),
                              .zeros = gw_load_be32(head + 32)};
    if (ret->flags & GW_PACKET_DEVICE)
        return wrong(in, -ENOTSUP, "it has device state, which is not supported here", ret->flags, err);
    if (ret->flags & ~(GW_PACKET_SYNC | GW_PACKET_CODING | (coding != GW_PACKET_PLAIN ? GW_PACKET_AS_IS : 0)))
        return wrong(in, -EPROTO, "its flags are not known", ret->flags, err);
    most = gw_load_be32(head + 12);
    if (most > capacity)
        return wrong(in, -EPROTO, "it has room for more pages than a packet has", most, err);
    if (ret->pages > capacity || ret->zeros > capacity - ret->pages)
        return wrong(in, -EPROTO, "it has more pages than a packet has", (uint64_t)ret->pages + ret->zeros, err);
    if (!ret->pages) /* old peers leave the value of the previous packet there */
        ret->bytes = 0;
    if (ret->pages + ret->zeros)
        e = check_pages(in, head, page_bytes, coding, ret, offset, err);
    if (e >= 0)
        gw_in_skip(in, gw_packet_head_bytes(page_bytes));
    return e;
}
