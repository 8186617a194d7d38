/* SPDX-License-Identifier: MIT
 *
 * Finds differences in one device that would make the destination refuse or misread its state: versions, fields,
 * subsections. A stream shows only what a program wrote, not what it could read. So a field or subsection that the
 * destination did not write may be unknown to it, or may not have been needed; its dump can decide (explain_dump.c).
 */
#include "examine/explain.h"

struct walk {
    struct gw_explain *e;
    const char *where; /* the device */
    const struct gw_inspect_device *a, *b;
    struct gw_text path;
    bool known; /* the dump shows that the destination reads it */
    unsigned depth;
};

#define PAIRS_MAX (1u << 24) /* limit of fields of one side times fields of the other */

/* versioned: the versions are in the stream. */
static void compare(struct walk *w, const struct gw_vmdesc_state *a, const struct gw_vmdesc_state *b, bool versioned);

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

struct gw_explain_group gw_explain_group(const struct gw_vmdesc_state *st, uint32_t i)
{
    struct gw_explain_group g = {&st->fields[i], 1, st->fields[i].count};

    while (g.f->index >= 0 && i + g.entries < st->field_count && g.f[g.entries].index > 0 &&
           !strcmp(g.f[g.entries].name, g.f->name))
        g.elements += g.f[g.entries++].count;
    return g;
}

/* The nth group of this name, counted from 0. */
static bool find(const struct gw_vmdesc_state *st, const char *name, unsigned nth, struct gw_explain_group *ret)
{
    for (uint32_t i = 0; i < st->field_count; i += ret->entries) {
        *ret = gw_explain_group(st, i);
        if (!strcmp(ret->f->name, name) && nth-- == 0)
            return true;
    }
    return false;
}

static unsigned nth_of(const struct gw_vmdesc_state *st, uint32_t before, const char *name)
{
    unsigned n = 0;

    for (uint32_t i = 0; i < before;) {
        struct gw_explain_group g = gw_explain_group(st, i);

        n += !strcmp(g.f->name, name);
        i += g.entries;
    }
    return n;
}

bool gw_explain_fixed_type(const char *type)
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

/* Types whose data includes its own length: a virtio device's queues; pending requests of a SCSI device, one after the
 * other up to a byte 0. */
static bool says_its_length(const char *type)
{
    return !strcmp(type, "virtio") || !strcmp(type, "scsi-requests");
}

static void compare_field(struct walk *w, const struct gw_explain_group *a, const struct gw_explain_group *b,
                          bool older)
{
    const struct gw_vmdesc_field *f = a->f, *g = b->f;

    if (f->inside && g->inside) {
        compare(w, f->inside, g->inside, false);
    } else if (f->bytes != g->bytes) {
        bool certain = gw_explain_fixed_type(f->type) && gw_explain_fixed_type(g->type) && !older;
        bool varies = !strcmp(f->type, g->type) && says_its_length(f->type);

        gw_explain_say(w->e,
                       certain  ? GW_REASON_REFUSED
                       : varies ? GW_REASON_NOTE
                                : GW_REASON_UNKNOWN,
                       w->where, "field %s has %" PRIu64 " bytes (%s), %" PRIu64 " (%s) in the destination", path_of(w),
                       f->bytes, f->type, g->bytes, g->type);
        return;
    }
    if (a->elements != b->elements && !f->elements && !g->elements)
        gw_explain_say(w->e, GW_REASON_UNKNOWN, w->where,
                       "field %s has %" PRIu64 " elements, %" PRIu64 " in the destination: whether their number is "
                       "part of the state is not told",
                       path_of(w), a->elements, b->elements);
}

/* A field that only one side has may have been renamed: it has the same size, and the other side lacks a field too. */
static bool renamed(const struct gw_vmdesc_state *a, uint32_t i, const struct gw_vmdesc_state *b,
                    const struct gw_explain_group *g)
{
    struct gw_explain_group other, back;
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
    other = gw_explain_group(b, k);
    return other.f->bytes * other.elements == g->f->bytes * g->elements && !find(a, other.f->name, 0, &back);
}

/* Whether the bytes equal those of other fields: one side's buffer can be the other side's named fields. */
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

/* older: fields that only b has are new there. */
static void compare_fields(struct walk *w, const struct gw_vmdesc_state *a, const struct gw_vmdesc_state *b, bool older)
{
    struct gw_explain_group g, other;

    if ((uint64_t)a->field_count * a->field_count + (uint64_t)b->field_count * b->field_count > PAIRS_MAX) {
        gw_explain_say(w->e, GW_REASON_UNKNOWN, w->where, "%s%s%u fields are too many to compare", path_of(w),
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

        g = gw_explain_group(a, i);
        stem = go_in(w, g.f->name);
        if (find(b, g.f->name, nth_of(a, i, g.f->name), &other))
            compare_field(w, &g, &other, older);
        else if (gw_explain_is_told(a->name, g.f->name))
            gw_explain_say(w->e, GW_REASON_NOTE, w->where, "field %s is written, the destination has no need to",
                           path_of(w));
        else if (!renamed(a, i, b, &g))
            gw_explain_say(w->e, GW_REASON_UNKNOWN, w->where,
                           "field %s is written, the destination writes none: whether it reads it is not in its stream",
                           path_of(w));
        come_back(w, stem);
    }
    for (uint32_t i = 0; i < b->field_count && !older; i += g.entries) {
        size_t stem;

        g = gw_explain_group(b, i);
        if (find(a, g.f->name, nth_of(b, i, g.f->name), &other) || gw_explain_is_told(b->name, g.f->name) ||
            renamed(b, i, a, &g))
            continue;
        stem = go_in(w, g.f->name);
        gw_explain_say(w->e, GW_REASON_UNKNOWN, w->where,
                       "field %s is not written, the destination writes it: whether it always reads it is not in its "
                       "stream",
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

/* Whether the state, or a state inside it, writes the subsection. */
static bool writes_subsection(const struct gw_vmdesc_state *st, const char *name, unsigned depth)
{
    if (depth > GW_EXPLAIN_DEPTH_MAX)
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

/* "pc-q35-7.2": newer programs read all that an older program writes for such a type. */
bool gw_explain_is_versioned(const char *machine)
{
    size_t n = strlen(machine);
    const char *dash = strrchr(machine, '-');

    return n && dash && dash[1] >= '0' && dash[1] <= '9' && machine[n - 1] >= '0' && machine[n - 1] <= '9';
}

/* Whether the destination is known to be newer, from the streams as a whole: it reads what older programs wrote. */
static bool into_newer(const struct gw_explain *e)
{
    return (e->from->hints & (GW_HINT_DESCRIBES_NO_HEAD | GW_HINT_STATE_OLD)) &&
           (e->into->hints & (GW_HINT_DESCRIBES_HEAD | GW_HINT_STATE_NEW));
}

/* Why the destination is known to read a subsection that it did not write; NULL: not known. */
static const char *knows_subsection(const struct walk *w, const struct gw_vmdesc_state *sub)
{
    const struct gw_inspect *into = w->e->into;

    if (w->known)
        return "its dump has it";
    if (gw_explain_known_subsection(sub->name, sub->version))
        return "each QEMU since 5.2 knows it";
    for (size_t i = 0; i < into->device_count; i++)
        if (into->devices[i].state && writes_subsection(into->devices[i].state, sub->name, 0))
            return "another of its devices writes it";
    return into_newer(w->e) ? "its program is the newer one" : NULL;
}

static void compare_subsections(struct walk *w, const struct gw_vmdesc_state *a, const struct gw_vmdesc_state *b)
{
    for (uint32_t i = 0; i < a->subsection_count; i++) {
        const struct gw_vmdesc_state *sub = &a->subsections[i], *other = find_subsection(b, sub->name);
        const char *why = other ? NULL : knows_subsection(w, sub);
        size_t stem = go_in(w, sub->name);

        if (other)
            compare(w, sub, other, true);
        else if (why)
            gw_explain_say(w->e, GW_REASON_NOTE, w->where, "subsection %s is written, the destination writes none; %s",
                           sub->name, why);
        else
            gw_explain_say(w->e, GW_REASON_UNKNOWN, w->where,
                           "subsection %s is written, the destination writes none: whether its program knows it is not "
                           "in its stream",
                           sub->name);
        come_back(w, stem);
    }
}

static void compare(struct walk *w, const struct gw_vmdesc_state *a, const struct gw_vmdesc_state *b, bool versioned)
{
    if (++w->depth <= GW_EXPLAIN_DEPTH_MAX) {
        if (w->depth > 1 && versioned && a->version > b->version)
            gw_explain_say(w->e, GW_REASON_REFUSED, w->where, "%s has version %u, the destination knows %u", path_of(w),
                           a->version, b->version);
        compare_fields(w, a, b, versioned && a->version < b->version);
        compare_subsections(w, a, b);
    } else {
        gw_explain_say(w->e, GW_REASON_UNKNOWN, w->where, "%s is nested too deep to be compared", path_of(w));
    }
    w->depth--;
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

static void older_version(const struct walk *w)
{
    const char *machine = w->e->from->head->machine;
    bool reads = w->known || into_newer(w->e) ||
                 (gw_explain_is_versioned(machine) && !strcmp(machine, w->e->into->head->machine));

    gw_explain_say(w->e, reads ? GW_REASON_NOTE : GW_REASON_UNKNOWN, w->where,
                   "version %u is written, the destination has %u%s", w->a->version, w->b->version,
                   reads ? "" : ": whether it reads the old one is not in its stream");
}

int gw_explain_device(struct gw_explain *e, const char *where, const struct gw_inspect_device *a,
                      const struct gw_inspect_device *b)
{
    struct walk w = {.e = e, .where = where, .a = a, .b = b};
    enum gw_explain_answer answer = GW_EXPLAIN_NO_ANSWER;
    char why[GW_EXPLAIN_WHY];
    int r = 0;

    if (b && a->version > b->version) {
        gw_explain_say(e, GW_REASON_REFUSED, where, "version %u is written, the destination knows %u", a->version,
                       b->version);
        return 0;
    }
    if (e->dump)
        answer = gw_explain_dump(e, a, why);
    if (answer == GW_EXPLAIN_REFUSES || (!b && answer == GW_EXPLAIN_NO_ANSWER)) {
        gw_explain_say(e, answer == GW_EXPLAIN_REFUSES ? GW_REASON_REFUSED : GW_REASON_UNKNOWN, where, "%s", why);
        return 0;
    }
    w.known = answer == GW_EXPLAIN_READS;
    if (b && a->version < b->version)
        older_version(&w);
    if (b && a->state && b->state)
        compare(&w, a->state, b->state, true);
    else if (b && a->body_bytes != b->body_bytes)
        gw_explain_say(e, GW_REASON_UNKNOWN, where,
                       "%" PRIu64 " bytes, %" PRIu64 " in the destination, and no description of them", a->body_bytes,
                       b->body_bytes);
    if (a->state && (!b || b->state))
        r = gw_explain_values(e, where, a, b);
    if (w.path.failed)
        r = gw_nomem(e->err, "reasons");
    gw_text_free(&w.path);
    return r;
}
