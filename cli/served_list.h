/* SPDX-License-Identifier: MIT
 *
 * served_list: all destinations of `godwit serve`, and what the user is told about each.
 *
 * Threads: functions are called with the owning serve's lock.
 */
#ifndef GODWIT_CLI_SERVED_LIST_H
#define GODWIT_CLI_SERVED_LIST_H

#include "served.h"

struct gw_served_list {
    struct gw_served_by by;
    struct gw_served **list;
    unsigned count, next_id, started, failed;
    bool no_more; /* no further destinations are started */
};

/* Starts a destination. Those that finished first are forgotten when there are too many. */
int gw_served_add(struct gw_served_list *l, const char *uri, bool resume, unsigned *ret_id, struct gw_error *err);
/* Updates the state of all, and tells the user what is new; the sums are for the progress line. Returns how many are still in
 * progress. */
unsigned gw_served_look_all(struct gw_served_list *l, struct gw_stats *sums, bool *ret_connected);
void gw_served_stop_all(struct gw_served_list *l, bool now);
/* Their descriptions. NULL: no memory. */
json_t *gw_served_describe_all(const struct gw_served_list *l);
void gw_served_free_all(struct gw_served_list *l);

#endif
