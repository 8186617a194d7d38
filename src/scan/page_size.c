/* SPDX-License-Identifier: MIT
 *
 * Finds the page size if the head does not give it (wire-format.md 2): the smallest that the target can have, which is
 * 1 KiB on ARM, 4 KiB on most targets, 8 KiB on some. The records of the first pass over RAM show it: they go from page
 * to page, and a plain record has the length of a page.
 */
#include "base/endian.h"
#include "scan/parts.h"
#include "wire/ram_record.h"

#define WINDOW     (512u << 10) /* bytes that are examined */
#define ENOUGH     16u          /* number of records that suffices */
#define FEW_LARGE  8u           /* a larger size is accepted with this many records: with the usual size, every second page would
                                 * be missing */

struct tried {
    enum { REFUSED, CUT, FINISHED } state; /* CUT: more bytes may allow a decision */
    unsigned records;
};

/* Whether a name occurs in the bytes before, as in the list of RAM blocks. */
static bool is_listed(const uint8_t *data, size_t bytes, const char *name)
{
    size_t n = strlen(name);
    uint8_t text[256];

    text[0] = (uint8_t)n;
    memcpy(text + 1, name, n);
    return memmem(data, bytes, text, n + 1) != NULL;
}

/* After the end mark: the footer or, in streams without footers, an element. -ENODATA: more bytes are needed. */
static int try_end(struct gw_in *in, uint32_t id)
{
    uint8_t element;
    uint32_t found = id;
    int r = gw_get_u8(in, &element, NULL);

    if (r >= 0 && element == GW_ELEMENT_FOOTER)
        r = gw_get_u32(in, &found, NULL);
    else if (r >= 0 && element > GW_ELEMENT_FULL && element != GW_ELEMENT_COMMAND)
        r = -EPROTO;
    return r >= 0 && found != id ? -EPROTO : r;
}

/* Reads one record, assuming pages of this size. 1: the end mark. */
static int try_record(struct gw_in *in, const uint8_t *data, size_t at, uint32_t id, uint32_t page_bytes,
                      struct tried *t)
{
    struct gw_ram_record record;
    uint32_t body = 1;
    int r = gw_ram_record_get(in, page_bytes, &record, NULL);

    if (r < 0 || record.kind == GW_RAMF_MULTIFD_FLUSH)
        return r;
    if (record.kind == GW_RAMF_EOS) {
        r = try_end(in, id);
        return r < 0 ? r : 1;
    }
    if (record.offset >= GW_SCAN_RAM_MAX || (record.named && !is_listed(data, at, record.name)))
        return -EPROTO;
    if (record.kind == GW_RAMF_PAGE)
        body = page_bytes;
    else if (record.kind != GW_RAMF_ZERO)
        r = gw_ram_coded_get(in, &record, page_bytes, &body, NULL);
    t->records += r >= 0;
    return r < 0 ? r : gw_get_discard(in, body, NULL);
}

/* Reads records from `at` on, assuming pages of this many bits. */
static struct tried try_bits(const uint8_t *data, size_t bytes, size_t at, uint32_t id, unsigned bits)
{
    struct tried t = {.state = FINISHED};
    struct gw_in in;
    int r = 0;

    gw_in_memory(&in, data + at, bytes - at, at);
    while (!r && t.records < ENOUGH)
        r = try_record(&in, data, at, id, 1u << bits, &t);
    if (r < 0)
        t.state = r == -ENODATA ? CUT : REFUSED;
    return t;
}

/* The position of the records: the first one that names its block, in the first PART or END of the RAM that has one. */
struct place {
    uint32_t id;
    size_t from; /* no PART or END begins before this */
    size_t at;   /* offset of the first record; 0: not known yet */
    bool over;   /* the RAM's END was reached without a page */
};

static void find_records(struct place *w, const uint8_t *data, size_t bytes)
{
    uint8_t id[4];
    size_t next = bytes - GW_MIN(bytes, (size_t)4);

    gw_store_be32(id, w->id);
    for (size_t i = w->from; !w->at && !w->over && bytes - i >= 5; i++) {
        const uint8_t *p = memmem(data + i + 1, bytes - i - 1, id, sizeof id);
        struct tried t;

        if (!p)
            break;
        i = (size_t)(p - data) - 1;
        if (data[i] != GW_ELEMENT_PART && data[i] != GW_ELEMENT_END)
            continue;
        t = try_bits(data, bytes, i + 5, w->id, GW_PAGE_BITS_MIN);
        if (t.records)
            w->at = i + 5;
        else if (t.state == CUT)
            next = GW_MIN(next, i);
        else if (t.state == FINISHED)
            w->over = data[i] == GW_ELEMENT_END;
    }
    w->from = next;
}

/* The largest size that matches all records. 0: more bytes are needed. */
static unsigned judge(struct place *w, const uint8_t *data, size_t bytes, bool last)
{
    struct tried t = {0}, usual;
    unsigned bits = GW_PAGE_BITS_MAX, cut = 0;
    bool more = false;

    if (!w->at)
        find_records(w, data, bytes);
    if (!w->at)
        return last || w->over ? GW_HEAD_PAGE_BITS : 0;
    for (; bits >= GW_PAGE_BITS_MIN; bits--) {
        t = try_bits(data, bytes, w->at, w->id, bits);
        if (t.state == FINISHED)
            break;
        if (t.state == CUT && t.records > 1 && !cut)
            cut = bits;
        more |= t.state == CUT;
    }
    usual = try_bits(data, bytes, w->at, w->id, GW_HEAD_PAGE_BITS);
    if (t.state != FINISHED && !last && more)
        return 0;
    if (t.state != FINISHED)
        return cut && usual.state == REFUSED ? cut : GW_HEAD_PAGE_BITS;
    /* Too few records: use the size of most targets. */
    if (usual.state == FINISHED && (t.records < 2 || (bits > GW_HEAD_PAGE_BITS && t.records < FEW_LARGE)))
        return GW_HEAD_PAGE_BITS;
    return bits;
}

/* In a mapped-ram file each block records it (wire-format.md 9). */
static unsigned judge_mapped(const struct gw_scan *s, const uint8_t *data, size_t bytes, bool last)
{
    uint64_t page = 0, skip;
    char name[256];
    struct gw_in in;

    gw_in_memory(&in, data, bytes, 0);
    if (gw_get_u64(&in, &skip, NULL) >= 0 && gw_get_name(&in, name, NULL) >= 0 &&
        gw_get_discard(&in, 8 + (s->ignore_shared ? 8 : 0) + 4, NULL) >= 0)
        gw_get_u64(&in, &page, NULL);
    if (!page)
        return last || in.failed == -EPROTO ? GW_HEAD_PAGE_BITS : 0;
    for (unsigned bits = GW_PAGE_BITS_MIN; bits <= GW_PAGE_BITS_MAX; bits++)
        if (page == 1ull << bits)
            return bits;
    return GW_HEAD_PAGE_BITS; /* the reader of the RAM reports the error */
}

int gw_scan_page_size(struct gw_scan *s, uint32_t ram_id, unsigned *ret_bits, struct gw_error *err)
{
    struct place w = {.id = ram_id};
    const uint8_t *p = NULL;
    unsigned bits = 0;
    size_t have = 0;
    bool last = false;

    while (!bits) {
        /* Not more than needed: a source may wait for an answer after these bytes. */
        int r = gw_scan_look(s, have + 1, &p, &have, &last, err);

        if (r < 0)
            return r;
        last |= have >= WINDOW;
        bits = s->mapped ? judge_mapped(s, p, have, last) : judge(&w, p, have, last);
    }
    *ret_bits = bits;
    return 0;
}
