/* SPDX-License-Identifier: MIT */
#include "wire/ram_record.h"

#include "wire/names.h"

int gw_ram_record_wrong(struct gw_in *in, const struct gw_ram_record *record, const char *what, struct gw_error *err)
{
    return gw_in_fail(in, -EPROTO, err, "byte %" PRIu64 ": RAM record 0x%" PRIx64 " (%s): %s", record->at, record->word,
                      gw_wire_ram_flag(record->kind), what);
}

int gw_ram_word_get(struct gw_in *in, uint32_t page_bytes, struct gw_ram_record *ret, struct gw_error *err)
{
    uint64_t mask = page_bytes - 1;
    int e;

    ret->at = gw_in_offset(in);
    e = gw_get_u64(in, &ret->word, err);
    if (e < 0)
        return e;
    ret->kind = (uint32_t)(ret->word & mask & ~(uint64_t)GW_RAMF_CONTINUE);
    ret->offset = ret->word & ~mask;
    ret->named = !(ret->word & GW_RAMF_CONTINUE);
    switch (ret->kind) {
    case GW_RAMF_EOS:
    case GW_RAMF_MULTIFD_FLUSH:
        if (ret->word != ret->kind)
            return gw_ram_record_wrong(in, ret, "it has an offset, or goes on with a block", err);
        ret->named = false;
        return 0;
    case GW_RAMF_ZERO:
    case GW_RAMF_PAGE:
    case GW_RAMF_XBZRLE:
    case GW_RAMF_COMPRESS:
        return 0;
    default:
        return gw_ram_record_wrong(in, ret, "no kind of record that is known", err);
    }
}

int gw_ram_record_get(struct gw_in *in, uint32_t page_bytes, struct gw_ram_record *ret, struct gw_error *err)
{
    int e = gw_ram_word_get(in, page_bytes, ret, err);

    return e >= 0 && ret->named ? gw_get_name(in, ret->name, err) : e;
}

void gw_ram_put_xbzrle(struct gw_out *out, uint16_t bytes)
{
    gw_put_u8(out, GW_XBZRLE_ENCODING);
    gw_put_u16(out, bytes);
}

void gw_ram_put_compressed(struct gw_out *out, uint32_t bytes)
{
    gw_put_u32(out, bytes);
}

int gw_ram_coded_get(struct gw_in *in, const struct gw_ram_record *record, uint32_t page_bytes, uint32_t *ret_bytes,
                     struct gw_error *err)
{
    uint8_t encoding;
    uint16_t n;
    int e;

    if (record->kind == GW_RAMF_COMPRESS) {
        e = gw_get_u32(in, ret_bytes, err);
        if (e >= 0 && (!*ret_bytes || *ret_bytes > GW_MIN(page_bytes + page_bytes / 100 + 32, GW_IN_LOOK)))
            e = gw_ram_record_wrong(in, record, "more compressed bytes than a page can need", err);
        return e;
    }
    e = gw_get_u8(in, &encoding, err);
    if (e >= 0)
        e = gw_get_u16(in, &n, err);
    if (e >= 0 && (encoding != GW_XBZRLE_ENCODING || !n || n > page_bytes))
        e = gw_ram_record_wrong(in, record, "its encoding or length is wrong", err);
    if (e >= 0)
        *ret_bytes = n;
    return e;
}
