/* SPDX-License-Identifier: MIT */
#include "base/endian.h"
#include "scan/parts.h"
#include "wire/command.h"

void gw_scan_init(struct gw_scan *s, struct gw_reader *r, const struct gw_scan_visitor *v, void *opaque)
{
    *s = (struct gw_scan){.r = r, .v = v, .opaque = opaque, .page_bytes = 4096, .footers = -1};
}

void gw_scan_close(struct gw_scan *s)
{
    for (unsigned i = 0; i < s->block_count; i++)
        free(s->blocks[i]);
    free(s->blocks);
    free(s->tail);
    gw_vmdesc_tree_free(s->tree);
    gw_arena_free(&s->kept);
    s->blocks = NULL;
    s->block_count = 0;
    s->tail = NULL;
    s->tree = NULL;
}

int gw_scan_slurp(struct gw_scan *s, uint64_t bytes, uint8_t **ret, struct gw_error *err)
{
    return gw_get_all(s->r, bytes, ret, err);
}

/* ---- head -------------------------------------------------------------------------------------------------------- */

static int get_head(struct gw_scan *s, struct gw_error *err)
{
    struct gw_in *in = &s->r->in;
    int r;

    in->what = "the head";
    r = gw_head_begin(in, &s->head, err);
    if (r >= 0)
        do
            r = gw_head_next(in, &s->head, err);
        while (r > 0);
    if (r < 0)
        return r;
    s->page_bytes = gw_head_page_bytes(&s->head);
    s->mapped = gw_head_has_capability(&s->head, "mapped-ram");
    s->ignore_shared = gw_head_has_capability(&s->head, "x-ignore-shared");
    return GW_SCAN_TELL(s, head, &s->head);
}

/* ---- elements ---------------------------------------------------------------------------------------------------- */

static int get_command(struct gw_scan *s, struct gw_error *err)
{
    uint64_t at = gw_reader_offset(s->r);
    uint8_t payload[65536];
    struct gw_scan_command c = {.at = at, .payload = payload, .packaged = s->packaged};
    const struct gw_wire_name *known;
    int r;

    gw_reader_skip(s->r, 1);
    r = gw_command_get(&s->r->in, at, &known, &c.payload_bytes, err);
    if (r >= 0)
        r = gw_get_bytes(s->r, payload, c.payload_bytes, err);
    if (r < 0)
        return r;
    c.number = known->number;
    c.bytes = gw_reader_offset(s->r) - at;
    if (c.number == GW_COMMAND_POSTCOPY_ADVISE && c.payload_bytes == 16)
        s->host_pages = gw_load_be64(payload);
    if (c.number == GW_COMMAND_ENABLE_COLO)
        s->colo = true;
    s->set_up |= c.number == GW_COMMAND_SWITCHOVER_START;
    r = GW_SCAN_TELL(s, command, &c);
    if (r < 0 || c.number != GW_COMMAND_PACKAGED)
        return r;
    return gw_scan_package(s, gw_load_be32(payload), err);
}

static struct gw_section_head *bound_find(struct gw_scan *s, uint32_t id)
{
    for (unsigned i = 0; i < s->bound_count; i++)
        if (s->bound[i].id == id)
            return &s->bound[i];
    return NULL;
}

static int get_start(struct gw_scan *s, uint64_t at, struct gw_section_head **ret, struct gw_error *err)
{
    struct gw_section_head b, *to = &s->bound[s->bound_count];
    int r = gw_section_get_head(&s->r->in, &b, err);

    if (r < 0)
        return r;
    if (bound_find(s, b.id))
        return gw_reader_fail(s->r, -EPROTO, err, "section %u (%s) at byte %" PRIu64 " starts a second time", b.id,
                              b.name, at);
    if (s->bound_count == GW_ARRAY_LEN(s->bound))
        return gw_reader_fail(s->r, -EPROTO, err, "live section %s at byte %" PRIu64 ": more than %u are not supported", b.name, at,
                              s->bound_count);
    *to = b;
    s->bound_count++;
    *ret = to;
    return 0;
}

static int get_part(struct gw_scan *s, uint8_t element, uint64_t at, struct gw_section_head **ret, struct gw_error *err)
{
    uint32_t id;
    int r = gw_get_u32(s->r, &id, err);

    if (r < 0)
        return r;
    *ret = bound_find(s, id);
    if (!*ret)
        return gw_reader_fail(s->r, -EPROTO, err, "%s of section %u at byte %" PRIu64 ", which never started",
                              gw_wire_element(element), id, at);
    return 0;
}

/* The first section shows whether they have footers. */
static int get_footer(struct gw_scan *s, const struct gw_section_head *b, struct gw_error *err)
{
    const uint8_t *p = NULL;
    int r = gw_reader_need(s->r, 1, &p, err);

    if (r < 0)
        return r;
    if (s->footers < 0)
        s->footers = *p == GW_ELEMENT_FOOTER;
    return s->footers ? gw_section_get_footer(&s->r->in, b->id, b->name, err) : 0;
}

/* The page size of a stream whose head does not give it. */
static int get_page_size(struct gw_scan *s, const struct gw_section_head *b, struct gw_error *err)
{
    unsigned bits = s->head.page_bits ? s->head.page_bits : s->page_bits;
    int r = bits || s->listed ? 0 : gw_scan_page_size(s, b->id, &bits, err);

    if (r < 0 || s->listed)
        return r;
    if (bits != gw_head_page_bits(&s->head))
        s->head.page_bits = bits;
    s->page_bytes = 1u << bits;
    return GW_SCAN_TELL(s, page_size, s->page_bytes);
}

static int get_unknown(struct gw_scan *s, const struct gw_section_head *b, uint8_t **ret, struct gw_error *err)
{
    size_t bytes = 0;

    if (gw_scan_is_known(b->name))
        return gw_reader_fail(s->r, -EPROTO, err, "byte %" PRIu64 ": a live section %s of version %u, where it ends "
                              "cannot be known", gw_reader_offset(s->r), b->name, b->version);
    return gw_scan_unknown(s, b, ret, &bytes, err);
}

static int get_live(struct gw_scan *s, uint8_t element, struct gw_error *err)
{
    struct gw_scan_section section = {.element = element, .at = gw_reader_offset(s->r), .checkpoint = s->checkpoint};
    GW_AUTOFREE uint8_t *unknown = NULL;
    struct gw_section_head *b = NULL;
    uint64_t body;
    bool is_ram;
    int r;

    gw_reader_skip(s->r, 1);
    s->set_up |= element != GW_ELEMENT_START;
    r = element == GW_ELEMENT_START ? get_start(s, section.at, &b, err) : get_part(s, element, section.at, &b, err);
    if (r < 0)
        return r;
    body = gw_reader_offset(s->r);
    s->r->in.what = b->name;
    is_ram = !strcmp(b->name, "ram") && b->version == GW_RAM_SECTION_VERSION;
    if (is_ram && element == GW_ELEMENT_START && (r = get_page_size(s, b, err)) < 0)
        return r;
    if (is_ram)
        r = gw_scan_ram(s, element, err);
    else if (!strcmp(b->name, "block") && b->version == 1)
        r = gw_scan_disk(s, err);
    else if (!strcmp(b->name, "dirty-bitmap") && b->version == 1)
        r = gw_scan_bitmaps(s, err);
    else
        r = get_unknown(s, b, &unknown, err);
    if (r < 0)
        return r;
    section.body = unknown;
    section.body_bytes = gw_reader_offset(s->r) - body;
    r = get_footer(s, b, err);
    if (r < 0)
        return r;
    section.bytes = gw_reader_offset(s->r) - section.at;
    section.id = b->id;
    section.name = b->name;
    section.instance = b->instance;
    section.version = b->version;
    return GW_SCAN_TELL(s, section, &section);
}

static int get_full(struct gw_scan *s, bool *ret_tail, struct gw_error *err)
{
    bool done = false;
    int r = 0;

    if (!s->set_up)
        r = gw_scan_early(s, &done, err);
    if (r >= 0 && !done) {
        r = gw_scan_tail(s, err);
        *ret_tail = r >= 0;
    }
    return r;
}

int gw_scan_elements(struct gw_scan *s, bool *ret_tail, struct gw_error *err)
{
    const uint8_t *p = NULL;
    int r = 0;

    while (r >= 0 && !*ret_tail) {
        uint64_t at = gw_reader_offset(s->r);

        s->r->in.what = "the elements of the stream";
        r = gw_reader_need(s->r, 1, &p, err);
        if (r < 0)
            break;
        switch (*p) {
        case GW_ELEMENT_EOF:
            gw_reader_skip(s->r, 1);
            return s->v->eof ? s->v->eof(s->opaque, at) : 0;
        case GW_ELEMENT_START:
        case GW_ELEMENT_PART:
        case GW_ELEMENT_END:
            r = get_live(s, *p, err);
            break;
        case GW_ELEMENT_FULL:
            r = get_full(s, ret_tail, err);
            break;
        case GW_ELEMENT_COMMAND:
            r = get_command(s, err);
            break;
        default:
            r = gw_reader_fail(s->r, -EPROTO, err, "byte %" PRIu64 ": 0x%02x is not an element of a stream", at, *p);
        }
    }
    return r < 0 ? r : 0;
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

/* Order: 1 request, 3 an element stream, 4 the state of the devices (wire-format.md 14). */
static int get_checkpoints(struct gw_scan *s, struct gw_error *err)
{
    for (;;) {
        uint64_t at = gw_reader_offset(s->r), bytes;
        const uint8_t *p = NULL;
        bool tail = false;
        size_t got = 0;
        uint32_t message;
        int r = gw_reader_try(s->r, 4, &p, &got, err);

        if (r < 0 || !got)
            return r;
        s->r->in.what = "a checkpoint";
        r = gw_get_u32(s->r, &message, err);
        if (r < 0)
            return r;
        if (message == 1)
            s->checkpoint++;
        else if (message == 3)
            r = gw_scan_elements(s, &tail, err);
        else if (message == 4) {
            r = gw_get_u64(s->r, &bytes, err);
            if (r >= 0)
                r = gw_scan_checkpoint(s, bytes, err);
        } else
            r = gw_reader_fail(s->r, -EPROTO, err, "checkpoint message %u at byte %" PRIu64, message, at);
        if (r < 0)
            return r;
    }
}

/* In a stream without devices; with devices it was found together with their ends. */
static int get_description(struct gw_scan *s, struct gw_error *err)
{
    uint64_t at = gw_reader_offset(s->r);
    GW_AUTOFREE uint8_t *text = NULL;
    const uint8_t *p = NULL;
    size_t got = 0;
    uint32_t n;
    int r = gw_reader_try(s->r, 1, &p, &got, err);

    if (r < 0 || !got || *p != GW_ELEMENT_VMDESC)
        return r;
    s->r->in.what = "the state description";
    gw_reader_skip(s->r, 1);
    r = gw_wire_get_vmdesc(&s->r->in, GW_JSON_BYTES_MAX, &n, err);
    if (r >= 0)
        r = gw_scan_slurp(s, n, &text, err);
    if (r >= 0) {
        r = gw_vmdesc_parse((const char *)text, n, &s->tree, err);
        if (r < 0)
            gw_context(err, "byte %" PRIu64, at);
    }
    if (r < 0)
        return r;
    return s->v->description ? s->v->description(s->opaque, s->tree, at, 5 + (uint64_t)n) : 0;
}

static int get_trailing(struct gw_scan *s, struct gw_error *err)
{
    uint64_t at = gw_reader_offset(s->r);
    const uint8_t *p = NULL;
    size_t got = 0;
    int r;

    do {
        r = gw_reader_try(s->r, 1, &p, &got, err);
        if (r >= 0 && got)
            gw_reader_skip(s->r, gw_reader_buffered(s->r));
    } while (r >= 0 && got && !s->stops);
    if (r < 0 || gw_reader_offset(s->r) == at)
        return r;
    return s->v->trailing ? s->v->trailing(s->opaque, at, gw_reader_offset(s->r) - at) : 0;
}

int gw_scan_run(struct gw_scan *s, struct gw_error *err)
{
    bool tail = false;
    int r = get_head(s, err);

    if (r >= 0)
        r = gw_scan_elements(s, &tail, err);
    if (r >= 0 && !tail)
        r = get_description(s, err);
    if (r >= 0 && s->colo)
        r = get_checkpoints(s, err);
    if (r >= 0)
        r = get_trailing(s, err);
    return r < 0 ? r : 0;
}
