/* SPDX-License-Identifier: MIT */
#include "state/codec.h"
#include "state/registry.h"

#define SCHEMA_FORMAT 1

struct schema {
    struct gw_walk walk;
    struct gw_text t;
    const char *key; /* key for the next description; NULL: it is in a list */
};

static struct schema *schema_of(struct gw_walk *walk)
{
    return GW_CONTAINER(walk, struct schema, walk);
}

static int schema_enter(struct gw_walk *walk, const struct gw_state *st, uint32_t version, void *base)
{
    struct schema *s = schema_of(walk);

    gw_text_open(&s->t, s->key, '{');
    gw_text_string(&s->t, "name", st->name);
    gw_text_int(&s->t, "version", version);
    gw_text_int(&s->t, "oldest", st->oldest);
    if (st->needed)
        gw_text_bool(&s->t, "optional", true);
    gw_text_open(&s->t, "fields", '[');
    return 0;
}

static int schema_subsections(struct gw_walk *walk, const struct gw_state *st, void *base, const struct gw_spot *outer)
{
    struct schema *s = schema_of(walk);
    int r = 0;

    gw_text_close(&s->t, ']');
    if (!st->subsections || !st->subsections[0])
        return 0;
    gw_text_open(&s->t, "subsections", '[');
    for (const struct gw_state *const *p = st->subsections; *p && r >= 0; p++) {
        s->key = NULL;
        r = gw_walk_state(walk, *p, (*p)->version, NULL, NULL);
    }
    gw_text_close(&s->t, ']');
    return r;
}

static int schema_leave(struct gw_walk *walk, const struct gw_state *st, uint32_t version, void *base, int result)
{
    gw_text_close(&schema_of(walk)->t, '}');
    return result;
}

/* The name of the member that holds the count, in the same description. */
static const char *count_name(const struct gw_spot *spot)
{
    for (const struct gw_field *f = spot->state->fields; f < spot->field; f++)
        if (f->within && f->offset == spot->field->count_offset && f->type == spot->field->count_type)
            return gw_field_name(f);
    return NULL;
}

static void field_begin(struct schema *s, const struct gw_spot *spot)
{
    const struct gw_field *f = spot->field;

    gw_text_open(&s->t, NULL, '{');
    gw_text_string(&s->t, "name", gw_field_name(f));
    gw_text_string(&s->t, "type", gw_field_type_name(f));
    if (f->since)
        gw_text_int(&s->t, "since", f->since);
    if (f->when)
        gw_text_bool(&s->t, "conditional", true);
    if (f->flags & GW_F_POINTER_ARRAY)
        gw_text_bool(&s->t, "nullable", true);
    if (f->flags & GW_F_ARRAY)
        gw_text_int(&s->t, "count", f->count);
    if (f->flags & GW_F_VARRAY) {
        gw_text_int(&s->t, "max", f->count);
        if (count_name(spot))
            gw_text_string(&s->t, "counted_by", count_name(spot));
    }
    if (f->type == GW_T_BITMAP && !gw_field_count_is_length(f))
        gw_text_int(&s->t, "bits", f->size);
}

static int schema_leaf(struct gw_walk *walk, struct gw_spot *spot, void *p, uint32_t n)
{
    struct schema *s = schema_of(walk);

    if (spot->field->flags & GW_F_POINTER_ARRAY) { /* called between the begin and the end of `element` */
        gw_text_int(&s->t, "size", spot->bytes);
        return 0;
    }
    field_begin(s, spot);
    if (!gw_field_count_is_length(spot->field))
        gw_text_int(&s->t, "size", spot->bytes);
    gw_text_close(&s->t, '}');
    return 0;
}

static int schema_element(struct gw_walk *walk, struct gw_spot *spot, bool begin)
{
    struct schema *s = schema_of(walk);

    if (begin)
        field_begin(s, spot);
    else
        gw_text_close(&s->t, '}');
    s->key = "state";
    return 0;
}

static int schema_list(struct gw_walk *walk, struct gw_spot *spot)
{
    struct schema *s = schema_of(walk);
    const struct gw_field *f = spot->field;
    int r;

    field_begin(s, spot);
    gw_text_int(&s->t, "max", f->list->max);
    s->key = "state";
    r = gw_walk_state(walk, f->state, f->state->version, NULL, NULL);
    gw_text_close(&s->t, '}');
    return r;
}

static const struct gw_visitor schema_visitor = {
    .enter = schema_enter,
    .leave = schema_leave,
    .subsections = schema_subsections,
    .leaf = schema_leaf,
    .element = schema_element,
    .list = schema_list,
};

static int dump_device(void *opaque, const struct gw_registered *d)
{
    struct schema *s = opaque;
    int r = 0;

    gw_text_open(&s->t, NULL, '{');
    gw_text_string(&s->t, "name", d->id);
    gw_text_int(&s->t, "instance_id", d->instance);
    if (d->aliases) {
        gw_text_open(&s->t, "aliases", '[');
        for (const struct gw_registry_alias *a = d->aliases; a; a = a->next) {
            gw_text_open(&s->t, NULL, '{');
            gw_text_string(&s->t, "name", a->id);
            gw_text_int(&s->t, "instance_id", a->instance);
            gw_text_close(&s->t, '}');
        }
        gw_text_close(&s->t, ']');
    }
    if (d->state) {
        if (d->state->unmigratable)
            gw_text_bool(&s->t, "unmigratable", true);
        if (d->state->early)
            gw_text_bool(&s->t, "early", true);
        s->key = "state";
        r = gw_walk_state(&s->walk, d->state, d->state->version, NULL, NULL);
    } else {
        gw_text_int(&s->t, "version", d->version);
    }
    gw_text_close(&s->t, '}');
    return r;
}

int gw_schema_dump(const struct gw_registry *reg, const char *machine, char **ret_json, struct gw_error *err)
{
    struct schema s = {.walk = {.visitor = &schema_visitor, .dry = true, .err = err}};
    int r;

    gw_text_open(&s.t, NULL, '{');
    gw_text_int(&s.t, "godwit_schema", SCHEMA_FORMAT);
    gw_text_string(&s.t, "machine", machine);
    gw_text_open(&s.t, "devices", '[');
    r = gw_registry_each(reg, dump_device, &s);
    gw_text_close(&s.t, ']');
    gw_text_close(&s.t, '}');
    if (r >= 0 && s.t.failed)
        r = gw_nomem(err, "schema");
    if (r < 0) {
        gw_text_free(&s.t);
        return r;
    }
    *ret_json = s.t.data;
    return 0;
}
