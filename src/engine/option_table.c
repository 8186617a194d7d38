/* SPDX-License-Identifier: MIT */
#include "engine/option_table.h"

#include <stdio.h>

static const struct gw_option_row rows[] = {
#define F(id, name, preset, min, max, help) {name, GW_PARAMETER_INT, true, preset, min, max, NULL, help},
    GW_INT_PARAMETERS(F)
#undef F
#define F(id, name, preset, help) {name, GW_PARAMETER_BOOL, true, preset, 0, 1, NULL, help},
        GW_BOOL_PARAMETERS(F)
#undef F
#define F(id, name, preset, accepted, words, help)                                                                     \
    {name, GW_PARAMETER_ENUM, true, preset, 0, (accepted)-1, words, help " (" words ")"},
            GW_ENUM_PARAMETERS(F)
#undef F
#define F(id, name, supported, help) {name, GW_PARAMETER_STRING, supported, 0, 0, 0, NULL, help},
                GW_STRING_PARAMETERS(F)
#undef F
#define F(name, type, help) {name, GW_PARAMETER_##type, false, 0, 0, 0, NULL, help},
                    GW_ABSENT_PARAMETERS(F)
#undef F
};

_Static_assert(GW_ARRAY_LEN(rows) > GW_OPTION_ROW_ABSENT, "rows are numbered as their parameters, strings and absent ones");

const struct gw_option_row *gw_option_row(size_t i)
{
    return i < GW_ARRAY_LEN(rows) ? &rows[i] : NULL;
}

int gw_option_find(const char *name, size_t *ret_index, struct gw_error *err)
{
    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        if (!strcmp(rows[i].name, name)) {
            *ret_index = i;
            return 0;
        }
    }
    return gw_fail(err, -ENOENT, GW_BLAME_CALLER, "there is no parameter '%s'", name);
}

static int parse_bool(const char *text, uint64_t *ret_value)
{
    bool on = !strcmp(text, "on") || !strcmp(text, "true") || !strcmp(text, "yes");

    if (!on && strcmp(text, "off") && strcmp(text, "false") && strcmp(text, "no"))
        return -EINVAL;
    *ret_value = on;
    return 0;
}

int gw_option_parse_int(const char *text, uint64_t *ret_value)
{
    uint64_t n = 0;
    const char *p = text;

    for (; *p >= '0' && *p <= '9'; p++)
        if (gw_mul_overflows(n, 10, &n) || gw_add_overflows(n, (uint64_t)(*p - '0'), &n))
            return -ERANGE;
    if (p == text)
        return -EINVAL;
    if (*p) {
        const char *units = "kKmMgGtT", *unit = strchr(units, *p);

        if (!unit || p[1])
            return -EINVAL;
        if (gw_mul_overflows(n, 1ull << (10 * ((unit - units) / 2 + 1)), &n))
            return -ERANGE;
    }
    *ret_value = n;
    return 0;
}

static const char *next_word(const char *word, size_t *ret_length)
{
    *ret_length = strcspn(word, " ");
    return word + *ret_length + (word[*ret_length] != 0);
}

static int parse_enum(const struct gw_option_row *row, const char *text, uint64_t *ret_value)
{
    uint64_t n = 0;
    size_t length;

    for (const char *w = row->words, *next; *w; w = next, n++) {
        next = next_word(w, &length);
        if (length == strlen(text) && !memcmp(w, text, length)) {
            *ret_value = n;
            return 0;
        }
    }
    return -EINVAL;
}

static void print_enum(const struct gw_option_row *row, uint64_t value, char *buf, size_t size)
{
    const char *w = row->words, *next;
    size_t length;

    for (next = next_word(w, &length); value; value--) {
        w = next;
        next = next_word(w, &length);
    }
    snprintf(buf, size, "%.*s", (int)length, w);
}

static int bad_value(const struct gw_option_row *row, const char *value, int r, struct gw_error *err)
{
    if (row->type == GW_PARAMETER_ENUM)
        return gw_fail(err, r, GW_BLAME_CALLER, "parameter %s cannot be '%s', only one of: %s", row->name, value, row->words);
    if (row->type == GW_PARAMETER_BOOL)
        return gw_fail(err, r, GW_BLAME_CALLER, "parameter %s is on or off, not '%s'", row->name, value);
    if (row->max == UINT64_MAX)
        return gw_fail(err, r, GW_BLAME_CALLER, "parameter %s is a whole number of at most 64 bits, not '%s'", row->name, value);
    return gw_fail(err, r, GW_BLAME_CALLER, "parameter %s is a whole number from %" PRIu64 " to %" PRIu64 ", not '%s'",
                   row->name, row->min, row->max, value);
}

int gw_option_parse(const struct gw_option_row *row, const char *text, uint64_t *ret_value, struct gw_error *err)
{
    uint64_t n = 0;
    int r = row->type == GW_PARAMETER_BOOL   ? parse_bool(text, &n)
            : row->type == GW_PARAMETER_ENUM ? parse_enum(row, text, &n)
                                             : gw_option_parse_int(text, &n);

    if (r < 0)
        return bad_value(row, text, r, err);
    if (row->type == GW_PARAMETER_ENUM && n > row->max)
        return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER, "parameter %s: this build of godwit cannot do '%s': choose another value", row->name,
                       text);
    if (n < row->min || n > row->max)
        return bad_value(row, text, -ERANGE, err);
    *ret_value = n;
    return 0;
}

void gw_option_print(const struct gw_option_row *row, uint64_t value, char *buf, size_t size)
{
    if (row->type == GW_PARAMETER_ENUM)
        print_enum(row, value, buf, size);
    else if (row->type == GW_PARAMETER_BOOL)
        gw_strcopy(buf, size, value ? "on" : "off");
    else
        snprintf(buf, size, "%" PRIu64, value);
}

bool gw_options_parameter_at(size_t i, const char **ret_name, enum gw_parameter_type *ret_type, const char **ret_help)
{
    if (i >= GW_ARRAY_LEN(rows))
        return false;
    if (ret_name)
        *ret_name = rows[i].name;
    if (ret_type)
        *ret_type = rows[i].type;
    if (ret_help)
        *ret_help = rows[i].help;
    return true;
}
