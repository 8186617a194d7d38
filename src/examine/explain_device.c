/* SPDX-License-Identifier: MIT
 *
 * What in one device differs so that its state would be refused or misread: versions, fields, subsections, and the
 * values that must be the same on both sides. What a program could read is not in its stream; only what it wrote. So a
 * field or subsection that the destination did not write may be one that it does not know, or one that it had no need
 * to write.
 */
#include "base/endian.h"
#include "examine/explain.h"
#include "state/values.h"

struct walk {
    struct gw_explain *e;
    const char *where; /* the device */
    const struct gw_inspect_device *a, *b;
    struct gw_text path;
    bool older; /* its version is less than the destination's: fields that are only there are newer ones */
    unsigned depth;
};

#define DEPTH_MAX 40u
#define PAIRS_MAX (1u << 24) /* fields of one side times those of the other */

static void compare(struct walk *w, const struct gw_vmdesc_state *a, const struct gw_vmdesc_state *b);

static const char *path_of(const struct walk *w)
{
    return w->path.data && w->path.bytes ? w->path.data : "";
}

static size_t go_in(struct walk *w, const char *name)
{
    size_t stem = w->path.bytes;

    gw_text_printf(&w->path, "%s%s", stem ? "." : "", name);
    return stem;
}

static void come_back(struct walk *w, size_t stem)
{
    w->path.bytes = stem;
    if (w->path.data)
        w->path.data[stem] = 0;
}

/* ---- fields ------------------------------------------------------------------------------------------------------ */

/* Entries of one array are one field. */
struct group {
    const struct gw_vmdesc_field *f;
    uint32_t entries;
    uint64_t elements;
};

static struct group group_at(const struct gw_vmdesc_state *st, uint32_t i)
{
    struct group g = {&st->fields[i], 1, st->fields[i].count};

    while (g.f->index >= 0 && i + g.entries < st->field_count && g.f[g.entries].index > 0 &&
           !strcmp(g.f[g.entries].name, g.f->name))
        g.elements += g.f[g.entries++].count;
    return g;
}

/* The nth group of this name, counted from 0. */
static bool find(const struct gw_vmdesc_state *st, const char *name, unsigned nth, struct group *ret)
{
    for (uint32_t i = 0; i < st->field_count; i += ret->entries) {
        *ret = group_at(st, i);
        if (!strcmp(ret->f->name, name) && nth-- == 0)
            return true;
    }
    return false;
}

static unsigned nth_of(const struct gw_vmdesc_state *st, uint32_t before, const char *name)
{
    unsigned n = 0;

    for (uint32_t i = 0; i < before;) {
        struct group g = group_at(st, i);

        n += !strcmp(g.f->name, name);
        i += g.entries;
    }
    return n;
}

static bool fixed_type(const char *type)
{
    static const char *const known[] = {"bool", "uint8", "uint16", "uint32", "uint64",
                                        "int8", "int16", "int32",  "int64",  "timer"};

    for (size_t i = 0; i < GW_ARRAY_LEN(known); i++) {
        size_t n = strlen(known[i]);

        if (!strncmp(type, known[i], n) && (!type[n] || type[n] == ' '))
            return true;
    }
    return false;
}

static void compare_field(struct walk *w, const struct group *a, const struct group *b)
{
    const struct gw_vmdesc_field *f = a->f, *g = b->f;

    if (f->inside && g->inside) {
        compare(w, f->inside, g->inside);
    } else if (f->bytes != g->bytes) {
        bool certain = fixed_type(f->type) && fixed_type(g->type) && !w->older;
        bool varies = !strcmp(f->type, "virtio") && !strcmp(g->type, "virtio"); /* says itself what is in it */

        gw_explain_say(w->e,
                       certain  ? GW_REASON_REFUSED
                       : varies ? GW_REASON_NOTE
                                : GW_REASON_DOUBT,
                       w->where, "field %s has %" PRIu64 " bytes (%s), %" PRIu64 " (%s) in the destination", path_of(w),
                       f->bytes, f->type, g->bytes, g->type);
        return;
    }
    if (a->elements != b->elements && !f->elements && !g->elements)
        gw_explain_say(w->e, GW_REASON_DOUBT, w->where,
                       "field %s has %" PRIu64 " elements, %" PRIu64 " in the destination: if their number is no part "
                       "of the state it is misread",
                       path_of(w), a->elements, b->elements);
}

/* A field that only one side has may be one that was renamed: as long, where the other side lacks one as well. */
static bool renamed(const struct gw_vmdesc_state *a, uint32_t i, const struct gw_vmdesc_state *b, const struct group *g)
{
    struct group other, back;
    uint32_t k = 0;
    uint64_t at = 0, there = 0;

    for (uint32_t j = 0; j < i; j++)
        at += a->fields[j].bytes * a->fields[j].count;
    while (k < b->field_count && there < at) {
        there += b->fields[k].bytes * b->fields[k].count;
        k++;
    }
    if (there != at || k >= b->field_count)
        return false;
    other = group_at(b, k);
    return other.f->bytes * other.elements == g->f->bytes * g->elements && !find(a, other.f->name, 0, &back);
}

/* The same bytes as other fields: what one side keeps in a buffer has names on the other. */
static bool divided(const struct gw_vmdesc_state *a, const struct gw_vmdesc_state *b)
{
    const struct gw_vmdesc_state *sides[] = {a, b};
    uint64_t bytes[2] = {0, 0};
    bool buffer = false;

    for (unsigned side = 0; side < 2; side++) {
        for (uint32_t i = 0; i < sides[side]->field_count; i++) {
            const struct gw_vmdesc_field *f = &sides[side]->fields[i];

            bytes[side] += f->bytes * f->count;
            buffer |= !strcmp(f->type, "buffer") || !strcmp(f->type, "unused_buffer");
        }
    }
    return buffer && bytes[0] == bytes[1];
}

static bool same_names(const struct gw_vmdesc_state *a, const struct gw_vmdesc_state *b)
{
    if (a->field_count != b->field_count)
        return false;
    for (uint32_t i = 0; i < a->field_count; i++)
        if (strcmp(a->fields[i].name, b->fields[i].name) != 0 || a->fields[i].bytes != b->fields[i].bytes ||
            a->fields[i].count != b->fields[i].count)
            return false;
    return true;
}

static void compare_fields(struct walk *w, const struct gw_vmdesc_state *a, const struct gw_vmdesc_state *b)
{
    struct group g, other;

    if ((uint64_t)a->field_count * a->field_count + (uint64_t)b->field_count * b->field_count > PAIRS_MAX) {
        gw_explain_say(w->e, GW_REASON_DOUBT, w->where, "%s%s%u fields are too many to compare", path_of(w),
                       w->path.bytes ? ": " : "", GW_MAX(a->field_count, b->field_count));
        return;
    }
    if (!same_names(a, b) && divided(a, b)) {
        gw_explain_say(w->e, GW_REASON_NOTE, w->where, "%s%sthe same bytes are divided into other fields", path_of(w),
                       w->path.bytes ? ": " : "");
        return;
    }
    for (uint32_t i = 0; i < a->field_count; i += g.entries) {
        size_t stem;

        g = group_at(a, i);
        stem = go_in(w, g.f->name);
        if (find(b, g.f->name, nth_of(a, i, g.f->name), &other))
            compare_field(w, &g, &other);
        else if (!renamed(a, i, b, &g))
            gw_explain_say(w->e, GW_REASON_DOUBT, w->where,
                           "field %s is written, the destination writes none: if it does not know it, all behind it is "
                           "misread",
                           path_of(w));
        come_back(w, stem);
    }
    for (uint32_t i = 0; i < b->field_count && !w->older; i += g.entries) {
        size_t stem;

        g = group_at(b, i);
        if (find(a, g.f->name, nth_of(b, i, g.f->name), &other) || renamed(b, i, a, &g))
            continue;
        stem = go_in(w, g.f->name);
        gw_explain_say(
            w->e, GW_REASON_DOUBT, w->where,
            "field %s is not written, the destination writes it: if it always does, all behind it is misread",
            path_of(w));
        come_back(w, stem);
    }
}

/* ---- subsections ------------------------------------------------------------------------------------------------- */

static const struct gw_vmdesc_state *find_subsection(const struct gw_vmdesc_state *st, const char *name)
{
    for (uint32_t i = 0; i < st->subsection_count; i++)
        if (!strcmp(st->subsections[i].name, name))
            return &st->subsections[i];
    return NULL;
}

/* Whether it stands anywhere below. */
static bool writes_subsection(const struct gw_vmdesc_state *st, const char *name, unsigned depth)
{
    if (depth > DEPTH_MAX)
        return false;
    if (find_subsection(st, name))
        return true;
    for (uint32_t i = 0; i < st->subsection_count; i++)
        if (writes_subsection(&st->subsections[i], name, depth + 1))
            return true;
    for (uint32_t i = 0; i < st->field_count; i++)
        if (st->fields[i].inside && writes_subsection(st->fields[i].inside, name, depth + 1))
            return true;
    return false;
}

/* "pc-q35-7.2": what a program writes of it is what all programs that have it read. */
static bool is_versioned(const char *machine)
{
    size_t n = strlen(machine);
    const char *dash = strrchr(machine, '-');

    return n && dash && dash[1] >= '0' && dash[1] <= '9' && machine[n - 1] >= '0' && machine[n - 1] <= '9';
}

/* Why the destination's program is expected to know a subsection that it did not write; NULL: it is not. */
static const char *knows_subsection(const struct walk *w, const char *name)
{
    const unsigned old = GW_HINT_DESCRIBES_NO_HEAD | GW_HINT_STATE_OLD,
                   new = GW_HINT_DESCRIBES_HEAD | GW_HINT_STATE_NEW;
    const struct gw_inspect *from = w->e->from, *into = w->e->into;

    for (size_t i = 0; i < into->device_count; i++)
        if (into->devices[i].state && writes_subsection(into->devices[i].state, name, 0))
            return "another of its devices writes it";
    if ((from->hints & old) && (into->hints & new))
        return "its program is the newer one";
    if (strcmp(from->head->machine, into->head->machine) != 0)
        return NULL;
    if (is_versioned(from->head->machine))
        return "the type of the machine promises that it is known";
    return (from->hints & (old | new)) && (from->hints & (old | new)) == (into->hints & (old | new))
               ? "its program looks like the source's"
               : NULL;
}

static void compare_subsections(struct walk *w, const struct gw_vmdesc_state *a, const struct gw_vmdesc_state *b)
{
    for (uint32_t i = 0; i < a->subsection_count; i++) {
        const struct gw_vmdesc_state *sub = &a->subsections[i], *other = find_subsection(b, sub->name);
        const char *why = other ? NULL : knows_subsection(w, sub->name);
        size_t stem = go_in(w, sub->name);

        if (other)
            compare(w, sub, other);
        else if (why)
            gw_explain_say(w->e, GW_REASON_NOTE, w->where, "subsection %s is written, the destination writes none; %s",
                           sub->name, why);
        else
            gw_explain_say(w->e, GW_REASON_DOUBT, w->where,
                           "subsection %s is written, the destination writes none: it is refused if its program "
                           "does not know it",
                           sub->name);
        come_back(w, stem);
    }
}

static void compare(struct walk *w, const struct gw_vmdesc_state *a, const struct gw_vmdesc_state *b)
{
    if (++w->depth <= DEPTH_MAX) {
        if (w->depth > 1 && a->version > b->version)
            gw_explain_say(w->e, GW_REASON_REFUSED, w->where, "%s has version %u, the destination knows %u", path_of(w),
                           a->version, b->version);
        compare_fields(w, a, b);
        compare_subsections(w, a, b);
    }
    w->depth--;
}

/* ---- values that must be the same -------------------------------------------------------------------------------- */

#define PCI_MSI_X 0x11

/* Capabilities: a linked list of (u8 kind, u8 next) within the first 256 bytes. Where they are and how many vectors
 * there are is not for the guest to write. */
static void compare_capabilities(struct walk *w, const char *path, const uint8_t *a, const uint8_t *b)
{
    unsigned at = a[0x34] & 0xfcu;

    for (unsigned n = 0; at >= 0x40 && n < 48; n++) {
        unsigned x = (a[at + 2] | a[at + 3] << 8) & 0x7ffu, y = (b[at + 2] | b[at + 3] << 8) & 0x7ffu;

        if (a[at] != b[at] || a[at + 1] != b[at + 1]) {
            gw_explain_say(w->e, GW_REASON_REFUSED, w->where,
                           "%s: PCI capability 0x%x at byte 0x%x, the next at 0x%x; in the destination 0x%x, then 0x%x",
                           path, a[at], at, a[at + 1], b[at], b[at + 1]);
            return;
        }
        if (a[at] == PCI_MSI_X && x != y)
            gw_explain_say(w->e, GW_REASON_REFUSED, w->where, "%s: %u MSI-X vectors (byte 0x%x), %u in the destination",
                           path, x + 1, at + 2, y + 1);
        at = a[at + 1] & 0xfcu;
    }
}

/* What of PCI configuration space QEMU compares in every device: identity, kind, and what the guest cannot write. */
static void compare_pci(struct walk *w, const char *path, const uint8_t *a, const uint8_t *b)
{
    static const struct {
        uint8_t at, bytes, mask;
        const char *name;
    } fixed[] = {{0x00, 2, 0xff, "vendor"},          {0x02, 2, 0xff, "device"},
                 {0x08, 1, 0xff, "revision"},        {0x09, 1, 0xff, "programming interface"},
                 {0x0a, 2, 0xff, "class"},           {0x0e, 1, 0xff, "header type"},
                 {0x34, 1, 0xff, "first capability"}};

    for (size_t i = 0; i < GW_ARRAY_LEN(fixed); i++) {
        unsigned x = a[fixed[i].at], y = b[fixed[i].at];

        if (fixed[i].bytes == 2) {
            x |= (unsigned)a[fixed[i].at + 1] << 8;
            y |= (unsigned)b[fixed[i].at + 1] << 8;
        }
        if (x != y)
            gw_explain_say(w->e, GW_REASON_REFUSED, w->where, "%s: PCI %s (byte 0x%x) is 0x%x, 0x%x in the destination",
                           path, fixed[i].name, fixed[i].at, x, y);
    }
    compare_capabilities(w, path, a, b);
}

/* A virtio device on PCI begins with its PCI device: u32 version, configuration space, of which the vendor is known. */
#define VIRTIO_PCI "\0\0\0\2\xf4\x1a"

static bool is_virtio_pci(const struct gw_value *v)
{
    return !strcmp(v->type, "virtio") && v->count == 1 && v->bytes >= 4 + 256 &&
           !memcmp(v->data, VIRTIO_PCI, sizeof VIRTIO_PCI - 1);
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);

    return n >= m && !strcmp(s + n - m, end);
}

static void on_value(void *opaque, const char *path, const struct gw_value *a, const struct gw_value *b)
{
    struct gw_text ta = {0}, tb = {0};
    struct walk *w = opaque;

    if (a && b && is_virtio_pci(a) && is_virtio_pci(b)) {
        compare_pci(w, path, a->data + 4, b->data + 4);
        return;
    }
    if (!a || !b || a->bytes != b->bytes || a->count != b->count)
        return;
    if ((ends_with(path, "config") || ends_with(path, "config[0]") || ends_with(path, "config[1]")) && a->count == 1 &&
        (a->bytes == 256 || a->bytes == 4096)) {
        compare_pci(w, path, a->data, b->data);
        return;
    }
    if (!ends_with(a->type, " equal") || !memcmp(a->data, b->data, (size_t)(a->bytes * a->count)))
        return; /* they may differ in the name of their type alone */
    gw_value_print(&ta, a, false);
    gw_value_print(&tb, b, false);
    gw_explain_say(w->e, GW_REASON_REFUSED, w->where, "field %s is %s, and must be what it is in the destination: %s",
                   path, ta.data ? ta.data : "?", tb.data ? tb.data : "?");
    gw_text_free(&ta);
    gw_text_free(&tb);
}

int gw_explain_device(struct gw_explain *e, const char *where, const struct gw_inspect_device *a,
                      const struct gw_inspect_device *b)
{
    struct walk w = {.e = e, .where = where, .a = a, .b = b, .older = a->version < b->version};
    int r;

    if (a->version > b->version) {
        gw_explain_say(e, GW_REASON_REFUSED, where, "version %u is written, the destination knows %u", a->version,
                       b->version);
        return 0;
    }
    if (w.older)
        gw_explain_say(e, GW_REASON_NOTE, where,
                       "version %u is written, the destination has %u: it loads if that old one "
                       "is still known",
                       a->version, b->version);
    if (!a->state || !b->state) {
        if (a->body_bytes != b->body_bytes)
            gw_explain_say(e, GW_REASON_DOUBT, where,
                           "%" PRIu64 " bytes, %" PRIu64 " in the destination, and no description of them",
                           a->body_bytes, b->body_bytes);
        return 0;
    }
    compare(&w, a->state, b->state);
    r = gw_values_diff(a->state, a->body, (size_t)a->body_bytes, b->state, b->body, (size_t)b->body_bytes, on_value, &w,
                       NULL);
    if (w.path.failed || r == -ENOMEM)
        r = gw_nomem(e->err, "reasons");
    gw_text_free(&w.path);
    return r == -ENOMEM ? r : 0;
}
