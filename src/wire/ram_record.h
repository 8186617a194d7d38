/* SPDX-License-Identifier: MIT
 *
 * ram_record: the head of a RAM record (docs/wire-format.md 7.2 to 7.5): a word with flags and an offset, and a name
 * unless the block is that of the previous record.
 *
 * Hostile: an invalid word or name is -EPROTO. The caller checks whether the block exists and contains the offset.
 */
#ifndef GW_WIRE_RAM_RECORD_H
#define GW_WIRE_RAM_RECORD_H

#include "base/cursor.h"
#include "wire/numbers.h"

struct gw_ram_record {
    uint64_t at; /* offset of the word in the stream */
    uint64_t word;
    uint32_t kind; /* one of GW_RAMF_ZERO PAGE XBZRLE COMPRESS; EOS and MULTIFD_FLUSH, which have no offset and name */
    uint64_t offset; /* a multiple of the page size */
    bool named;      /* false: the block of the previous record */
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

/* Reads only the word. */
int gw_ram_word_get(struct gw_in *in, uint32_t page_bytes, struct gw_ram_record *ret, struct gw_error *err);
/* Reads the whole head. name is valid only if `named`. */
int gw_ram_record_get(struct gw_in *in, uint32_t page_bytes, struct gw_ram_record *ret, struct gw_error *err);
/* -EPROTO with the reason why the record is invalid. */
int gw_ram_record_wrong(struct gw_in *in, const struct gw_ram_record *record, const char *what, struct gw_error *err);
/* Lengths of the fields after the header of an encoded page: XBZRLE's encoding byte and u16, COMPRESS's u32. */
void gw_ram_put_xbzrle(struct gw_out *out, uint16_t bytes);
void gw_ram_put_compressed(struct gw_out *out, uint32_t bytes);
/* Reads these fields for a record of these two kinds; limited by the maximum that a page can need. */
int gw_ram_coded_get(struct gw_in *in, const struct gw_ram_record *record, uint32_t page_bytes, uint32_t *ret_bytes,
                     struct gw_error *err);

#endif
