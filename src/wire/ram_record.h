/* SPDX-License-Identifier: MIT
 *
 * ram_record: the head of a RAM record (docs/wire-format.md 7.2 to 7.5): a word of flags and an offset, and a name
 * unless the block of the record before goes on.
 *
 * Hostile: a word or name that cannot be is -EPROTO. Whether the block exists, and has the offset, is the caller's to
 * see.
 */
#ifndef GW_WIRE_RAM_RECORD_H
#define GW_WIRE_RAM_RECORD_H

#include "base/cursor.h"
#include "wire/numbers.h"

struct gw_ram_record {
    uint64_t at; /* of the word, in the stream */
    uint64_t word;
    uint32_t kind; /* one of GW_RAMF_ZERO PAGE XBZRLE COMPRESS; EOS and MULTIFD_FLUSH, which have no offset and name */
    uint64_t offset; /* a multiple of the page */
    bool named;      /* false: the block goes on */
    char name[256];
};

static inline void gw_ram_record_put(struct gw_out *out, uint64_t offset, uint32_t kind, const char *name)
{
    gw_put_u64(out, offset | kind | (name ? 0 : GW_RAMF_CONTINUE));
    if (name)
        gw_put_str8(out, name);
}

static inline void gw_ram_put_zero(struct gw_out *out)
{
    gw_put_u8(out, 0);
}

static inline void gw_ram_put_end(struct gw_out *out)
{
    gw_put_u64(out, GW_RAMF_EOS);
}

static inline void gw_ram_put_flush(struct gw_out *out)
{
    gw_put_u64(out, GW_RAMF_MULTIFD_FLUSH);
}

/* The word alone. */
int gw_ram_word_get(struct gw_in *in, uint32_t page_bytes, struct gw_ram_record *ret, struct gw_error *err);
/* The whole head. name is valid only if named. */
int gw_ram_record_get(struct gw_in *in, uint32_t page_bytes, struct gw_ram_record *ret, struct gw_error *err);
/* -EPROTO with what is wrong about a record. */
int gw_ram_record_wrong(struct gw_in *in, const struct gw_ram_record *record, const char *what, struct gw_error *err);
/* Lengths of the fields after the header of an encoded page: XBZRLE's encoding byte and u16, COMPRESS's u32. */
void gw_ram_put_xbzrle(struct gw_out *out, uint16_t bytes);
void gw_ram_put_compressed(struct gw_out *out, uint32_t bytes);
/* Of a record of these two kinds; bounded by what a page can need. */
int gw_ram_coded_get(struct gw_in *in, const struct gw_ram_record *record, uint32_t page_bytes, uint32_t *ret_bytes,
                     struct gw_error *err);

#endif
