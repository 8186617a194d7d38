/* SPDX-License-Identifier: MIT */
#include "state/schema_field.h"

#include "state/json_member.h"

const char *gw_field_text(const struct gw_json *object, const char *key)
{
    const struct gw_json *v = gw_json_typed(object, key, GW_JSON_STRING);

    return v ? v->string : "";
}

int64_t gw_field_number(const struct gw_json *object, const char *key, int64_t otherwise)
{
    const struct gw_json *v = gw_json_typed(object, key, GW_JSON_INT);

    return v ? v->number : otherwise;
}

bool gw_field_true(const struct gw_json *object, const char *key)
{
    const struct gw_json *v = gw_json_typed(object, key, GW_JSON_BOOL);

    return v && v->number;
}

const struct gw_json *gw_field_list(const struct gw_json *object, const char *key)
{
    const struct gw_json *v = gw_json_typed(object, key, GW_JSON_ARRAY);

    return v ? v->first : NULL;
}

bool gw_field_same_name(const struct gw_json *a, const struct gw_json *b)
{
    return !strcmp(gw_field_text(a, "name"), gw_field_text(b, "name"));
}

/* Types with the same bytes, and the same meaning for values that both have. "uint32 equal" is "uint32". */
static const char *family(const char *type, size_t *ret_bytes)
{
    static const struct {
        const char *type, *family;
    } known[] = {
        {"bool", "uint8"},   {"int8", "uint8"},   {"int16", "uint16"},   {"int32", "uint32"},
        {"int64", "uint64"}, {"timer", "uint64"}, {"vstruct", "struct"}, {"unused_buffer", "buffer"},
        {"tmp", "struct"},   {"qlist", "qtailq"},
    };
    size_t n = strcspn(type, " ");

    for (size_t i = 0; i < GW_ARRAY_LEN(known); i++) {
        if (strlen(known[i].type) == n && !strncmp(known[i].type, type, n)) {
            type = known[i].family;
            n = strlen(type);
            break;
        }
    }
    *ret_bytes = n;
    return type;
}

bool gw_field_same_family(const char *a, const char *b)
{
    size_t m, n;

    a = family(a, &m);
    b = family(b, &n);
    return !m || !n || (m == n && !memcmp(a, b, m)); /* a dump (dump.h) has no types */
}

static bool is_plain(const struct gw_json *f)
{
    return !gw_json_get(f, "state") && !gw_json_get(f, "max") && !gw_field_true(f, "nullable");
}

int64_t gw_field_bytes(const struct gw_json *f)
{
    int64_t size = gw_field_number(f, "size", -1), count = gw_field_number(f, "count", 1), all;

    if (!is_plain(f) || size < 0 || count < 0 || gw_mul_overflows(size, count, &all))
        return -1;
    return all;
}

bool gw_field_same_bytes(const struct gw_json *a, const struct gw_json *b)
{
    return gw_field_bytes(a) >= 0 && gw_field_bytes(a) == gw_field_bytes(b) &&
           gw_field_true(a, "conditional") == gw_field_true(b, "conditional");
}

bool gw_field_is_bytes(const struct gw_json *f)
{
    return !strcmp(gw_field_text(f, "type"), "buffer") || !strcmp(gw_field_text(f, "type"), "uint8");
}

bool gw_field_is_padding(const struct gw_json *f)
{
    return !strcmp(gw_field_text(f, "type"), "unused_buffer");
}

bool gw_field_same_layout(const struct gw_json *a, const struct gw_json *b)
{
    return gw_field_same_family(gw_field_text(a, "type"), gw_field_text(b, "type")) &&
           gw_field_number(a, "size", -1) == gw_field_number(b, "size", -1) &&
           gw_field_number(a, "count", 1) == gw_field_number(b, "count", 1) &&
           gw_field_number(a, "max", -1) == gw_field_number(b, "max", -1) &&
           !gw_json_get(a, "state") == !gw_json_get(b, "state") &&
           gw_field_true(a, "conditional") == gw_field_true(b, "conditional");
}
