/* SPDX-License-Identifier: MIT */
#include "state/json_member.h"

const struct gw_json *gw_json_typed(const struct gw_json *object, const char *key, enum gw_json_type type)
{
    const struct gw_json *v = gw_json_get(object, key);

    return v && v->type == type ? v : NULL;
}

int gw_json_get_int(const struct gw_json *object, const char *key, uint64_t max, enum gw_blame blame, uint64_t *ret,
                    struct gw_error *err)
{
    const struct gw_json *v = gw_json_typed(object, key, GW_JSON_INT);

    if (!v || v->number < 0 || (uint64_t)v->number > max)
        return gw_fail(err, -EPROTO, blame, "%s is not a number from 0 to %" PRIu64, key, max);
    *ret = (uint64_t)v->number;
    return 0;
}

int gw_json_check_name(const char *what, const char *name, size_t bytes, enum gw_blame blame, struct gw_error *err)
{
    if (bytes < 1 || bytes > 255)
        return gw_fail(err, -EPROTO, blame, "%s is not a string of 1 to 255 bytes", what);
    for (size_t i = 0; i < bytes; i++)
        if (name[i] < 0x20 || name[i] > 0x7e)
            return gw_fail(err, -EPROTO, blame, "%s has a byte 0x%02x", what, (uint8_t)name[i]);
    return 0;
}

int gw_json_get_name(const struct gw_json *object, const char *key, enum gw_blame blame, const char **ret, struct gw_error *err)
{
    const struct gw_json *v = gw_json_typed(object, key, GW_JSON_STRING);
    int r = gw_json_check_name(key, v ? v->string : "", v ? v->count : 0, blame, err);

    if (r >= 0)
        *ret = v->string;
    return r;
}
