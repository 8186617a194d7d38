/* SPDX-License-Identifier: MIT */
#include "state/codec.h"

#include "base/endian.h"

struct encoder {
    struct gw_walk walk;
    struct gw_writer *w;
    struct gw_vmdesc *desc;
};

static struct encoder *encoder_of(const struct gw_walk *walk)
{
    return GW_CONTAINER(walk, struct encoder, walk);
}

static uint64_t encode_offset(const struct gw_walk *walk)
{
    return gw_writer_offset(encoder_of(walk)->w);
}

static int encode_enter(struct gw_walk *walk, const struct gw_state *st, uint32_t version, void *base)
{
    struct gw_text *t = gw_vmdesc_text(encoder_of(walk)->desc);
    int r = st->pre_save ? st->pre_save(base, walk->err) : 0;

    if (r < 0)
        return gw_hook_failed(walk, st, "pre_save", r);
    if (t) {
        gw_text_string(t, "vmsd_name", st->name);
        gw_text_int(t, "version", version);
        gw_text_open(t, "fields", '[');
    }
    return 0;
}

static int encode_leave(struct gw_walk *walk, const struct gw_state *st, uint32_t version, void *base, int result)
{
    if (st->post_save)
        st->post_save(base);
    return result;
}

static int encode_subsections(struct gw_walk *walk, const struct gw_state *st, void *base, const struct gw_spot *outer)
{
    struct encoder *e = encoder_of(walk);
    struct gw_text *t = gw_vmdesc_text(e->desc);
    bool any = false;

    if (t)
        gw_text_close(t, ']');
    for (const struct gw_state *const *p = st->subsections; p && *p; p++) {
        const struct gw_state *sub = *p;
        struct gw_spot spot = {.outer = outer, .state = sub, .base = base, .version = sub->version, .count = 1};
        int r;

        if (sub->needed && !sub->needed(base))
            continue;
        gw_put_u8(e->w, GW_MARK_SUBSECTION);
        gw_put_str8(e->w, sub->name);
        gw_put_u32(e->w, sub->version);
        if (t) {
            if (!any)
                gw_text_open(t, "subsections", '[');
            gw_text_open(t, NULL, '{');
        }
        any = true;
        r = gw_walk_state(walk, sub, sub->version, base, &spot);
        if (r < 0)
            return r;
        if (t)
            gw_text_close(t, '}');
    }
    if (t && any)
        gw_text_close(t, ']');
    return 0;
}

/* Begins a field's entry; len > 1: array_len, otherwise the index if there are `of` of them. */
static void describe_head(struct gw_text *t, const struct gw_spot *spot, const char *type, uint32_t len, uint32_t index,
                          uint32_t of)
{
    char name[256];

    gw_text_open(t, NULL, '{');
    gw_text_string(t, "name", gw_field_unique_name(spot->state, spot->field, name, sizeof name));
    if (len > 1)
        gw_text_int(t, "array_len", len);
    else if (of > 1)
        gw_text_int(t, "index", index);
    gw_text_string(t, "type", type);
}

static void describe_tail(struct gw_text *t, uint64_t bytes)
{
    gw_text_int(t, "size", bytes);
    gw_text_close(t, '}');
}

static void describe_leaf(struct gw_text *t, const struct gw_spot *spot, uint32_t n)
{
    uint32_t entries = n;

    if (n && gw_field_uniform(spot->field))
        entries = 1;
    for (uint32_t i = 0; i < entries; i++) {
        describe_head(t, spot, gw_field_type_name(spot->field), entries == 1 ? n : 1, i, n);
        describe_tail(t, spot->bytes);
    }
}

static void put_bitmap(struct gw_writer *w, const uint64_t *words, uint64_t bits)
{
    for (uint64_t i = 0; i < gw_div_up(bits, 64); i++) {
        uint64_t left = bits - i * 64;

        gw_put_u64(w, left >= 64 ? words[i] : words[i] & ((1ull << left) - 1));
    }
}

static void put_zeros(struct gw_writer *w, uint64_t n)
{
    static const uint8_t zeros[256];

    while (n) {
        size_t part = (size_t)GW_MIN(n, sizeof zeros);

        gw_put_bytes(w, zeros, part);
        n -= part;
    }
}

static void put_elements(struct gw_writer *w, const struct gw_spot *spot, const char *p, uint32_t n)
{
    enum gw_type type = spot->field->type;

    for (uint32_t i = 0; i < n; i++) {
        switch (type) {
        case GW_T_BOOL:
            gw_put_u8(w, *(const uint8_t *)p != 0);
            break;
        case GW_T_U8:
        case GW_T_I8:
            gw_put_u8(w, *(const uint8_t *)p);
            break;
        case GW_T_U16:
        case GW_T_I16:
            gw_put_u16(w, *(const uint16_t *)p);
            break;
        case GW_T_U32:
        case GW_T_I32:
            gw_put_u32(w, *(const uint32_t *)p);
            break;
        case GW_T_U64:
        case GW_T_I64:
        case GW_T_F64: /* two halves, the upper one first: the same bytes as a big-endian word */
        case GW_T_TIMER:
            gw_put_u64(w, *(const uint64_t *)p);
            break;
        case GW_T_UNUSED:
            put_zeros(w, spot->bytes);
            break;
        case GW_T_BITMAP:
            put_bitmap(w, (const uint64_t *)p, gw_spot_bits(spot));
            break;
        default:
            gw_put_bytes(w, p, (size_t)spot->bytes);
        }
        if (p)
            p += spot->bytes;
    }
}

static int encode_leaf(struct gw_walk *walk, struct gw_spot *spot, void *p, uint32_t n)
{
    struct encoder *e = encoder_of(walk);
    struct gw_text *t = gw_vmdesc_text(e->desc);

    if (n > 1 && (spot->field->type == GW_T_U8 || spot->field->type == GW_T_I8))
        gw_put_bytes(e->w, p, n);
    else
        put_elements(e->w, spot, p, n);
    if (t && !(spot->field->flags & GW_F_POINTER_ARRAY))
        describe_leaf(t, spot, n);
    return 0;
}

/* An element that is a structure, or that a pointer of an array points to. Uniform arrays: the first describes all. */
static int encode_element(struct gw_walk *walk, struct gw_spot *spot, bool begin)
{
    struct encoder *e = encoder_of(walk);
    const struct gw_field *f = spot->field;
    bool uniform = gw_field_uniform(f), wrapped;
    const char *type = gw_field_type_name(f);
    struct gw_text *t;

    if (!e->desc)
        return 0;
    if (uniform && spot->index > 0) {
        e->desc->mute += begin ? 1 : -1;
        return 0;
    }
    t = gw_vmdesc_text(e->desc);
    wrapped = f->type == GW_T_STRUCT && !strcmp(type, "struct");
    if (begin) {
        bool null = f->flags & GW_F_POINTER_ARRAY && !((void **)((char *)spot->base + f->offset))[spot->index];

        spot->at = gw_writer_offset(e->w);
        if (t) {
            describe_head(t, spot, null ? "nullptr" : type, uniform ? spot->count : 1, spot->index, spot->count);
            if (wrapped && !null)
                gw_text_open(t, "struct", '{');
        }
    } else if (t) {
        bool null = f->flags & GW_F_POINTER_ARRAY && !((void **)((char *)spot->base + f->offset))[spot->index];

        if (wrapped && !null)
            gw_text_close(t, '}');
        describe_tail(t, gw_writer_offset(e->w) - spot->at);
    }
    return 0;
}

static int encode_null(struct gw_walk *walk, struct gw_spot *spot)
{
    gw_put_u8(encoder_of(walk)->w, GW_MARK_NULL);
    return 0;
}

static int encode_list(struct gw_walk *walk, struct gw_spot *spot)
{
    struct encoder *e = encoder_of(walk);
    const struct gw_field *f = spot->field;
    struct gw_text *t = gw_vmdesc_text(e->desc);

    if (t)
        describe_head(t, spot, gw_field_type_name(f), 1, 0, 1);
    for (void *el = f->list->first(spot->base); el; el = f->list->next(el)) {
        int r;

        if (spot->index >= f->list->max)
            return gw_spot_fail(walk, spot, -EINVAL, GW_BLAME_EMBEDDER, "more than %u elements", f->list->max);
        gw_put_u8(e->w, GW_MARK_ELEMENT);
        r = gw_walk_state(walk, f->state, f->state->version, el, spot);
        if (r < 0)
            return r;
        spot->index++;
    }
    gw_put_u8(e->w, GW_MARK_LIST_END);
    if (t)
        describe_tail(t, gw_writer_offset(e->w) - spot->at);
    return 0;
}

static int encode_pointee(struct gw_walk *walk, struct gw_spot *spot, void **slot, size_t bytes, void **ret)
{
    *ret = *slot;
    return 0;
}

static const struct gw_visitor encode_visitor = {
    .enter = encode_enter,
    .leave = encode_leave,
    .subsections = encode_subsections,
    .leaf = encode_leaf,
    .element = encode_element,
    .null = encode_null,
    .list = encode_list,
    .pointee = encode_pointee,
    .offset = encode_offset,
    .blame = GW_BLAME_EMBEDDER,
};

int gw_state_encode(const struct gw_state *st, void *device, struct gw_writer *w, struct gw_vmdesc *desc,
                    struct gw_error *err)
{
    struct encoder e = {.walk = {.visitor = &encode_visitor, .err = err}, .w = w, .desc = desc};

    if (desc)
        desc->mute = 0;
    return gw_walk_state(&e.walk, st, st->version, device, NULL);
}
