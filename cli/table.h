/* SPDX-License-Identifier: MIT
 *
 * table: the options of a command as a table, and what becomes of them.
 *
 *     const struct gw_cli_option options[] = {{"json", .flag = &json}, {"device", .text = &device}, {0}};
 *     int status = gw_cli_options(argc, argv, options, usage);
 *
 *     if (status >= 0)
 *         return status;
 *
 * Every command has --help and -h. Options and arguments come in any order, and of one that is given twice the last one
 * counts. What is wrong is told in one line that begins with argv[0].
 *
 * Threads: the main thread.
 */
#ifndef GODWIT_CLI_TABLE_H
#define GODWIT_CLI_TABLE_H

#include <getopt.h> /* optind */
#include <stdbool.h>
#include <stdio.h>

/* What a value came to: it is set; it is wrong; it is wrong, and that was told. */
enum gw_cli_taken { GW_CLI_TAKEN, GW_CLI_WRONG, GW_CLI_TOLD };

struct gw_cli_option {
    const char *name; /* "json": --json */
    char letter;      /* 'q': -q as well; 0: none */
    /* One of these. text, number and take want a value, which lives as long as argv. */
    bool *flag;
    const char **text;
    unsigned *number, least, most;
    enum gw_cli_taken (*take)(void *opaque, char *value);
    void *opaque;
    const char *absent; /* known, but belongs to this part, which is not in this build; with a flag it has no value */
    const struct gw_cli_option *also; /* no option: those of another table */
};                                    /* {0}: the end */

/* -1: all is set, and argv[optind] is the first argument; else what to leave with: help was asked for and given, or
 * something was wrong and told. */
int gw_cli_options(int argc, char **argv, const struct gw_cli_option *options, int (*usage)(FILE *to));

#endif
