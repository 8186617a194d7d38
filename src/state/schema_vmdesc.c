/* SPDX-License-Identifier: MIT */
#include "godwit/state.h"
#include "state/text.h"
#include "state/vmdesc_read.h"

static void put_state(struct gw_text *t, const char *key, const struct gw_vmdesc_state *st, bool optional);

/* Entries of one array become one field; returns how many entries there are. The contents of the first stand for
 * all. */
static uint32_t put_field(struct gw_text *t, const struct gw_vmdesc_field *f, uint32_t left)
{
    uint64_t elements = f->count;
    uint32_t entries = 1;

    while (f->index == 0 && entries < left && f[entries].index > 0 && !strcmp(f[entries].name, f->name))
        elements += f[entries++].count;
    gw_text_open(t, NULL, '{');
    gw_text_string(t, "name", f->name);
    gw_text_string(t, "type", f->type);
    if (f->elements) {
        gw_text_int(t, "max", UINT32_MAX); /* the description does not contain the maximum */
    } else if (elements > 1) {
        gw_text_int(t, "count", elements);
    }
    if (f->inside)
        put_state(t, "state", f->inside, false);
    else
        gw_text_int(t, "size", f->bytes);
    gw_text_close(t, '}');
    return entries;
}

static void put_state(struct gw_text *t, const char *key, const struct gw_vmdesc_state *st, bool optional)
{
    gw_text_open(t, key, '{');
    gw_text_string(t, "name", st->name);
    gw_text_int(t, "version", st->version);
    gw_text_int(t, "oldest", 0);
    if (optional)
        gw_text_bool(t, "optional", true);
    gw_text_open(t, "fields", '[');
    for (uint32_t i = 0; i < st->field_count;)
        i += put_field(t, &st->fields[i], st->field_count - i);
    gw_text_close(t, ']');
    if (st->subsection_count) {
        gw_text_open(t, "subsections", '[');
        for (uint32_t i = 0; i < st->subsection_count; i++)
            put_state(t, NULL, &st->subsections[i], true);
        gw_text_close(t, ']');
    }
    gw_text_close(t, '}');
}

int gw_schema_from_description(const char *text, size_t bytes, const char *machine, char **ret_json,
                               struct gw_error *err)
{
    struct gw_vmdesc_tree *tree = NULL;
    struct gw_text t = {0};
    int r = gw_vmdesc_parse(text, bytes, &tree, err);

    if (r < 0)
        return r;
    gw_text_open(&t, NULL, '{');
    gw_text_int(&t, "godwit_schema", 1);
    gw_text_string(&t, "machine", machine);
    gw_text_open(&t, "devices", '[');
    for (uint32_t i = 0; i < tree->device_count; i++) {
        const struct gw_vmdesc_device *d = &tree->devices[i];

        gw_text_open(&t, NULL, '{');
        gw_text_string(&t, "name", d->name);
        gw_text_int(&t, "instance_id", d->instance);
        if (d->legacy)
            gw_text_int(&t, "version", 0);
        else
            put_state(&t, "state", &d->state, false);
        gw_text_close(&t, '}');
    }
    gw_text_close(&t, ']');
    gw_text_close(&t, '}');
    gw_vmdesc_tree_free(tree);
    if (t.failed) {
        gw_text_free(&t);
        return gw_nomem(err, "schema");
    }
    *ret_json = t.data;
    return 0;
}
