/* SPDX-License-Identifier: MIT
 *
 * readable: whether the output of a table could be read back. What a table does not show is assumed to be right: a
 * condition, a count that both sides know.
 */
#ifndef GW_READABLE_H
#define GW_READABLE_H

#include "state/describe.h"

/* A description, and the description whose subsection it is. */
struct gw_table {
    const struct gw_state *state;
    const struct gw_table *parent; /* NULL: not a subsection */
};

/* -EINVAL with a message that names the description and the field. Each field alone was checked before. */
int gw_table_readable(const struct gw_table *t, struct gw_error *err);

#endif
