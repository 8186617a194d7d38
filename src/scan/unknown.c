/* SPDX-License-Identifier: MIT
 *
 * Unknown live sections (of forks, or of machines other than x86): START, PART and END have no length. The end is a
 * footer with the section's number, followed by a possible element. RAM records after it must continue as records, and
 * devices must begin where the description at the end says (device.c). The boundary between two unknown sections is not
 * important, since both are kept unchanged.
 */
#include "base/endian.h"
#include "scan/parts.h"
#include "wire/command.h"
#include "wire/ram_record.h"

#define RECORDS     4u         /* records that must be valid after the footer */
#define VERSION_MAX 65536u
#define SLIDE       (2u << 20) /* a window of this size without an end in it is consumed */

bool gw_scan_is_known(const char *name)
{
    return !strcmp(name, "ram") || !strcmp(name, "block") || !strcmp(name, "dirty-bitmap");
}

static const struct gw_section_head *bound(const struct gw_scan *s, uint32_t id)
{
    for (unsigned i = 0; i < s->bound_count; i++)
        if (s->bound[i].id == id)
            return &s->bound[i];
    return NULL;
}

/* Checks records up to an end mark with its footer, or RECORDS of them. */
static int ram_fits(const struct gw_scan *s, struct gw_in *in, uint32_t id)
{
    for (unsigned i = 0; i < RECORDS; i++) {
        struct gw_ram_record record;
        uint32_t body = 1;
        int r = gw_ram_record_get(in, s->page_bytes, &record, NULL);

        if (r < 0 || record.kind == GW_RAMF_MULTIFD_FLUSH)
            return r;
        if (record.kind == GW_RAMF_EOS)
            return gw_section_get_footer(in, id, "ram", NULL);
        if (record.offset >= GW_SCAN_RAM_MAX)
            return -EPROTO;
        if (record.kind == GW_RAMF_PAGE)
            body = s->page_bytes;
        else if (record.kind != GW_RAMF_ZERO)
            r = gw_ram_coded_get(in, &record, s->page_bytes, &body, NULL);
        if (r >= 0)
            r = gw_get_discard(in, body, NULL);
        if (r < 0)
            return r;
    }
    return 0;
}

static int part_fits(const struct gw_scan *s, struct gw_in *in)
{
    const struct gw_section_head *b;
    uint32_t id;
    int r = gw_get_u32(in, &id, NULL);

    if (r < 0)
        return r;
    b = bound(s, id);
    return !b ? -EPROTO : !strcmp(b->name, "ram") ? ram_fits(s, in, id) : 0;
}

static int head_fits(const struct gw_scan *s, struct gw_in *in)
{
    struct gw_section_head head;
    int r = gw_section_get_head(in, &head, NULL);

    return r < 0 ? r : bound(s, head.id) || head.version >= VERSION_MAX ? -EPROTO : 0;
}

static int command_fits(struct gw_in *in)
{
    const struct gw_wire_name *what;
    uint16_t bytes;
    int r = gw_command_get(in, gw_in_offset(in), &what, &bytes, NULL);

    return r < 0 ? r : gw_get_discard(in, bytes, NULL);
}

/* Checks for the end of data, a description, or zeros. */
static int end_fits(struct gw_in *in)
{
    const uint8_t *p = in->data + in->pos;
    size_t n = gw_in_buffered(in);

    if (n < 6)
        return -ENODATA;
    return p[0] == GW_ELEMENT_VMDESC ? (p[5] == '{' ? 0 : -EPROTO) : (p[0] || memcmp(p, p + 1, 5)) ? -EPROTO : 0;
}

/* Whether an element can begin here. -ENODATA: more bytes are needed to decide; -EPROTO: no. */
static int fits(const struct gw_scan *s, const uint8_t *data, size_t bytes)
{
    struct gw_in in;

    if (!bytes)
        return -ENODATA;
    gw_in_memory(&in, data + 1, bytes - 1, 0);
    switch (data[0]) {
    case GW_ELEMENT_START:
    case GW_ELEMENT_FULL:
        return head_fits(s, &in);
    case GW_ELEMENT_PART:
    case GW_ELEMENT_END:
        return part_fits(s, &in);
    case GW_ELEMENT_COMMAND:
        return command_fits(&in);
    case GW_ELEMENT_EOF:
        return end_fits(&in);
    default:
        return -EPROTO;
    }
}

/* An EOF as the last byte is valid; any other truncated element is not. */
static bool is_cut_eof(const uint8_t *data, size_t bytes)
{
    size_t i = 0;

    while (i < bytes && !data[i])
        i++;
    return bytes && i == bytes;
}

/* The next footer at or after *from that can be the end. 1: *from is its offset; 0: there is none, and none before
 * *from. */
static int find_end(const struct gw_scan *s, uint32_t id, const uint8_t *data, size_t bytes, bool last, size_t *from)
{
    uint8_t footer[GW_FOOTER_BYTES] = {GW_ELEMENT_FOOTER};
    const uint8_t *p;

    gw_store_be32(footer + 1, id);
    while (bytes - *from >= sizeof footer) {
        size_t behind;
        int r;

        p = memmem(data + *from, bytes - *from, footer, sizeof footer);
        if (!p) {
            *from = bytes - sizeof footer + 1;
            return 0;
        }
        *from = (size_t)(p - data);
        behind = *from + sizeof footer;
        r = fits(s, data + behind, bytes - behind);
        if (r >= 0 || (last && is_cut_eof(data + behind, bytes - behind)))
            return 1;
        if (r == -ENODATA && !last)
            return 0;
        ++*from;
    }
    return 0;
}

struct body {
    uint8_t *data;
    size_t bytes, cap;
};

/* Consumes n bytes that were examined. */
static int take(struct gw_scan *s, struct body *b, const uint8_t *p, size_t n, struct gw_error *err)
{
    uint64_t max = s->live ? GW_SCAN_TAIL_LIVE_MAX : GW_SCAN_TAIL_MAX;

    if (n > max - b->bytes)
        return gw_reader_fail(s->r, -EPROTO, err, "byte %" PRIu64 ": more than %" PRIu64 " bytes", gw_reader_offset(s->r),
                              max);
    if (n > b->cap - b->bytes || !b->data) {
        size_t cap = GW_MAX(b->cap * 2, b->bytes + n + 1);
        uint8_t *grown = realloc(b->data, cap);

        if (!grown)
            return gw_nomem(err, "a live section");
        b->data = grown;
        b->cap = cap;
    }
    memcpy(b->data + b->bytes, p, n);
    b->bytes += n;
    gw_reader_skip(s->r, n);
    return 0;
}

static int get_body(struct gw_scan *s, uint32_t id, struct body *b, struct gw_error *err)
{
    size_t from = 0, have = 0;
    bool last = false;

    while (!last) {
        size_t want = have + 1; /* not more than needed: a source may wait for an answer after its end */
        const uint8_t *p = NULL;
        int r = gw_reader_try(s->r, want, &p, &have, err);

        if (r >= 0) {
            last = have < want;
            r = gw_reader_try(s->r, GW_MIN(gw_reader_buffered(s->r), GW_READER_LOOK_MAX), &p, &have, err);
        }
        if (r < 0)
            return r;
        if (find_end(s, id, p, have, last, &from))
            return take(s, b, p, from, err);
        if (from < SLIDE && have < GW_READER_LOOK_MAX)
            continue;
        if (!from)
            break; /* a full window still does not show what follows the footer */
        r = take(s, b, p, from, err);
        if (r < 0)
            return r;
        have -= from;
        from = 0;
    }
    return gw_reader_fail(s->r, last ? -ENODATA : -EPROTO, err,
                          "byte %" PRIu64 ": its end cannot be found: no footer of section %u has an element behind it",
                          gw_reader_offset(s->r), id);
}

int gw_scan_unknown(struct gw_scan *s, const struct gw_section_head *head, uint8_t **ret, size_t *ret_bytes,
                    struct gw_error *err)
{
    uint64_t at = gw_reader_offset(s->r);
    struct body b = {0};
    int r;

    if (!s->footers)
        r = gw_reader_fail(s->r, -EPROTO, err, "where it ends cannot be known: this stream has no footers");
    else
        r = get_body(s, head->id, &b, err);
    if (r < 0) {
        free(b.data);
        gw_context(err, "the live section %s of version %u at byte %" PRIu64 ", which is not known here", head->name,
                   head->version, at);
        return r;
    }
    gw_strcopy(s->guessed, sizeof s->guessed, head->name);
    s->guessed_id = head->id;
    *ret = b.data;
    *ret_bytes = b.bytes;
    return 0;
}
