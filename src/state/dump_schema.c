/* SPDX-License-Identifier: MIT
 *
 * Converts the output of -dump-vmstate to a schema (docs/formats/schema.md), and a schema to that output.
 */
#include "godwit/state.h"
#include "state/dump.h"
#include "state/schema_field.h"
#include "state/schema_shape.h"
#include "state/text.h"

/* ---- dump to schema ---------------------------------------------------------------------------------------------- */

static void put_state(struct gw_text *t, const char *key, const struct gw_dump_state *st, bool optional)
{
    gw_text_open(t, key, '{');
    gw_text_string(t, "name", st->name);
    gw_text_int(t, "version", st->version);
    gw_text_int(t, "oldest", st->oldest);
    if (optional)
        gw_text_bool(t, "optional", true);
    gw_text_open(t, "fields", '[');
    for (uint32_t i = 0; i < st->field_count; i++) {
        const struct gw_dump_field *f = &st->fields[i];

        gw_text_open(t, NULL, '{');
        gw_text_string(t, "name", f->name);
        gw_text_string(t, "type", f->inside ? "struct" : "");
        if (f->since)
            gw_text_int(t, "since", f->since);
        if (f->conditional)
            gw_text_bool(t, "conditional", true);
        if (f->count != 1)
            gw_text_int(t, "count", f->count);
        if (f->inside)
            put_state(t, "state", f->inside, false);
        else
            gw_text_int(t, "size", f->bytes);
        gw_text_close(t, '}');
    }
    gw_text_close(t, ']');
    if (st->subsection_count) {
        gw_text_open(t, "subsections", '[');
        for (uint32_t i = 0; i < st->subsection_count; i++)
            put_state(t, NULL, &st->subsections[i], true);
        gw_text_close(t, ']');
    }
    gw_text_close(t, '}');
}

static int take_text(struct gw_text *t, char **ret, struct gw_error *err)
{
    if (t->failed) {
        gw_text_free(t);
        return gw_nomem(err, "schema");
    }
    *ret = t->data;
    return 0;
}

int gw_schema_from_dump(const char *json, size_t bytes, char **ret_json, struct gw_error *err)
{
    struct gw_dump *dump = NULL;
    struct gw_text t = {0};
    int r = gw_dump_parse(json, bytes, &dump, err);

    if (r < 0)
        return r;
    gw_text_open(&t, NULL, '{');
    gw_text_int(&t, "godwit_schema", 1);
    gw_text_string(&t, "machine", dump->machine);
    gw_text_open(&t, "devices", '[');
    for (uint32_t i = 0; i < dump->type_count; i++) {
        gw_text_open(&t, NULL, '{');
        gw_text_string(&t, "name", dump->types[i].name);
        gw_text_int(&t, "instance_id", 0);
        put_state(&t, "state", &dump->types[i].state, false);
        gw_text_close(&t, '}');
    }
    gw_text_close(&t, ']');
    gw_text_close(&t, '}');
    gw_dump_free(dump);
    return take_text(&t, ret_json, err);
}

#define DEVICES_MAX 16384u /* each is compared with all before it */

/* ---- schema to dump ---------------------------------------------------------------------------------------------- */

/* Size of one element on the wire; 0 if a part of it has no fixed size. */
static uint64_t element_bytes(const struct gw_json *f)
{
    const struct gw_json *st = gw_json_get(f, "state");
    uint64_t sum = 0;

    if (!st)
        return gw_field_number(f, "size", 0);
    for (const struct gw_json *m = gw_field_list(st, "fields"); m; m = m->next) {
        uint64_t all;

        if (gw_json_get(m, "max") || gw_mul_overflows(element_bytes(m), gw_field_number(m, "count", 1), &all) || !all ||
            gw_add_overflows(sum, all, &sum) || sum > INT64_MAX)
            return 0;
    }
    return sum;
}

static void put_description(struct gw_text *t, const char *key, const struct gw_json *st)
{
    gw_text_open(t, key, '{');
    gw_text_string(t, "name", gw_field_text(st, "name"));
    gw_text_int(t, "version_id", gw_field_number(st, "version", 0));
    gw_text_int(t, "minimum_version_id", gw_field_number(st, "oldest", 0));
    if (gw_field_list(st, "fields")) {
        gw_text_open(t, "Fields", '[');
        for (const struct gw_json *f = gw_field_list(st, "fields"); f; f = f->next) {
            gw_text_open(t, NULL, '{');
            gw_text_string(t, "field", gw_field_text(f, "name"));
            gw_text_int(t, "version_id", gw_field_number(f, "since", 0));
            gw_text_bool(t, "field_exists", gw_json_get(f, "conditional"));
            if (gw_field_number(f, "count", 1) != 1)
                gw_text_int(t, "num", gw_field_number(f, "count", 1));
            gw_text_int(t, "size", element_bytes(f));
            if (gw_json_get(f, "state"))
                put_description(t, "Description", gw_json_get(f, "state"));
            gw_text_close(t, '}');
        }
        gw_text_close(t, ']');
    }
    if (gw_field_list(st, "subsections")) {
        gw_text_open(t, "Subsections", '[');
        for (const struct gw_json *sub = gw_field_list(st, "subsections"); sub; sub = sub->next)
            put_description(t, NULL, sub);
        gw_text_close(t, ']');
    }
    gw_text_close(t, '}');
}

/* Several instances have the same type: only the first is written. Old-style devices have no description. */
static bool is_first(const struct gw_json *devices, const struct gw_json *d)
{
    while (devices != d && strcmp(gw_field_text(devices, "name"), gw_field_text(d, "name")) != 0)
        devices = devices->next;
    return devices == d && gw_json_get(d, "state");
}

int gw_schema_to_dump(const char *schema_json, char **ret_json, struct gw_error *err)
{
    struct gw_arena arena = {0};
    struct gw_json *root = NULL;
    struct gw_text t = {0};
    int r = gw_schema_read(schema_json, &arena, &root, err);

    if (r >= 0 && gw_json_get(root, "devices")->count > DEVICES_MAX)
        r = gw_fail(err, -E2BIG, GW_BLAME_CALLER, "more than %u devices", DEVICES_MAX);
    if (r < 0)
        goto out;
    gw_text_open(&t, NULL, '{');
    gw_text_open(&t, "vmschkmachine", '{');
    gw_text_string(&t, "Name", gw_field_text(root, "machine"));
    gw_text_close(&t, '}');
    for (const struct gw_json *d = gw_field_list(root, "devices"); d; d = d->next) {
        const struct gw_json *st = gw_json_get(d, "state");

        if (!is_first(gw_field_list(root, "devices"), d))
            continue;
        gw_text_open(&t, gw_field_text(d, "name"), '{');
        gw_text_string(&t, "Name", gw_field_text(d, "name"));
        gw_text_int(&t, "version_id", gw_field_number(st, "version", 0));
        gw_text_int(&t, "minimum_version_id", gw_field_number(st, "oldest", 0));
        put_description(&t, "Description", st);
        gw_text_close(&t, '}');
    }
    gw_text_close(&t, '}');
    r = take_text(&t, ret_json, err);
out:
    gw_arena_free(&arena);
    return r;
}
