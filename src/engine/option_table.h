/* SPDX-License-Identifier: MIT
 *
 * option_table: the rows of all parameters (the lists in options.h), and their values as text.
 *
 * Threads: everything is constant.
 */
#ifndef GW_ENGINE_OPTION_TABLE_H
#define GW_ENGINE_OPTION_TABLE_H

#include "engine/options.h"

/* In the order of enum gw_parameter, then the strings, then those that this build does not know: the number of a row tells
 * which it is. */
struct gw_option_row {
    const char *name;
    enum gw_parameter_type type;
    bool supported;
    uint64_t preset, min, max; /* of numbers, booleans (0, 1) and words */
    const char *words; /* of an ENUM, separated by blanks; max is the number of those accepted, less one */
    const char *help;
};
#define GW_OPTION_ROW_STRING GW_PARAM_COUNT
#define GW_OPTION_ROW_ABSENT (GW_PARAM_COUNT + GW_STRING_COUNT)

const struct gw_option_row *gw_option_row(size_t i); /* NULL behind the last one */
int gw_option_find(const char *name, size_t *ret_index, struct gw_error *err); /* -ENOENT */

/* The value of a number, a boolean or a word. -EINVAL: not one; -ERANGE: out of its range; -ENOTSUP: a word that this build cannot do.
 */
int gw_option_parse(const struct gw_option_row *row, const char *text, uint64_t *ret_value, struct gw_error *err);
/* Decimal, then at most one of K M G T. -EINVAL, or -ERANGE where it does not fit. */
int gw_option_parse_int(const char *text, uint64_t *ret_value);
/* The reverse; cut where it does not fit. */
void gw_option_print(const struct gw_option_row *row, uint64_t value, char *buf, size_t size);

#endif
