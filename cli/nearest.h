/* SPDX-License-Identifier: MIT
 *
 * nearest: the word that was likely meant by one that is not known.
 *
 *     struct gw_cli_nearest n = {.word = "pramas"};
 *
 *     gw_cli_nearest_try(&n, "params");
 *     gw_cli_nearest_try(&n, "peer");
 *     n.best is "params"; NULL: none is near enough
 */
#ifndef GODWIT_CLI_NEAREST_H
#define GODWIT_CLI_NEAREST_H

struct gw_cli_nearest {
    const char *word, *best;
    unsigned distance; /* of best */
};

/* How many letters must be changed, added, left out, or exchanged with their neighbour. */
unsigned gw_cli_distance(const char *a, const char *b);
/* Takes the candidate if it, or what it begins with, is near enough and nearer than all before it. */
void gw_cli_nearest_try(struct gw_cli_nearest *n, const char *candidate);

#endif
