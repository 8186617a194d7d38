/* SPDX-License-Identifier: MIT */
#include "state/walk.h"

#include <stdarg.h>
#include <stdio.h>

/* ---- paths for messages ------------------------------------------------------------------------------------------ */

static void path_add(char *path, size_t bytes, const struct gw_spot *spot)
{
    size_t n;

    if (spot->outer)
        path_add(path, bytes, spot->outer);
    n = strlen(path);
    if (n && n + 1 < bytes) {
        path[n++] = '.';
        path[n] = 0;
    }
    if (!spot->field)
        snprintf(path + n, bytes - n, "%s", spot->state->name);
    else if (spot->count > 1 || spot->index || spot->field->type == GW_T_LIST)
        snprintf(path + n, bytes - n, "%s[%u]", gw_field_name(spot->field), spot->index);
    else
        snprintf(path + n, bytes - n, "%s", gw_field_name(spot->field));
}

int gw_spot_context(struct gw_walk *walk, const struct gw_spot *spot, int code)
{
    char path[256] = "";

    path_add(path, sizeof path, spot);
    gw_context(walk->err, "field %s at byte %" PRIu64, path, spot->at);
    return code;
}

int gw_spot_fail(struct gw_walk *walk, const struct gw_spot *spot, int code, enum gw_blame blame, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    gw_failv(walk->err, code, blame, fmt, ap);
    va_end(ap);
    return gw_spot_context(walk, spot, code);
}

int gw_hook_failed(struct gw_walk *walk, const struct gw_state *st, const char *hook, int code)
{
    if (!walk->err)
        return code;
    if (walk->err->code != code || !walk->err->text[0])
        return gw_fail(walk->err, code, GW_BLAME_EMBEDDER, "callback %s of description %s failed (%s)", hook, st->name,
                       strerror(-code));
    if (walk->err->blame == GW_BLAME_NONE)
        walk->err->blame = GW_BLAME_EMBEDDER;
    return code;
}

/* ---- the traversal ----------------------------------------------------------------------------------------------- */

static bool present(const struct gw_walk *walk, const struct gw_spot *spot)
{
    if (walk->dry)
        return true;
    if (spot->field->since > spot->version)
        return false;
    return !spot->field->when || spot->field->type == GW_T_CHECK || spot->field->when(spot->base, spot->version);
}

/* Reads the member with the number of elements, and checks its limit. */
static int read_count(struct gw_walk *walk, struct gw_spot *spot, uint32_t *ret)
{
    const struct gw_field *f = spot->field;
    const char *p = (const char *)spot->base + f->count_offset, *what = "elements";
    int64_t n = 0;

    switch (f->count_type) {
    case GW_T_U8:
        n = *(const uint8_t *)p;
        break;
    case GW_T_U16:
        n = *(const uint16_t *)p;
        break;
    case GW_T_U32:
        n = *(const uint32_t *)p;
        break;
    default:
        n = *(const int32_t *)p;
    }
    if (f->type == GW_T_BUFFER)
        what = "bytes";
    else if (f->type == GW_T_BITMAP)
        what = "bits";
    if (n < 0 || n > f->count)
        return gw_spot_fail(walk, spot, walk->visitor->blame == GW_BLAME_PEER ? -EPROTO : -EINVAL, walk->visitor->blame,
                            "%" PRId64 " %s, at most %u", n, what, f->count);
    *ret = (uint32_t)n;
    return 0;
}

static int visit_element(struct gw_walk *walk, struct gw_spot *spot, char *p)
{
    const struct gw_field *f = spot->field;
    int r = walk->visitor->element(walk, spot, true);

    if (r < 0)
        return r;
    if (f->flags & GW_F_POINTER_ARRAY && !walk->dry) {
        void **slot = (void **)p;
        void *target = NULL;

        if (!*slot) {
            r = walk->visitor->null(walk, spot);
            return r < 0 ? r : walk->visitor->element(walk, spot, false);
        }
        r = walk->visitor->pointee(walk, spot, slot, f->size, &target);
        if (r < 0)
            return r;
        p = target;
    }
    if (f->type == GW_T_STRUCT)
        r = gw_walk_state(walk, f->state, f->state_version ? f->state_version : f->state->version, p, spot);
    else
        r = walk->visitor->leaf(walk, spot, p, 1);
    return r < 0 ? r : walk->visitor->element(walk, spot, false);
}

static int visit_field(struct gw_walk *walk, struct gw_spot *spot)
{
    const struct gw_field *f = spot->field;
    char *p = walk->dry || f->type == GW_T_UNUSED ? NULL : (char *)spot->base + f->offset;
    uint32_t n = 1;
    int r;

    if (f->type == GW_T_CHECK) {
        if (!walk->dry && !f->when(spot->base, spot->version))
            return gw_spot_fail(walk, spot, walk->visitor->blame == GW_BLAME_PEER ? -EPROTO : -EINVAL,
                                walk->visitor->blame, "the required condition does not hold");
        return 0;
    }
    if (f->type == GW_T_LIST)
        return walk->visitor->list(walk, spot);
    if (f->flags & GW_F_VARRAY && !walk->dry) {
        r = read_count(walk, spot, &n);
        if (r < 0)
            return r;
    } else if (f->flags & GW_F_ARRAY && !walk->dry) {
        n = f->count;
    }
    spot->bytes = gw_field_is_leaf(f) ? gw_field_wire_bytes(f, walk->dry ? f->count : n) : f->size;
    spot->count = gw_field_count_is_length(f) ? 1 : n;
    spot->length = n;
    if (f->flags & GW_F_POINTER && !walk->dry) {
        void **slot = (void **)p;
        size_t each = f->type == GW_T_BITMAP || f->type == GW_T_BUFFER ? (size_t)spot->bytes : f->size;
        void *target = NULL;

        if (!*slot)
            return gw_spot_fail(walk, spot, -EINVAL, GW_BLAME_EMBEDDER, "the pointer is NULL");
        r = walk->visitor->pointee(walk, spot, slot, each * spot->count, &target);
        if (r < 0)
            return r;
        p = target;
    }
    if (gw_field_is_leaf(f) && !(f->flags & GW_F_POINTER_ARRAY))
        return walk->visitor->leaf(walk, spot, p, spot->count);
    for (spot->index = 0; spot->index < spot->count; spot->index++) {
        size_t step = f->flags & GW_F_POINTER_ARRAY ? sizeof(void *) : f->size;

        r = visit_element(walk, spot, p ? p + step * spot->index : NULL);
        if (r < 0)
            return r;
    }
    return 0;
}

static int visit_fields(struct gw_walk *walk, const struct gw_state *st, uint32_t version, void *base,
                        const struct gw_spot *outer)
{
    for (const struct gw_field *f = st->fields; f->type != GW_T_END; f++) {
        struct gw_spot spot = {.outer = outer, .state = st, .field = f, .base = base, .version = version, .count = 1};
        int r;

        if (!present(walk, &spot))
            continue;
        spot.at = walk->visitor->offset ? walk->visitor->offset(walk) : 0;
        r = visit_field(walk, &spot);
        if (r < 0)
            return r;
    }
    return 0;
}

int gw_walk_state(struct gw_walk *walk, const struct gw_state *st, uint32_t version, void *base,
                  const struct gw_spot *outer)
{
    int r;

    if (walk->depth > GW_STATE_DEPTH)
        return gw_fail(walk->err, -EINVAL, GW_BLAME_CALLER, "descriptions nested deeper than %d", GW_STATE_DEPTH);
    r = walk->visitor->enter(walk, st, version, base);
    if (r < 0)
        return r;
    walk->depth++;
    r = visit_fields(walk, st, version, base, outer);
    if (r >= 0)
        r = walk->visitor->subsections(walk, st, base, outer);
    walk->depth--;
    return walk->visitor->leave(walk, st, version, base, r);
}
