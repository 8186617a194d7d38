/* SPDX-License-Identifier: MIT */
#include "state/describe.h"

#include <stdio.h>

#include "state/readable.h"

static const struct {
    uint8_t bytes; /* size on the wire and in memory; 0: the field has it */
    bool integer;
    const char *name, *equal;
} kinds[] = {
    [GW_T_BOOL] = {1, false, "bool", NULL},           [GW_T_U8] = {1, true, "uint8", "uint8 equal"},
    [GW_T_U16] = {2, true, "uint16", "uint16 equal"}, [GW_T_U32] = {4, true, "uint32", "uint32 equal"},
    [GW_T_U64] = {8, true, "uint64", "int64 equal"}, /* the name that QEMU gives it */
    [GW_T_I8] = {1, true, "int8", "int8 equal"},      [GW_T_I16] = {2, true, "int16", "int16 equal"},
    [GW_T_I32] = {4, true, "int32", "int32 equal"},   [GW_T_I64] = {8, true, "int64", "int64 equal"},
    [GW_T_F64] = {8, false, "CPU_Double_U", NULL},    [GW_T_TIMER] = {8, false, "timer", NULL},
    [GW_T_BUFFER] = {0, false, "buffer", NULL},       [GW_T_UNUSED] = {0, false, "unused_buffer", NULL},
    [GW_T_BITMAP] = {0, false, "bitmap", NULL},       [GW_T_STRUCT] = {0, false, "struct", NULL},
    [GW_T_LIST] = {0, false, "qtailq", NULL},         [GW_T_CHECK] = {0, false, "check", NULL},
};

const char *gw_field_name(const struct gw_field *f)
{
    return f->name ? f->name : f->member ? f->member : "?";
}

const char *gw_field_unique_name(const struct gw_state *st, const struct gw_field *f, char *buf, size_t bytes)
{
    unsigned same = 0, before = 0;

    for (const struct gw_field *g = st->fields; g->type != GW_T_END; g++) {
        if (strcmp(gw_field_name(g), gw_field_name(f)) != 0)
            continue;
        before += g < f;
        same++;
    }
    if (same > 1)
        snprintf(buf, bytes, "%s[%u]", gw_field_name(f), before);
    else
        snprintf(buf, bytes, "%s", gw_field_name(f));
    return buf;
}

const char *gw_field_type_name(const struct gw_field *f)
{
    if (f->type_name)
        return f->type_name;
    if (f->flags & GW_F_EQUAL)
        return kinds[f->type].equal;
    if (f->flags & GW_F_AT_MOST)
        return f->type == GW_T_I32 ? "int32 le" : kinds[f->type].name;
    if (f->type == GW_T_STRUCT && f->state_version)
        return "vstruct";
    return kinds[f->type].name;
}

bool gw_field_is_leaf(const struct gw_field *f)
{
    return f->type != GW_T_STRUCT && f->type != GW_T_LIST && f->type != GW_T_CHECK;
}

bool gw_field_count_is_length(const struct gw_field *f)
{
    return (f->flags & GW_F_VARRAY) && (f->type == GW_T_BUFFER || f->type == GW_T_BITMAP);
}

uint64_t gw_field_wire_bytes(const struct gw_field *f, uint32_t n)
{
    if (kinds[f->type].bytes)
        return kinds[f->type].bytes;
    if (f->type == GW_T_BITMAP)
        return gw_div_up(gw_field_count_is_length(f) ? n : f->size, 64) * 8;
    return gw_field_count_is_length(f) ? n : f->size;
}

/* Whether a nested description always has the same size. */
static bool state_uniform(const struct gw_state *st)
{
    if (st->subsections && st->subsections[0])
        return false;
    for (const struct gw_field *f = st->fields; f->type != GW_T_END; f++) {
        if (f->type == GW_T_CHECK)
            continue;
        if (f->when || f->type == GW_T_LIST || (f->flags & (GW_F_VARRAY | GW_F_POINTER_ARRAY)))
            return false;
        if (f->type == GW_T_STRUCT && !state_uniform(f->state))
            return false;
    }
    return true;
}

bool gw_field_uniform(const struct gw_field *f)
{
    if (f->when || f->type == GW_T_LIST || (f->flags & GW_F_POINTER_ARRAY))
        return false;
    return f->type != GW_T_STRUCT || state_uniform(f->state);
}

size_t gw_state_bytes(const struct gw_state *st)
{
    size_t bytes = st->size;

    if (bytes)
        return bytes;
    for (const struct gw_field *f = st->fields; f->type != GW_T_END; f++)
        bytes = GW_MAX(bytes, f->within);
    for (const struct gw_state *const *sub = st->subsections; sub && *sub; sub++)
        bytes = GW_MAX(bytes, gw_state_bytes(*sub));
    return bytes;
}

/* ---- checks of the table ----------------------------------------------------------------------------------------- */

#define WRONG(...) gw_fail(err, -EINVAL, GW_BLAME_CALLER, __VA_ARGS__)

static int validate(const struct gw_state *st, const struct gw_table *parent, unsigned depth, struct gw_error *err);

uint64_t gw_field_member_bytes(const struct gw_field *f)
{
    uint64_t each = f->size;

    if (f->type == GW_T_UNUSED || f->type == GW_T_CHECK || f->type == GW_T_LIST)
        return 0;
    if (f->flags & GW_F_POINTER)
        return sizeof(void *);
    if (f->flags & GW_F_POINTER_ARRAY)
        return (uint64_t)f->count * sizeof(void *);
    if (gw_field_count_is_length(f))
        return gw_field_wire_bytes(f, f->count);
    if (f->type == GW_T_BITMAP)
        each = gw_field_wire_bytes(f, 0);
    return f->flags & (GW_F_ARRAY | GW_F_VARRAY) ? each * f->count : each;
}

static int validate_count(const struct gw_field *f, size_t bytes, struct gw_error *err)
{
    bool many = f->flags & (GW_F_ARRAY | GW_F_VARRAY);

    if ((f->flags & GW_F_ARRAY) && (f->flags & GW_F_VARRAY))
        return WRONG("an array is either fixed or variable");
    if (!many)
        return f->flags & GW_F_POINTER_ARRAY ? WRONG("an array of pointers needs a count") : 0;
    if (!f->count)
        return WRONG("an array needs a number of elements");
    if (f->type == GW_T_LIST || f->type == GW_T_UNUSED || f->type == GW_T_CHECK)
        return WRONG("no arrays of this kind");
    if (f->flags & GW_F_VARRAY) {
        if (f->count_type != GW_T_U8 && f->count_type != GW_T_U16 && f->count_type != GW_T_U32 &&
            f->count_type != GW_T_I32)
            return WRONG("a count is u8, u16, u32 or i32");
        if (f->count_offset + kinds[f->count_type].bytes > bytes)
            return WRONG("the count is not a member of the structure");
    }
    return 0;
}

static int validate_field(const struct gw_field *f, size_t bytes, unsigned depth, struct gw_error *err)
{
    int r;

    if (f->type > GW_T_CHECK)
        return WRONG("no such type (%d)", (int)f->type);
    if (f->type == GW_T_CHECK)
        return f->when ? 0 : WRONG("a check needs a test");
    if (kinds[f->type].bytes && f->size != kinds[f->type].bytes)
        return WRONG("%zu bytes in memory for a %s", f->size, kinds[f->type].name);
    if (!f->size && f->type != GW_T_LIST)
        return WRONG("no size");
    if ((f->flags & (GW_F_EQUAL | GW_F_AT_MOST)) && !kinds[f->type].integer)
        return WRONG("only integers can be compared");
    if ((f->flags & GW_F_POINTER) && (f->flags & GW_F_POINTER_ARRAY))
        return WRONG("a pointer to an array of pointers is not known");
    if ((f->flags & GW_F_POINTER_ARRAY) && gw_field_count_is_length(f))
        return WRONG("no arrays of variable buffers");
    r = validate_count(f, bytes, err);
    if (r < 0)
        return r;
    if (f->size > GW_FIELD_BYTES_MAX || (uint64_t)f->size * GW_MAX(f->count, 1) > GW_FIELD_BYTES_MAX)
        return WRONG("larger than %d bytes", GW_FIELD_BYTES_MAX);
    if (f->type != GW_T_UNUSED && (f->offset > bytes || gw_field_member_bytes(f) > bytes - f->offset))
        return WRONG("outside the structure of %zu bytes", bytes);
    if (f->type == GW_T_LIST) {
        const struct gw_list_ops *l = f->list;

        if (!l || !l->first || !l->next || !l->alloc || !l->append || !l->clear || !l->free_element || !l->max)
            return WRONG("a list needs all its functions and a maximum");
    }
    if (gw_field_is_leaf(f))
        return 0;
    if (!f->state)
        return WRONG("no nested description");
    if (f->state_version > f->state->version)
        return WRONG("version %u of a nested description that has %u", f->state_version, f->state->version);
    r = validate(f->state, NULL, depth + 1, err);
    if (r < 0)
        return r;
    if (f->type == GW_T_STRUCT && gw_state_bytes(f->state) > f->size)
        return WRONG("description %s is of a structure of %zu bytes, the member has %zu", f->state->name,
                     gw_state_bytes(f->state), f->size);
    return 0;
}

static int validate(const struct gw_state *st, const struct gw_table *parent, unsigned depth, struct gw_error *err)
{
    const struct gw_table here = {st, parent};
    size_t bytes = parent ? SIZE_MAX / 2 : 0, prefix = parent ? strlen(parent->state->name) : 0;
    int r;

    if (depth > GW_STATE_DEPTH)
        return WRONG("descriptions nested deeper than %d", GW_STATE_DEPTH);
    if (!st->name || !st->name[0] || strlen(st->name) > 255)
        return WRONG("a description needs a name of 1 to 255 bytes");
    if (!st->fields)
        return WRONG("description %s has no fields", st->name);
    if (st->oldest > st->version)
        return WRONG("description %s reads versions from %u on but writes %u", st->name, st->oldest, st->version);
    if (parent && (strncmp(st->name, parent->state->name, prefix) != 0 || strlen(st->name) <= prefix))
        return WRONG("subsection %s must have a name that begins with %s/", st->name, parent->state->name);
    if (!parent)
        bytes = gw_state_bytes(st);
    for (const struct gw_field *f = st->fields; f->type != GW_T_END; f++) {
        r = validate_field(f, bytes, depth, err);
        if (r < 0) {
            gw_context(err, "description %s, field %s", st->name, gw_field_name(f));
            return r;
        }
    }
    r = gw_table_readable(&here, err);
    if (r < 0)
        return r;
    for (const struct gw_state *const *sub = st->subsections; sub && *sub; sub++) {
        r = validate(*sub, &here, depth + 1, err);
        if (r < 0)
            return r;
        if (gw_state_bytes(*sub) > gw_state_bytes(st) && st->size)
            return WRONG("subsection %s is of another structure than %s", (*sub)->name, st->name);
    }
    return 0;
}

int gw_state_validate(const struct gw_state *st, struct gw_error *err)
{
    return validate(st, NULL, 0, err);
}
