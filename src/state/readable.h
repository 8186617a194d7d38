/* SPDX-License-Identifier: MIT
 *
 * readable: whether what a table writes could be read back. What cannot be seen in a table is taken to be right: a
 * condition, a count that both sides know.
 */
#ifndef GW_READABLE_H
#define GW_READABLE_H

#include "state/describe.h"

/* A description, and the one whose subsection it is. */
struct gw_table {
    const struct gw_state *state;
    const struct gw_table *parent; /* NULL: not a subsection */
};

/* -EINVAL with a sentence that names the description and the field. Each field by itself is right already. */
int gw_table_readable(const struct gw_table *t, struct gw_error *err);

#endif
