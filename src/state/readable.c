/* SPDX-License-Identifier: MIT */
#include "state/readable.h"

#define WRONG(...) gw_fail(err, -EINVAL, GW_BLAME_CALLER, __VA_ARGS__)

static bool points(const struct gw_field *f)
{
    return f->flags & (GW_F_POINTER | GW_F_POINTER_ARRAY);
}

static bool has_integers(const struct gw_field *f)
{
    return f->type >= GW_T_U8 && f->type <= GW_T_I64;
}

static uint32_t nested_version(const struct gw_field *f)
{
    return f->state_version ? f->state_version : f->state->version;
}

/* ---- counts ------------------------------------------------------------------------------------------------------ */

/* The first field with the integer at this offset of the structure, even inside a nested one. */
static const struct gw_field *find_integer(const struct gw_state *st, uint32_t version, size_t at, uint64_t bytes)
{
    for (const struct gw_field *f = st->fields; f->type != GW_T_END; f++) {
        if (f->since > version || points(f) || at < f->offset || at - f->offset >= gw_field_member_bytes(f))
            continue;
        if (f->type == GW_T_STRUCT
                ? find_integer(f->state, nested_version(f), (at - f->offset) % f->size, bytes) != NULL
                : has_integers(f) && f->size == bytes && (at - f->offset) % f->size == 0)
            return f;
    }
    return NULL;
}

/* Whether these bytes are carried by the description to which the subsection belongs, or by an earlier subsection of
 * it. */
static bool came_before(const struct gw_table *t, size_t at, uint64_t bytes)
{
    for (; t->parent; t = t->parent) {
        const struct gw_state *up = t->parent->state;

        if (find_integer(up, up->version, at, bytes))
            return true;
        for (const struct gw_state *const *sub = up->subsections; *sub != t->state; sub++)
            if (find_integer(*sub, (*sub)->version, at, bytes))
                return true;
    }
    return false;
}

static int check_count(const struct gw_table *t, const struct gw_field *f, struct gw_error *err)
{
    const struct gw_state *st = t->state;
    const struct gw_field *count;
    uint64_t bytes;

    if (!(f->flags & GW_F_VARRAY) || f->count_known)
        return 0;
    bytes = f->count_type == GW_T_U8 ? 1 : f->count_type == GW_T_U16 ? 2 : 4;
    count = find_integer(st, st->version, f->count_offset, bytes);
    if ((!count || count > f) && came_before(t, f->count_offset, bytes))
        return 0;
    if (!count)
        return WRONG("its count is not in the stream (.count_known: both sides know it without)");
    if (count > f)
        return WRONG("its count, %s, comes after it", gw_field_name(count));
    if (count->since > GW_MAX(f->since, st->oldest) && !f->when)
        return WRONG("its count, %s, is not in the stream before version %u", gw_field_name(count), count->since);
    return 0;
}

/* ---- bytes that are sent twice ----------------------------------------------------------------------------------- */

static bool steady(const struct gw_field *f)
{
    return !f->when && !(f->flags & (GW_F_EQUAL | GW_F_AT_MOST)) && f->type != GW_T_UNUSED && f->type != GW_T_CHECK &&
           f->type != GW_T_LIST;
}

/* Both fields always write to some common byte of the structure. f, g: fields of structures that begin at these
 * offsets. Of an array of structures only the first element is checked. */
static bool same_bytes(const struct gw_field *f, size_t f_base, const struct gw_field *g, size_t g_base)
{
    size_t f_at = f_base + f->offset, g_at = g_base + g->offset;

    if (!steady(f) || !steady(g) || f_at >= g_at + gw_field_member_bytes(g) ||
        g_at >= f_at + gw_field_member_bytes(f))
        return false;
    if (points(f) || points(g)) /* different parts behind a pointer may have different descriptions */
        return f->type == g->type && f->state == g->state && f->flags == g->flags;
    if (f->type != GW_T_STRUCT && g->type == GW_T_STRUCT)
        return same_bytes(g, g_base, f, f_base);
    if (f->type != GW_T_STRUCT)
        return true;
    if ((f->flags & (GW_F_ARRAY | GW_F_VARRAY)) && (g_at < f_at || g_at - f_at >= f->size))
        return false;
    for (const struct gw_field *in = f->state->fields; in->type != GW_T_END; in++)
        if (in->since <= nested_version(f) && same_bytes(g, g_base, in, f_at))
            return true;
    return false;
}

int gw_table_readable(const struct gw_table *t, struct gw_error *err)
{
    const struct gw_state *st = t->state;

    if (st->fields[0].type == GW_T_END && !(st->subsections && st->subsections[0]) && !t->parent && !st->unmigratable)
        return WRONG("description %s is empty: neither fields nor subsections", st->name);
    for (const struct gw_field *f = st->fields; f->type != GW_T_END; f++) {
        int r = f->since <= st->version
                    ? check_count(t, f, err)
                    : WRONG("since version %u of a description that has version %u", f->since, st->version);

        for (const struct gw_field *g = st->fields; g < f && !r; g++)
            if (f->since == g->since && same_bytes(f, 0, g, 0))
                r = WRONG("%s carries the same bytes before it", gw_field_name(g));
        if (r < 0) {
            gw_context(err, "description %s, field %s", st->name, gw_field_name(f));
            return r;
        }
    }
    return 0;
}
