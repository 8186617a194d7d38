/* SPDX-License-Identifier: MIT
 *
 * nearest: finds the known word most similar to an unknown one.
 *
 *     struct gw_cli_nearest n = {.word = "pramas"};
 *
 *     gw_cli_nearest_try(&n, "params");
 *     gw_cli_nearest_try(&n, "peer");
 *     n.best is "params"; NULL: none is similar enough
 */
#ifndef GODWIT_CLI_NEAREST_H
#define GODWIT_CLI_NEAREST_H

struct gw_cli_nearest {
    const char *word, *best;
    unsigned distance; /* of best */
};

/* The number of letters to change, add, remove, or exchange with their neighbour. */
unsigned gw_cli_distance(const char *a, const char *b);
/* Takes the candidate if it, or its beginning, is similar enough and more similar than all before. */
void gw_cli_nearest_try(struct gw_cli_nearest *n, const char *candidate);

#endif
