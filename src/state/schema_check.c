/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>

#include "state/describe.h"
#include "state/dump.h"
#include "state/json_member.h"
#include "state/schema_field.h"
#include "state/schema_shape.h"
#include "state/text.h"

#define ALIGN_CELLS_MAX (4u << 20) /* product of the numbers of fields of two descriptions, at most */

struct checker {
    gw_schema_found_fn found;
    void *opaque;
    struct gw_text where;
    int breaking;
    unsigned depth;
    struct gw_error *err;
};

/* ---- messages ---------------------------------------------------------------------------------------------------- */

static void say(struct checker *c, bool breaking, const char *fmt, ...) GW_PRINTF(3, 4);

static void say(struct checker *c, bool breaking, const char *fmt, ...)
{
    char what[600];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    if (breaking && c->breaking < INT32_MAX)
        c->breaking++;
    if (c->found)
        c->found(c->opaque, breaking, c->where.data ? c->where.data : "", what);
}

static size_t go_in(struct checker *c, const char *separator, const char *name)
{
    size_t stem = c->where.bytes;

    gw_text_printf(&c->where, "%s%s", stem ? separator : "", name);
    return stem;
}

static void come_back(struct checker *c, size_t stem)
{
    c->where.bytes = stem;
    if (c->where.data)
        c->where.data[stem] = 0;
}

/* ---- fields ------------------------------------------------------------------------------------------------------ */

static int check_state(struct checker *c, const struct gw_json *from, const struct gw_json *to, bool versioned);

static void check_maximum(struct checker *c, const struct gw_json *from, const struct gw_json *to)
{
    int64_t a = gw_field_number(from, "max", -1), b = gw_field_number(to, "max", -1);

    if (a < 0 && b < 0)
        return;
    if (a < 0 || b < 0)
        say(c, true,
            a < 0 ? "has a fixed number of elements, but one that varies is expected"
                  : "has a number of elements that varies, but a fixed one is expected");
    else if (a > b)
        say(c, true, "up to %" PRId64 " elements are written, more than %" PRId64 " are refused", a, b);
    else if (a < b)
        say(c, false, "up to %" PRId64 " elements are accepted, at most %" PRId64 " are written", b, a);
}

static void check_plain(struct checker *c, const struct gw_json *from, const struct gw_json *to)
{
    int64_t a = gw_field_number(from, "size", -1), b = gw_field_number(to, "size", -1);
    int64_t m = gw_field_number(from, "count", 1), n = gw_field_number(to, "count", 1);
    const char *ta = gw_field_text(from, "type"), *tb = gw_field_text(to, "type");

    if (gw_field_same_bytes(from, to) && (gw_field_is_padding(from) || gw_field_is_padding(to))) {
        if (!gw_field_is_padding(to))
            say(c, false, "was padding where it is written: arrives as zero");
        else if (!gw_field_is_padding(from))
            say(c, false, "is padding where it is read: its value is ignored");
        return;
    }
    if (gw_field_same_bytes(from, to) && gw_field_is_bytes(from) && gw_field_is_bytes(to))
        return;
    if (!gw_field_same_family(ta, tb))
        say(c, true, "%s of %" PRId64 " bytes is written, %s of %" PRId64 " is expected", ta, a, tb, b);
    else if (a != b)
        say(c, true, "resized: %" PRId64 " bytes are written, %" PRId64 " are expected", a, b);
    else if (m != n)
        say(c, true, "%" PRId64 " elements are written, %" PRId64 " are expected", m, n);
    else if (*ta && *tb && strcmp(ta, tb) != 0)
        say(c, false, "%s where it is written, %s where it is read", ta, tb);
    if (gw_field_number(from, "bits", -1) != gw_field_number(to, "bits", -1))
        say(c, gw_field_number(to, "bits", 0) < gw_field_number(from, "bits", 0),
            "%" PRId64 " bits are written, %" PRId64 " are expected", gw_field_number(from, "bits", 0),
            gw_field_number(to, "bits", 0));
}

static int check_field(struct checker *c, const struct gw_json *from, const struct gw_json *to)
{
    const struct gw_json *a = gw_json_get(from, "state"), *b = gw_json_get(to, "state");
    size_t stem = go_in(c, ".", gw_field_text(from, "name"));
    int r = 0;

    if (!gw_field_same_name(from, to) && !gw_field_is_padding(from) && !gw_field_is_padding(to))
        say(c, false, "renamed to %s (names are not in the stream)", gw_field_text(to, "name"));
    if (gw_field_true(from, "conditional") && !gw_field_true(to, "conditional"))
        say(c, true, "is written only under a condition, but always expected");
    else if (!gw_field_true(from, "conditional") && gw_field_true(to, "conditional"))
        say(c, true, "is always written, but expected only under a condition");
    if (gw_field_true(from, "nullable") != gw_field_true(to, "nullable"))
        say(c, true, "elements may be absent on one side only");
    check_maximum(c, from, to);
    if (a && b && gw_field_same_family(gw_field_text(from, "type"), gw_field_text(to, "type"))) {
        if (gw_field_number(from, "count", 1) != gw_field_number(to, "count", 1))
            say(c, true, "%" PRId64 " elements are written, %" PRId64 " are expected",
                gw_field_number(from, "count", 1), gw_field_number(to, "count", 1));
        r = check_state(c, a, b, false);
    } else {
        check_plain(c, from, to);
    }
    come_back(c, stem);
    return r;
}

/* ---- which field is which ---------------------------------------------------------------------------------------- */

struct side {
    const struct gw_json **f; /* the fields that are on the wire */
    uint32_t count;
};

static int collect(struct checker *c, const struct gw_json *st, int64_t version, struct side *side)
{
    const struct gw_json *list = gw_json_typed(st, "fields", GW_JSON_ARRAY);
    uint32_t n = list ? list->count : 0;

    side->count = 0;
    side->f = malloc(GW_MAX(n, 1) * sizeof *side->f);
    if (!side->f)
        return gw_nomem(c->err, "schema");
    for (const struct gw_json *m = gw_field_list(st, "fields"); m; m = m->next)
        if (gw_field_number(m, "since", 0) <= version)
            side->f[side->count++] = m;
    return 0;
}

/* len[i][k]: the length of the longest common sequence of names from a[i] and b[k] on. */
static uint32_t *common_names(const struct side *a, const struct side *b)
{
    uint32_t wide = b->count + 1, *len = calloc(((size_t)a->count + 1) * wide, sizeof *len);

    if (!len)
        return NULL;
    for (uint32_t i = a->count; i-- > 0;)
        for (uint32_t k = b->count; k-- > 0;)
            len[(size_t)i * wide + k] = gw_field_same_name(a->f[i], b->f[k])
                                            ? len[(size_t)(i + 1) * wide + k + 1] + 1
                                            : GW_MAX(len[(size_t)(i + 1) * wide + k], len[(size_t)i * wide + k + 1]);
    return len;
}

static bool has_name(const struct side *side, const struct gw_json *f)
{
    for (uint32_t i = 0; i < side->count; i++)
        if (!gw_field_is_padding(f) && gw_field_same_name(side->f[i], f))
            return true;
    return false;
}

/* Reports a field without a counterpart in its place. A field that only moved is reported once, on the side that
 * writes. */
static void say_alone(struct checker *c, const struct gw_json *f, bool written, const struct side *other)
{
    bool moved = has_name(other, f);
    size_t stem = go_in(c, ".", gw_field_text(f, "name"));

    if (moved && written)
        say(c, true, "is expected in another place");
    else if (written)
        say(c, true, "is written, but there is no such field where it is read (removed)");
    else if (!moved)
        say(c, true, "is expected, but not written (added; it needs a version, a condition or a subsection)");
    come_back(c, stem);
}

/* Fields between two that have the same name: fields in the same place with the same layout were renamed (or became
 * padding); otherwise they were removed or added. */
static int check_gap(struct checker *c, const struct side *a, uint32_t i, uint32_t i_end, const struct side *b,
                     uint32_t k, uint32_t k_end)
{
    while (i < i_end || k < k_end) {
        bool both = i < i_end && k < k_end;
        bool padding = both && gw_field_same_bytes(a->f[i], b->f[k]) &&
                       (gw_field_is_padding(a->f[i]) || gw_field_is_padding(b->f[k]));

        if (both && (padding || gw_field_same_layout(a->f[i], b->f[k]))) {
            int r = check_field(c, a->f[i++], b->f[k++]);

            if (r < 0)
                return r;
            continue;
        }
        /* Equal numbers on both sides: pairs that differ; otherwise the longer side has fields without a
         * counterpart. */
        if (i < i_end && (i_end - i >= k_end - k || !both))
            say_alone(c, a->f[i++], true, b);
        else
            say_alone(c, b->f[k++], false, a);
    }
    return 0;
}

static bool is_opaque(const struct gw_json *f)
{
    return !strcmp(gw_field_text(f, "type"), "buffer") || gw_field_is_padding(f);
}

/* The number of fields of a side that together have the size of the one buffer; 0: there are none. */
static uint32_t pieces_of(const struct gw_json *buffer, const struct side *side, uint32_t first)
{
    int64_t left = gw_field_bytes(buffer);
    uint32_t n = 0;

    while (left > 0 && first + n < side->count) {
        const struct gw_json *f = side->f[first + n++];

        if (gw_field_bytes(f) < 1 || gw_field_true(f, "conditional"))
            return 0;
        left -= gw_field_bytes(f);
    }
    return left == 0 && n > 1 ? n : 0;
}

/* A buffer on one side whose bytes are named fields on the other. Advances past both. */
static bool check_divided(struct checker *c, const struct side *a, uint32_t *i, const struct side *b, uint32_t *k)
{
    const struct gw_json *f, *g;
    uint32_t n;
    size_t stem;

    if (*i == a->count || *k == b->count)
        return false;
    f = a->f[*i];
    g = b->f[*k];
    if (gw_field_true(f, "conditional") || gw_field_true(g, "conditional"))
        return false;
    stem = go_in(c, ".", gw_field_text(f, "name"));
    if (is_opaque(f) && (n = pieces_of(f, b, *k))) {
        say(c, false, "its %" PRId64 " bytes are read as %u fields, from %s on", gw_field_bytes(f), n,
            gw_field_text(g, "name"));
        *i += 1;
        *k += n;
    } else if (is_opaque(g) && (n = pieces_of(g, a, *i))) {
        say(c, false, "%u fields from here on are read as the %" PRId64 " bytes of %s", n, gw_field_bytes(g),
            gw_field_text(g, "name"));
        *i += n;
        *k += 1;
    } else {
        n = 0;
    }
    come_back(c, stem);
    return n > 0;
}

static int check_aligned(struct checker *c, const struct side *a, const struct side *b, const uint32_t *len)
{
    uint32_t i = 0, k = 0, wide = b->count + 1;
    int r = 0;

    while (r >= 0 && (i < a->count || k < b->count)) {
        uint32_t i0 = i, k0 = k;

        if (check_divided(c, a, &i, b, &k))
            continue;
        while (i < a->count && k < b->count &&
               !(gw_field_same_name(a->f[i], b->f[k]) &&
                 len[(size_t)i * wide + k] == len[(size_t)(i + 1) * wide + k + 1] + 1)) {
            if (len[(size_t)(i + 1) * wide + k] >= len[(size_t)i * wide + k + 1])
                i++;
            else
                k++;
        }
        if (i == a->count || k == b->count) {
            i = a->count;
            k = b->count;
        }
        r = check_gap(c, a, i0, i, b, k0, k);
        if (r >= 0 && i < a->count && k < b->count)
            r = check_field(c, a->f[i++], b->f[k++]);
    }
    return r;
}

static int check_fields(struct checker *c, const struct gw_json *from, const struct gw_json *to, int64_t from_version,
                        int64_t to_version)
{
    struct side a = {0}, b = {0};
    uint32_t *len = NULL;
    int r = collect(c, from, from_version, &a);

    if (r >= 0)
        r = collect(c, to, to_version, &b);
    if (r >= 0 && ((uint64_t)a.count + 1) * ((uint64_t)b.count + 1) > ALIGN_CELLS_MAX) {
        r = gw_fail(c->err, -E2BIG, GW_BLAME_CALLER, "schema: %s has too many fields",
                    c->where.data ? c->where.data : "");
    } else if (r >= 0) {
        len = common_names(&a, &b);
        r = len ? check_aligned(c, &a, &b, len) : gw_nomem(c->err, "schema");
    }
    free(len);
    free(a.f);
    free(b.f);
    return r;
}

/* ---- descriptions ------------------------------------------------------------------------------------------------ */

static int check_subsections(struct checker *c, const struct gw_json *from, const struct gw_json *to)
{
    const struct gw_json *a, *b;

    for (a = gw_field_list(from, "subsections"); a; a = a->next) {
        for (b = gw_field_list(to, "subsections"); b && !gw_field_same_name(a, b); b = b->next)
            ;
        if (b) {
            size_t stem = go_in(c, " subsection ", gw_field_text(a, "name"));
            int r = check_state(c, a, b, true);

            come_back(c, stem);
            if (r < 0)
                return r;
        } else {
            say(c, true, "subsection %s is not known where it is read: refused %s", gw_field_text(a, "name"),
                gw_field_true(a, "optional") ? "whenever it is written" : "always");
        }
    }
    for (b = gw_field_list(to, "subsections"); b; b = b->next) {
        for (a = gw_field_list(from, "subsections"); a && !gw_field_same_name(a, b); a = a->next)
            ;
        if (!a)
            say(c, false, "subsection %s is never written: its fields keep their defaults", gw_field_text(b, "name"));
    }
    return 0;
}

/* versioned: the version is in the stream (devices, subsections); otherwise each side uses its own. */
static int check_state(struct checker *c, const struct gw_json *from, const struct gw_json *to, bool versioned)
{
    int64_t written = gw_field_number(from, "version", 0), known = gw_field_number(to, "version", 0),
            oldest = gw_field_number(to, "oldest", 0);
    int r;

    if (++c->depth > GW_STATE_DEPTH * 2)
        return gw_fail(c->err, -EPROTO, GW_BLAME_CALLER, "schema: descriptions nested too deep");
    if (versioned && written > known)
        say(c, true, "version %" PRId64 " is written, at most %" PRId64 " is read", written, known);
    else if (versioned && written < oldest)
        say(c, true, "version %" PRId64 " is written, only %" PRId64 " and later are read", written, oldest);
    else if (written != known)
        say(c, false, "version %" PRId64 " is written, %" PRId64 " is the newest that is known", written, known);
    r = check_fields(c, from, to, written, versioned ? GW_MIN(written, known) : known);
    if (r >= 0)
        r = check_subsections(c, from, to);
    c->depth--;
    return r;
}

/* ---- devices ----------------------------------------------------------------------------------------------------- */

static bool is_named(const struct gw_json *d, const char *name, int64_t instance)
{
    return gw_field_number(d, "instance_id", -1) == instance && !strcmp(gw_field_text(d, "name"), name);
}

static const struct gw_json *find_device(const struct gw_json *schema, const struct gw_json *wanted)
{
    int64_t instance = gw_field_number(wanted, "instance_id", -1);
    const char *name = gw_field_text(wanted, "name");

    for (const struct gw_json *d = gw_field_list(schema, "devices"); d; d = d->next)
        if (is_named(d, name, instance))
            return d;
    for (const struct gw_json *d = gw_field_list(schema, "devices"); d; d = d->next)
        for (const struct gw_json *a = gw_field_list(d, "aliases"); a; a = a->next)
            if (is_named(a, name, instance))
                return d;
    return NULL;
}

static int check_device(struct checker *c, const struct gw_json *from, const struct gw_json *to)
{
    const struct gw_json *a = gw_json_get(from, "state"), *b = gw_json_get(to, "state");

    if (gw_field_true(from, "unmigratable"))
        say(c, true, "cannot be migrated where it is written");
    if (!gw_field_same_name(from, to))
        say(c, false, "is read under its old name; it is %s there", gw_field_text(to, "name"));
    if (!a != !b) {
        say(c, true,
            a ? "has a description, but is read by old-style callbacks"
              : "is written by old-style callbacks, but read by a description");
        return 0;
    }
    if (!a) {
        int64_t m = gw_field_number(from, "version", 0), n = gw_field_number(to, "version", 0);

        if (m != n)
            say(c, m > n, "version %" PRId64 " is written by old-style callbacks, %" PRId64 " is known", m, n);
        return 0;
    }
    return check_state(c, a, b, true);
}

static size_t go_to_device(struct checker *c, const struct gw_json *d)
{
    size_t stem = c->where.bytes;

    gw_text_printf(&c->where, "device %s/%" PRId64, gw_field_text(d, "name"), gw_field_number(d, "instance_id", 0));
    return stem;
}

static int check_schemas(struct checker *c, const struct gw_json *from, const struct gw_json *to)
{
    const struct gw_json *d;
    int r = 0;

    if (strcmp(gw_field_text(from, "machine"), gw_field_text(to, "machine")) != 0)
        say(c, true, "the machine is %s where it is written and %s where it is read", gw_field_text(from, "machine"),
            gw_field_text(to, "machine"));
    for (d = gw_field_list(from, "devices"); d && r >= 0; d = d->next) {
        const struct gw_json *other = find_device(to, d);
        size_t stem = go_to_device(c, d);

        if (other)
            r = check_device(c, d, other);
        else
            say(c, true, "is written, but not known where it is read%s",
                gw_field_true(gw_json_get(d, "state"), "optional") ? " (refused whenever it is written)" : "");
        come_back(c, stem);
    }
    for (d = gw_field_list(to, "devices"); d && r >= 0; d = d->next) {
        bool found = find_device(from, d) != NULL;
        size_t stem;

        for (const struct gw_json *a = gw_field_list(d, "aliases"); a && !found; a = a->next)
            found = find_device(from, a) != NULL;
        if (found)
            continue;
        stem = go_to_device(c, d);
        say(c, false, "is not written: it keeps the state that it has");
        come_back(c, stem);
    }
    return r;
}

static int read_schema(const char *json, const char *which, struct gw_arena *arena, struct gw_json **ret,
                       struct gw_error *err)
{
    int r = gw_json_parse(json, strlen(json), arena, ret, err);

    if (r >= 0 && gw_dump_is(*ret)) {
        char *schema = NULL;

        r = gw_schema_from_dump(json, strlen(json), &schema, err);
        if (r >= 0)
            r = gw_schema_read(schema, arena, ret, err);
        free(schema);
    } else if (r >= 0) {
        r = gw_schema_shape(*ret, err);
    }
    if (r < 0)
        gw_context(err, "the schema %s", which);
    return r;
}

int gw_schema_check(const char *from_json, const char *to_json, gw_schema_found_fn found, void *opaque,
                    struct gw_error *err)
{
    struct checker c = {.found = found, .opaque = opaque, .err = err};
    struct gw_json *from = NULL, *to = NULL;
    struct gw_arena arena = {0};
    int r = read_schema(from_json, "of the writer", &arena, &from, err);

    if (r >= 0)
        r = read_schema(to_json, "of the reader", &arena, &to, err);
    if (r >= 0)
        r = check_schemas(&c, from, to);
    if (r >= 0 && c.where.failed)
        r = gw_nomem(err, "schema");
    gw_text_free(&c.where);
    gw_arena_free(&arena);
    return r < 0 ? r : c.breaking;
}
