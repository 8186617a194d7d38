/* SPDX-License-Identifier: MIT
 *
 * option_table: the rows of all parameters (the lists in options.h), and their values as text.
 *
 * Threads: everything is constant.
 */
#ifndef GW_ENGINE_OPTION_TABLE_H
#define GW_ENGINE_OPTION_TABLE_H

#include "engine/options.h"

/* Rows are numbered like enum gw_parameter, then the strings, then the parameters that this build does not support. */
struct gw_option_row {
    const char *name;
    enum gw_parameter_type type;
    bool supported;
    uint64_t preset, min, max; /* of numbers, booleans (0, 1) and enums */
    const char *words; /* of an ENUM, separated by blanks; max + 1 of them, from the first, are accepted */
    const char *help;
};
#define GW_OPTION_ROW_STRING GW_PARAM_COUNT
#define GW_OPTION_ROW_ABSENT (GW_PARAM_COUNT + GW_STRING_COUNT)

const struct gw_option_row *gw_option_row(size_t i); /* NULL behind the last row */
int gw_option_find(const char *name, size_t *ret_index, struct gw_error *err); /* -ENOENT: unknown name */

/* Parses the value of a number, a boolean or an enum. -EINVAL: no valid value; -ERANGE: out of range; -ENOTSUP: a word
 * that this build does not support. */
int gw_option_parse(const struct gw_option_row *row, const char *text, uint64_t *ret_value, struct gw_error *err);
/* Decimal digits, then at most one of K M G T. -EINVAL; -ERANGE: too large. */
int gw_option_parse_int(const char *text, uint64_t *ret_value);
/* Prints a value; truncated if buf is too small. */
void gw_option_print(const struct gw_option_row *row, uint64_t value, char *buf, size_t size);

#endif
