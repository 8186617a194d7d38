/* SPDX-License-Identifier: MIT */
#include "state/schema_shape.h"

#include <stdio.h>

#include "state/schema_field.h"

#define PLACE_BYTES 240u

/* What an object has to be: one row for each member that is known. */
struct member {
    const char *key;
    bool required;
    enum gw_json_type type;    /* INT: none below 0 */
    const struct member *inside; /* of the object, or of each object of the array; ends at a row without key */
};

static const struct member field[12];
static const struct member description[] = {
    {"name", true, GW_JSON_STRING, NULL},         {"version", true, GW_JSON_INT, NULL},
    {"oldest", true, GW_JSON_INT, NULL},          {"optional", false, GW_JSON_BOOL, NULL},
    {"fields", true, GW_JSON_ARRAY, field},       {"subsections", false, GW_JSON_ARRAY, description},
    {0},
};
static const struct member field[] = {
    {"name", true, GW_JSON_STRING, NULL},         {"type", true, GW_JSON_STRING, NULL},
    {"since", false, GW_JSON_INT, NULL},          {"conditional", false, GW_JSON_BOOL, NULL},
    {"nullable", false, GW_JSON_BOOL, NULL},      {"count", false, GW_JSON_INT, NULL},
    {"max", false, GW_JSON_INT, NULL},            {"counted_by", false, GW_JSON_STRING, NULL},
    {"bits", false, GW_JSON_INT, NULL},           {"size", false, GW_JSON_INT, NULL},
    {"state", false, GW_JSON_OBJECT, description}, {0},
};
static const struct member alias[] = {
    {"name", true, GW_JSON_STRING, NULL},
    {"instance_id", true, GW_JSON_INT, NULL},
    {0},
};
static const struct member device[] = {
    {"name", true, GW_JSON_STRING, NULL},          {"instance_id", true, GW_JSON_INT, NULL},
    {"aliases", false, GW_JSON_ARRAY, alias},      {"unmigratable", false, GW_JSON_BOOL, NULL},
    {"early", false, GW_JSON_BOOL, NULL},          {"version", false, GW_JSON_INT, NULL},
    {"state", false, GW_JSON_OBJECT, description}, {0},
};
static const struct member schema[] = {
    {"machine", true, GW_JSON_STRING, NULL},
    {"devices", true, GW_JSON_ARRAY, device},
    {0},
};

static const char *name_of(enum gw_json_type type)
{
    static const char *const name[] = {
        [GW_JSON_NULL] = "null",       [GW_JSON_BOOL] = "true or false", [GW_JSON_INT] = "an integer",
        [GW_JSON_REAL] = "a number with a fraction or beyond 64 bits",   [GW_JSON_STRING] = "a string",
        [GW_JSON_ARRAY] = "a list",    [GW_JSON_OBJECT] = "an object",
    };

    return name[type];
}

/* Adds a member, or (key NULL) the number of an element, to the place and returns where it ends. What does not fit is cut off: the place
 * is only told to people. */
static size_t place_go(char *place, size_t stem, const char *key, uint32_t number)
{
    int n = key ? snprintf(place + stem, PLACE_BYTES - stem, "%s%s", stem ? "." : "", key)
                : snprintf(place + stem, PLACE_BYTES - stem, "[%u]", number);

    return n < 0 ? stem : GW_MIN(stem + (size_t)n, PLACE_BYTES - 1);
}

static int check_object(const struct gw_json *object, const struct member *members, char *place, size_t stem,
                        struct gw_error *err);

static int check_member(const struct gw_json *v, const struct member *m, char *place, size_t stem, struct gw_error *err)
{
    uint32_t i = 0;
    int r = 0;

    if (v->type != m->type)
        return gw_fail(err, -EPROTO, GW_BLAME_CALLER, "%s is %s, but has to be %s", place, name_of(v->type),
                       name_of(m->type));
    if (v->type == GW_JSON_INT && v->number < 0)
        return gw_fail(err, -EPROTO, GW_BLAME_CALLER, "%s is %" PRId64 ", but cannot be negative", place, v->number);
    if (!m->inside)
        return 0;
    if (v->type == GW_JSON_OBJECT)
        return check_object(v, m->inside, place, stem, err);
    for (const struct gw_json *e = v->first; e && r >= 0; e = e->next) {
        size_t end = place_go(place, stem, NULL, i++);

        if (e->type != GW_JSON_OBJECT)
            r = gw_fail(err, -EPROTO, GW_BLAME_CALLER, "%s is %s, but has to be an object", place, name_of(e->type));
        else
            r = check_object(e, m->inside, place, end, err);
    }
    return r;
}

/* Recursion ends with the tree, whose depth the reader of JSON has bounded. */
static int check_object(const struct gw_json *object, const struct member *members, char *place, size_t stem,
                        struct gw_error *err)
{
    for (const struct member *m = members; m->key; m++) {
        const struct gw_json *v = gw_json_get(object, m->key);
        size_t end;
        int r;

        place[stem] = 0;
        if (!v && m->required)
            return gw_fail(err, -EPROTO, GW_BLAME_CALLER, "%s has no \"%s\"", stem ? place : "it", m->key);
        if (!v)
            continue;
        end = place_go(place, stem, m->key, 0);
        r = check_member(v, m, place, end, err);
        if (r < 0)
            return r;
    }
    place[stem] = 0;
    if (members == device && !gw_json_get(object, "state") && !gw_json_get(object, "version"))
        return gw_fail(err, -EPROTO, GW_BLAME_CALLER, "%s has neither a \"state\" nor a \"version\"", place);
    return 0;
}

int gw_schema_shape(const struct gw_json *root, struct gw_error *err)
{
    char place[PLACE_BYTES] = "";

    if (gw_field_number(root, "godwit_schema", 0) != 1)
        return gw_fail(err, -EPROTO, GW_BLAME_CALLER, "not a schema of format 1 (\"godwit_schema\": 1)");
    return check_object(root, schema, place, 0, err);
}

int gw_schema_read(const char *json, struct gw_arena *arena, struct gw_json **ret, struct gw_error *err)
{
    int r = gw_json_parse(json, strlen(json), arena, ret, err);

    return r < 0 ? r : gw_schema_shape(*ret, err);
}
