/* SPDX-License-Identifier: MIT */
#include <locale.h>
#include <math.h>
#include <stdio.h>

#include "control/internal.h"
#include "state/json.h"

static int convert(const struct gw_json *from, json_t **ret_value, struct gw_error *err);

/* strtod reads what the program's locale writes. Out of range becomes 0, as infinities cannot be told. */
static double real_of(const char *text)
{
    char buf[64], *point;
    double v;

    snprintf(buf, sizeof buf, "%s", text);
    point = strchr(buf, '.');
    if (point)
        *point = localeconv()->decimal_point[0];
    v = strtod(buf, NULL);
    return isfinite(v) ? v : 0;
}

static int convert_members(const struct gw_json *from, json_t *to, struct gw_error *err)
{
    for (const struct gw_json *m = from->first; m; m = m->next) {
        json_t *value = NULL;
        int r;

        if (m->key && json_object_get(to, m->key))
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "the key '%.100s' occurs twice", m->key);
        r = convert(m, &value, err);
        if (r < 0)
            return r;
        if (m->key ? json_object_set_new(to, m->key, value) : json_array_append_new(to, value))
            return gw_nomem(err, "a JSON value");
    }
    return 0;
}

static int convert(const struct gw_json *from, json_t **ret_value, struct gw_error *err)
{
    json_t *to = NULL;
    int r = 0;

    switch (from->type) {
    case GW_JSON_NULL:
        to = json_null();
        break;
    case GW_JSON_BOOL:
        to = json_boolean(from->number);
        break;
    case GW_JSON_INT:
        to = json_integer(from->number);
        break;
    case GW_JSON_REAL:
        to = json_real(real_of(from->string));
        break;
    case GW_JSON_STRING:
        to = json_stringn(from->string, from->count);
        if (!to)
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "a string is not UTF-8, or there is no memory for it");
        break;
    case GW_JSON_ARRAY:
        to = json_array();
        break;
    case GW_JSON_OBJECT:
        to = json_object();
        break;
    }
    if (!to)
        return gw_nomem(err, "a JSON value");
    if (from->type == GW_JSON_ARRAY || from->type == GW_JSON_OBJECT)
        r = convert_members(from, to, err);
    if (r < 0)
        json_decref(to);
    else
        *ret_value = to;
    return r;
}

int gw_json_load(const char *text, size_t bytes, json_t **ret_value, struct gw_error *err)
{
    struct gw_arena arena = {0};
    struct gw_json *tree = NULL;
    int r = gw_json_parse(text, bytes, &arena, &tree, err);

    if (r == 0)
        r = convert(tree, ret_value, err);
    gw_arena_free(&arena);
    return r;
}

bool gw_json_put(json_t *object, const char *key, json_t *take_value)
{
    return json_object_set_new(object, key, take_value) != 0;
}

bool gw_json_put_int(json_t *object, const char *key, uint64_t value)
{
    return gw_json_put(object, key, json_integer((json_int_t)GW_MIN(value, (uint64_t)INT64_MAX)));
}

bool gw_json_put_text(json_t *object, const char *key, const char *value)
{
    return gw_json_put(object, key, json_string(value));
}

bool gw_json_put_real(json_t *object, const char *key, double value)
{
    return gw_json_put(object, key, json_real(isfinite(value) ? value : 0));
}

bool gw_json_put_bool(json_t *object, const char *key, bool value)
{
    return gw_json_put(object, key, json_boolean(value));
}

int gw_json_finish(json_t *take_value, bool failed, json_t **ret_value, struct gw_error *err)
{
    if (!take_value || failed) {
        json_decref(take_value);
        return gw_nomem(err, "an answer");
    }
    *ret_value = take_value;
    return 0;
}

static bool is_type(const json_t *v, char type)
{
    switch (type) {
    case 's':
        return json_is_string(v);
    case 'b':
        return json_is_boolean(v);
    case 'i':
        return json_is_integer(v);
    case 'a':
        return json_is_array(v);
    default:
        return json_is_object(v);
    }
}

static const char *type_name(char type)
{
    return type == 's' ? "string" : type == 'b' ? "boolean" : type == 'i' ? "integer" : type == 'a' ? "array" : "object";
}

/* Takes the next word off the list; false at its end. */
static bool next_spec(const char **spec, char *name, size_t size, bool *ret_optional, char *ret_type)
{
    size_t n = strcspn(*spec, " ");

    if (n < 2)
        return false;
    *ret_type = (*spec)[n - 1];
    *ret_optional = (*spec)[n - 2] == '?';
    snprintf(name, size, "%.*s", (int)n - 2, *spec);
    *spec += n + ((*spec)[n] == ' ');
    return true;
}

int gw_json_check(json_t *object, const char *spec, const char *where, struct gw_error *err)
{
    char name[64], type;
    const char *key, *p;
    bool optional;
    json_t *value;

    if (!strcmp(spec, "*"))
        return 0;
    for (p = spec; next_spec(&p, name, sizeof name, &optional, &type);) {
        value = json_object_get(object, name);
        if (!value && !optional)
            return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "Parameter '%s%s' is missing", where, name);
        if (value && !is_type(value, type))
            return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "Invalid parameter type for '%s%s', expected: %s", where,
                           name, type_name(type));
    }
    json_object_foreach(object, key, value) {
        bool known = false;

        for (p = spec; !known && next_spec(&p, name, sizeof name, &optional, &type);)
            known = !strcmp(name, key);
        if (!known)
            return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "Parameter '%s%.100s' is unexpected", where, key);
    }
    return 0;
}
