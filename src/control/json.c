/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdio.h>

#include "control/internal.h"
#include "state/json.h"
#include "state/text.h"

static int convert(const struct gw_json *from, unsigned depth, bool any, json_t **ret_value, struct gw_error *err);

/* The mark of a number. A string that begins with it gets one more, so that no text is taken for a number. */
#define MARK '\1'

static json_t *number_of(const char *text)
{
    return json_sprintf("%c%s", MARK, text);
}

static int string_of(const struct gw_json *from, bool any, json_t **ret_value, struct gw_error *err)
{
    GW_AUTOFREE char *longer = NULL;
    const char *text = from->string;
    size_t bytes = from->count;

    if (!any && gw_json_has_control(text, bytes))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "a control character in a string");
    if (*text == MARK) {
        longer = malloc(bytes + 1);
        if (!longer)
            return gw_nomem(err, "a JSON value");
        *longer = MARK;
        memcpy(longer + 1, text, bytes++);
        text = longer;
    }
    *ret_value = json_stringn(text, bytes);
    return *ret_value ? 0
                      : gw_fail(err, -EPROTO, GW_BLAME_PEER, "a string is not UTF-8, or there is no memory for it");
}

static int convert_members(const struct gw_json *from, unsigned depth, bool any, json_t *to, struct gw_error *err)
{
    for (const struct gw_json *m = from->first; m; m = m->next) {
        json_t *value = NULL;
        int r;

        if (m->key && json_object_get(to, m->key))
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "the key '%.100s' occurs twice", m->key);
        if (m->key && !any && gw_json_has_control(m->key, strlen(m->key)))
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "a control character in a key");
        r = convert(m, depth + 1, any || (!depth && m->key && !strcmp(m->key, "id")), &value, err);
        if (r < 0)
            return r;
        if (m->key ? json_object_set_new(to, m->key, value) : json_array_append_new(to, value))
            return gw_nomem(err, "a JSON value");
    }
    return 0;
}

/* any: control characters are allowed. */
static int convert(const struct gw_json *from, unsigned depth, bool any, json_t **ret_value, struct gw_error *err)
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
        to = number_of(from->string);
        break;
    case GW_JSON_STRING:
        return string_of(from, any, ret_value, err);
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
        r = convert_members(from, depth, any, to, err);
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
    int r = gw_json_parse_qmp(text, bytes, &arena, &tree, err);

    if (r == 0)
        r = convert(tree, 0, false, ret_value, err);
    gw_arena_free(&arena);
    return r;
}

/* Whether the text is a number with its mark, and nothing else. */
static bool is_number(const char *text)
{
    return text && *text == MARK && text[1] && !text[1 + strspn(text + 1, "+-.0123456789eE")];
}

static int to_text(const char *bytes, size_t count, void *opaque)
{
    struct gw_text *t = opaque;

    gw_text_add(t, bytes, count);
    return t->failed ? -1 : 0;
}

static bool dump_plain(struct gw_text *t, const json_t *value)
{
    return value && json_dump_callback(value, to_text, t, JSON_COMPACT | JSON_ENCODE_ANY) == 0;
}

static bool dump_string(struct gw_text *t, const json_t *value)
{
    const char *text = json_string_value(value);
    bool good;
    json_t *rest;

    if (is_number(text)) {
        gw_text_add(t, text + 1, strlen(text + 1));
        return true;
    }
    if (text[0] != MARK || text[1] != MARK)
        return dump_plain(t, value);
    rest = json_stringn(text + 1, json_string_length(value) - 1);
    good = dump_plain(t, rest);
    json_decref(rest);
    return good;
}

static bool dump(struct gw_text *t, const json_t *value)
{
    const char *before = "", *key;
    json_t *member, *name;
    bool good = true;
    size_t i;

    if (json_is_string(value))
        return dump_string(t, value);
    if (!json_is_object(value) && !json_is_array(value))
        return dump_plain(t, value);
    gw_text_add(t, json_is_object(value) ? "{" : "[", 1);
    json_array_foreach(value, i, member) {
        gw_text_add(t, before, strlen(before));
        good = good && dump(t, member);
        before = ",";
    }
    json_object_foreach((json_t *)value, key, member) {
        gw_text_add(t, before, strlen(before));
        name = json_string(key);
        good = good && dump_plain(t, name);
        json_decref(name);
        gw_text_add(t, ":", 1);
        good = good && dump(t, member);
        before = ",";
    }
    gw_text_add(t, json_is_object(value) ? "}" : "]", 1);
    return good;
}

char *gw_json_text(const json_t *value)
{
    struct gw_text t = {0};

    if (value && dump(&t, value) && !t.failed)
        return t.data;
    gw_text_free(&t);
    return NULL;
}

const char *gw_json_large(const json_t *value)
{
    const char *text = json_string_value(value);

    return is_number(text) && !text[1 + strspn(text + 1, "0123456789")] ? text + 1 : NULL;
}

json_t *gw_json_u64(uint64_t value)
{
    return value <= INT64_MAX ? json_integer((json_int_t)value) : json_sprintf("%c%" PRIu64, MARK, value);
}

bool gw_json_is_string(const json_t *value)
{
    return json_is_string(value) && !is_number(json_string_value(value));
}

bool gw_json_put(json_t *object, const char *key, json_t *take_value)
{
    return json_object_set_new(object, key, take_value) != 0;
}

bool gw_json_put_int(json_t *object, const char *key, uint64_t value)
{
    return gw_json_put(object, key, gw_json_u64(value));
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
        return gw_json_is_string(v);
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
            return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "argument '%s%s' is missing", where, name);
        if (value && !is_type(value, type))
            return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "argument '%s%s' must have type %s", where,
                           name, type_name(type));
    }
    json_object_foreach(object, key, value) {
        bool known = false;

        for (p = spec; !known && next_spec(&p, name, sizeof name, &optional, &type);)
            known = !strcmp(name, key);
        if (!known)
            return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "there is no argument '%s%.100s'", where, key);
    }
    return 0;
}
