/* SPDX-License-Identifier: MIT */
#include "state/values.h"

#include <stdio.h>

#include "base/endian.h"

/* ---- the walk ---------------------------------------------------------------------------------------------------- */

struct cursor {
    const uint8_t *body;
    size_t at, end;
    struct gw_text path;
    gw_value_fn fn;
    void *opaque;
    struct gw_error *err;
};

static int walk_state(struct cursor *c, const struct gw_vmdesc_state *st);

static int wrong(struct cursor *c, const char *what)
{
    return gw_fail(c->err, -EPROTO, GW_BLAME_PEER, "%s at byte %zu of the body: %s", c->path.data ? c->path.data : "",
                   c->at, what);
}

static int walk_list(struct cursor *c, const struct gw_vmdesc_field *f)
{
    size_t stem = c->path.bytes;

    for (uint32_t i = 0; i < f->elements; i++) {
        int r;

        gw_text_printf(&c->path, "[%u]", i);
        if (c->body[c->at] != 0x01)
            return wrong(c, "no mark of an element");
        c->at++;
        r = walk_state(c, &f->inside[i]);
        if (r < 0)
            return r;
        c->path.bytes = stem;
    }
    if (c->body[c->at] != 0x00)
        return wrong(c, "no end of the list");
    c->at++;
    return 0;
}

static int give(struct cursor *c, const struct gw_vmdesc_field *f)
{
    struct gw_value v = {.path = c->path.data,
                         .type = f->type,
                         .data = c->body + c->at,
                         .bytes = f->bytes,
                         .count = f->count,
                         .at = c->at};
    int r = c->fn(c->opaque, &v);

    if (r >= 0)
        c->at += (size_t)(f->bytes * f->count);
    return r;
}

static int walk_inside(struct cursor *c, const struct gw_vmdesc_field *f)
{
    size_t stem = c->path.bytes;

    for (uint32_t i = 0; i < f->count; i++) {
        int r;

        if (f->index >= 0 || f->count > 1)
            gw_text_printf(&c->path, "[%" PRId64 "]", GW_MAX(f->index, 0) + i);
        r = f->elements ? walk_list(c, f) : walk_state(c, f->inside);
        if (r < 0)
            return r;
        c->path.bytes = stem;
    }
    return 0;
}

static int walk_field(struct cursor *c, const struct gw_vmdesc_field *f)
{
    size_t stem = c->path.bytes;
    int r;

    gw_text_printf(&c->path, "%s%s", stem ? "." : "", f->name);
    if (f->index >= 0 && !f->inside)
        gw_text_printf(&c->path, "[%" PRId64 "]", f->index);
    if (c->path.failed)
        return gw_nomem(c->err, "device values");
    if (f->bytes * f->count > c->end - c->at) /* the sum was checked when the description was parsed */
        return wrong(c, "the body ends before");
    r = f->inside ? walk_inside(c, f) : give(c, f);
    if (r < 0)
        return r;
    c->path.bytes = stem;
    if (c->path.data)
        c->path.data[stem] = 0;
    return 0;
}

static int walk_subsection(struct cursor *c, const struct gw_vmdesc_state *sub)
{
    size_t n = strlen(sub->name), stem = c->path.bytes;
    const uint8_t *p = c->body + c->at;
    int r;

    if (c->end - c->at < 2 + n + 4 || p[0] != 0x05 || p[1] != n || memcmp(p + 2, sub->name, n) != 0)
        return wrong(c, "no such subsection");
    if (gw_load_be32(p + 2 + n) != sub->version)
        return wrong(c, "a subsection of another version");
    c->at += 2 + n + 4;
    gw_text_printf(&c->path, "%s%s", stem ? "." : "", sub->name);
    r = walk_state(c, sub);
    if (r < 0)
        return r;
    c->path.bytes = stem;
    return 0;
}

static int walk_state(struct cursor *c, const struct gw_vmdesc_state *st)
{
    int r = 0;

    for (uint32_t i = 0; i < st->field_count && r >= 0; i++)
        r = walk_field(c, &st->fields[i]);
    for (uint32_t i = 0; i < st->subsection_count && r >= 0; i++)
        r = walk_subsection(c, &st->subsections[i]);
    return r;
}

int gw_values_walk(const struct gw_vmdesc_state *st, const uint8_t *body, size_t bytes, gw_value_fn fn, void *opaque,
                   struct gw_error *err)
{
    struct cursor c = {.body = body, .end = bytes, .fn = fn, .opaque = opaque, .err = err};
    int r;

    if (st->bytes != bytes)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "the section has %zu bytes, but its description has %" PRIu64, bytes,
                       st->bytes);
    r = walk_state(&c, st);
    if (r >= 0 && c.path.failed)
        r = gw_nomem(err, "device values");
    gw_text_free(&c.path);
    return r < 0 ? r : 0;
}

/* ---- printing ---------------------------------------------------------------------------------------------------- */

enum shape { SHAPE_BYTES, SHAPE_BOOL, SHAPE_UNSIGNED, SHAPE_SIGNED, SHAPE_TIMER, SHAPE_DOUBLE };

static enum shape shape_of(const struct gw_value *v)
{
    static const struct {
        const char *type; /* also matches with " equal" or " le" appended */
        uint8_t bytes, shape;
    } known[] = {
        {"bool", 1, SHAPE_BOOL},       {"uint8", 1, SHAPE_UNSIGNED},      {"uint16", 2, SHAPE_UNSIGNED},
        {"uint32", 4, SHAPE_UNSIGNED}, {"uint64", 8, SHAPE_UNSIGNED},     {"int8", 1, SHAPE_SIGNED},
        {"int16", 2, SHAPE_SIGNED},    {"int32", 4, SHAPE_SIGNED},        {"int64", 8, SHAPE_SIGNED},
        {"timer", 8, SHAPE_TIMER},     {"CPU_Double_U", 8, SHAPE_DOUBLE},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(known); i++) {
        size_t n = strlen(known[i].type);

        if (v->bytes == known[i].bytes && !strncmp(v->type, known[i].type, n) && (v->type[n] == 0 || v->type[n] == ' '))
            return known[i].shape;
    }
    return SHAPE_BYTES;
}

static uint64_t load_unsigned(const uint8_t *p, uint64_t bytes)
{
    uint64_t v = 0;

    while (bytes--)
        v = v << 8 | *p++;
    return v;
}

static int64_t load_signed(const uint8_t *p, uint64_t bytes)
{
    unsigned unused = 64 - 8 * (unsigned)bytes;

    return (int64_t)(load_unsigned(p, bytes) << unused) >> unused;
}

/* Printable and padded with zeros, like text in a buffer. */
static size_t text_length(const uint8_t *p, uint64_t bytes)
{
    size_t n = 0;

    while (n < bytes && p[n] >= 0x20 && p[n] < 0x7f && p[n] != '"' && p[n] != '\\')
        n++;
    for (uint64_t i = n; i < bytes; i++)
        if (p[i])
            return 0;
    return n == bytes && bytes < 4 ? 0 : n;
}

static bool all_zero(const uint8_t *p, uint64_t bytes)
{
    for (uint64_t i = 0; i < bytes; i++)
        if (p[i])
            return false;
    return true;
}

static void print_bytes(struct gw_text *t, const uint8_t *p, uint64_t bytes, bool json)
{
    size_t n = text_length(p, bytes);

    if (!json && n) {
        gw_text_printf(t, "\"%.*s\"", (int)n, (const char *)p);
        return;
    }
    if (!json && bytes > 8 && all_zero(p, bytes)) {
        gw_text_printf(t, "%" PRIu64 " zeros", bytes);
        return;
    }
    if (json)
        gw_text_add(t, "\"", 1);
    for (uint64_t i = 0; i < bytes; i++)
        gw_text_printf(t, "%02x", p[i]);
    if (json)
        gw_text_add(t, "\"", 1);
}

static void print_double(struct gw_text *t, uint64_t bits, bool json)
{
    double d;

    memcpy(&d, &bits, sizeof d);
    if (json && !(d - d == 0)) /* JSON has neither infinity nor NaN */
        gw_text_printf(t, "\"%016" PRIx64 "\"", bits);
    else
        gw_text_printf(t, "%.17g", d);
}

static void print_element(struct gw_text *t, enum shape shape, const uint8_t *p, uint64_t bytes, bool json)
{
    uint64_t u;

    if (shape == SHAPE_BYTES) {
        print_bytes(t, p, bytes, json);
        return;
    }
    u = load_unsigned(p, bytes);
    if (shape == SHAPE_BOOL)
        gw_text_printf(t, "%s", u ? "true" : "false");
    else if (shape == SHAPE_SIGNED)
        gw_text_printf(t, "%" PRId64, load_signed(p, bytes));
    else if (shape == SHAPE_TIMER && u == UINT64_MAX)
        gw_text_printf(t, "%s", json ? "null" : "not armed");
    else if (shape == SHAPE_DOUBLE)
        print_double(t, u, json);
    else if (!json && u > 9 && shape == SHAPE_UNSIGNED)
        gw_text_printf(t, "%" PRIu64 " (0x%" PRIx64 ")", u, u);
    else
        gw_text_printf(t, "%" PRIu64, u);
}

void gw_value_print(struct gw_text *t, const struct gw_value *v, bool json)
{
    enum shape shape = shape_of(v);

    if (v->count == 1) {
        print_element(t, shape, v->data, v->bytes, json);
        return;
    }
    if (!json && all_zero(v->data, v->bytes * v->count)) {
        gw_text_printf(t, "%u zeros", v->count);
        return;
    }
    gw_text_add(t, "[", 1);
    for (uint32_t i = 0; i < v->count; i++) {
        if (i)
            gw_text_add(t, ", ", 2);
        print_element(t, shape, v->data + i * v->bytes, v->bytes, json);
    }
    gw_text_add(t, "]", 1);
}

struct printer {
    struct gw_text *t;
    bool json;
    const char *indent;
};

static int print_value(void *opaque, const struct gw_value *v)
{
    struct printer *p = opaque;

    if (!strcmp(v->type, "unused_buffer") && all_zero(v->data, v->bytes * v->count))
        return 0;
    if (p->json) {
        gw_text_raw(p->t, v->path, "");
        gw_value_print(p->t, v, true);
    } else {
        gw_text_printf(p->t, "%s%s = ", p->indent, v->path);
        gw_value_print(p->t, v, false);
        gw_text_add(p->t, "\n", 1);
    }
    return p->t->failed ? -ENOMEM : 0;
}

int gw_values_print(struct gw_text *t, const struct gw_vmdesc_state *st, const uint8_t *body, size_t bytes, bool json,
                    const char *indent, struct gw_error *err)
{
    struct printer p = {t, json, indent ? indent : ""};
    int r = gw_values_walk(st, body, bytes, print_value, &p, err);

    return r == -ENOMEM ? gw_nomem(err, "device values") : r;
}

/* ---- comparing --------------------------------------------------------------------------------------------------- */

struct kept {
    struct gw_value v;
    char *path;
};

struct collection {
    struct kept *kept;
    size_t count, cap;
};

static int collect(void *opaque, const struct gw_value *v)
{
    struct collection *c = opaque;
    char *path;

    if (c->count == c->cap) {
        size_t cap = GW_MAX(c->cap * 2, 64);
        struct kept *grown = realloc(c->kept, cap * sizeof *grown);

        if (!grown)
            return -ENOMEM;
        c->kept = grown;
        c->cap = cap;
    }
    path = strdup(v->path);
    if (!path)
        return -ENOMEM;
    c->kept[c->count] = (struct kept){*v, path};
    c->kept[c->count++].v.path = path;
    return 0;
}

static int by_path(const void *a, const void *b)
{
    return strverscmp(((const struct kept *)a)->path, ((const struct kept *)b)->path);
}

static void discard(struct collection *c)
{
    for (size_t i = 0; i < c->count; i++)
        free(c->kept[i].path);
    free(c->kept);
}

static void compare_elements(const struct gw_value *a, const struct gw_value *b, gw_values_differ_fn differ,
                             void *opaque)
{
    struct gw_text path = {0};

    for (uint32_t i = 0; i < a->count; i++) {
        struct gw_value x = *a, y = *b;

        x.data += i * a->bytes;
        y.data += i * b->bytes;
        if (!memcmp(x.data, y.data, a->bytes))
            continue;
        path.bytes = 0;
        gw_text_printf(&path, "%s[%u]", a->path, i);
        x.at += i * a->bytes;
        y.at += i * b->bytes;
        x.count = y.count = 1;
        x.path = y.path = path.failed ? a->path : path.data;
        differ(opaque, x.path, &x, &y);
    }
    gw_text_free(&path);
}

static void compare(const struct gw_value *a, const struct gw_value *b, gw_values_differ_fn differ, void *opaque)
{
    bool alike = a->bytes == b->bytes && a->count == b->count && !strcmp(a->type, b->type);

    if (alike && !memcmp(a->data, b->data, a->bytes * a->count))
        return;
    if (alike && a->count > 1)
        compare_elements(a, b, differ, opaque);
    else
        differ(opaque, a->path, a, b);
}

int gw_values_diff(const struct gw_vmdesc_state *st_a, const uint8_t *body_a, size_t bytes_a,
                   const struct gw_vmdesc_state *st_b, const uint8_t *body_b, size_t bytes_b,
                   gw_values_differ_fn differ, void *opaque, struct gw_error *err)
{
    struct collection a = {0}, b = {0};
    int r = gw_values_walk(st_a, body_a, bytes_a, collect, &a, err);

    if (r >= 0)
        r = gw_values_walk(st_b, body_b, bytes_b, collect, &b, err);
    if (r == -ENOMEM)
        gw_nomem(err, "device values");
    if (r >= 0) {
        size_t i = 0, k = 0;

        if (a.count)
            qsort(a.kept, a.count, sizeof *a.kept, by_path);
        if (b.count)
            qsort(b.kept, b.count, sizeof *b.kept, by_path);
        while (i < a.count || k < b.count) {
            int order = i == a.count ? 1 : k == b.count ? -1 : by_path(&a.kept[i], &b.kept[k]);

            if (order == 0) {
                compare(&a.kept[i++].v, &b.kept[k++].v, differ, opaque);
            } else if (order < 0) {
                differ(opaque, a.kept[i].path, &a.kept[i].v, NULL);
                i++;
            } else {
                differ(opaque, b.kept[k].path, NULL, &b.kept[k].v);
                k++;
            }
        }
    }
    discard(&a);
    discard(&b);
    return r;
}
