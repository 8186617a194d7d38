/* SPDX-License-Identifier: MIT
 *
 * Options by their type (godwit/options.h): a capability is a boolean beside the others.
 */
#include "engine/option_table.h"

#include <stdio.h>

static bool is_capability(const struct gw_options *o, const char *name)
{
    bool on;

    return gw_options_get_capability(o, name, &on, NULL) == 0;
}

static bool is_text(enum gw_parameter_type type)
{
    return type == GW_PARAMETER_STRING || type == GW_PARAMETER_ENUM;
}

/* -EINVAL: the parameter has another type; an ENUM and a STRING are both text. */
static int find_typed(const struct gw_options *o, const char *name, enum gw_parameter_type type, size_t *ret_index,
                      struct gw_error *err)
{
    static const char *const types[] = {
        [GW_PARAMETER_INT] = "a number", [GW_PARAMETER_BOOL] = "on or off", [GW_PARAMETER_STRING] = "a text",
        [GW_PARAMETER_ENUM] = "a word"};
    int r = gw_option_find(name, ret_index, err);

    if (r < 0 && type != GW_PARAMETER_BOOL && is_capability(o, name))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "capability '%s' is on or off, not %s", name, types[type]);
    if (r < 0)
        return r;
    if (gw_option_row(*ret_index)->type == type || (is_text(type) && is_text(gw_option_row(*ret_index)->type)))
        return 0;
    return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "parameter %s is %s, not %s", name, types[gw_option_row(*ret_index)->type],
                   types[type]);
}

int gw_options_set_bool(struct gw_options *o, const char *name, bool value, struct gw_error *err)
{
    size_t i;
    int r;

    if (is_capability(o, name))
        return gw_options_set_capability(o, name, value, err);
    r = find_typed(o, name, GW_PARAMETER_BOOL, &i, err);
    return r < 0 ? r : gw_options_set_parameter(o, name, value ? "on" : "off", err);
}

int gw_options_set_u64(struct gw_options *o, const char *name, uint64_t value, struct gw_error *err)
{
    char text[24];
    size_t i;
    int r = find_typed(o, name, GW_PARAMETER_INT, &i, err);

    snprintf(text, sizeof text, "%" PRIu64, value);
    return r < 0 ? r : gw_options_set_parameter(o, name, text, err);
}

int gw_options_set_str(struct gw_options *o, const char *name, const char *value, struct gw_error *err)
{
    size_t i;
    int r = find_typed(o, name, GW_PARAMETER_STRING, &i, err);

    return r < 0 ? r : gw_options_set_parameter(o, name, value, err);
}

int gw_options_get_bool(const struct gw_options *o, const char *name, bool *ret_value, struct gw_error *err)
{
    char text[8];
    size_t i;
    int r;

    if (is_capability(o, name))
        return gw_options_get_capability(o, name, ret_value, err);
    r = find_typed(o, name, GW_PARAMETER_BOOL, &i, err);
    if (r >= 0)
        r = gw_options_get_parameter(o, name, text, sizeof text, err);
    if (r >= 0)
        *ret_value = !strcmp(text, "on");
    return r;
}

int gw_options_get_u64(const struct gw_options *o, const char *name, uint64_t *ret_value, struct gw_error *err)
{
    char text[24];
    size_t i;
    int r = find_typed(o, name, GW_PARAMETER_INT, &i, err);

    if (r >= 0)
        r = gw_options_get_parameter(o, name, text, sizeof text, err);
    return r < 0 ? r : gw_option_parse_int(text, ret_value);
}

int gw_options_get_str(const struct gw_options *o, const char *name, char *buf, size_t size, struct gw_error *err)
{
    size_t i;
    int r = find_typed(o, name, GW_PARAMETER_STRING, &i, err);

    return r < 0 ? r : gw_options_get_parameter(o, name, buf, size, err);
}
