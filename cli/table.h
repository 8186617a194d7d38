/* SPDX-License-Identifier: MIT
 *
 * table: a command's options and arguments with their descriptions, as a table. It is used to parse the command line,
 * to print --help (help.h) and shell completions (complete.h), and by the test that compares it with the manual.
 *
 *     const struct gw_cli_option options[] = {
 *         {"json", .flag = &json, .help = "Print one JSON object."},
 *         {"device", .text = &device, .value = "NAME", .help = "Show only the devices of this name."},
 *         {0}};
 *     const struct gw_cli_command command = {
 *         .arguments = "FILE", .about = "Tells what is in a file.", .options = options};
 *     int status = gw_cli_parse(argc, argv, &command);
 *
 *     if (status >= 0)
 *         return status;
 *
 * Every command has --help and -h. Options and arguments come in any order, and of a repeated option the last one takes
 * effect. An error is one line on stderr that begins with argv[0].
 *
 * Threads: the main thread.
 */
#ifndef GODWIT_CLI_TABLE_H
#define GODWIT_CLI_TABLE_H

#include <getopt.h> /* optind */
#include <stdbool.h>
#include <stdio.h>

#include <godwit/error.h> /* GW_PRINTF */

/* Result of taking a value: set; wrong, and the table prints an error; wrong, and `take` has printed it. */
enum gw_cli_taken { GW_CLI_TAKEN, GW_CLI_WRONG, GW_CLI_TOLD };

struct gw_cli_option {
    const char *name; /* "json": --json */
    char letter;      /* 'q': -q as well; 0: none */
    /* One of these. text, number and take need a value, which lives as long as argv. */
    bool *flag;
    const char **text;
    unsigned *number, least, most;
    enum gw_cli_taken (*take)(void *opaque, char *value);
    void *opaque;
    const char *absent; /* the option is known, but belongs to this part, which is not in this build; with a flag it has no value */
    const struct gw_cli_option *also; /* not an option: includes those of another table */

    const char *value;   /* the value's name in help; its first word decides the shell completion (value.h) */
    const char *choices; /* "parked stream": other values are refused; NULL: any value */
    const char *of;      /* the subcommands that have it, "migrate plan"; NULL: all */
    const char *help;    /* a sentence. NULL: --help omits the option, and a test prints it */
};                       /* {0}: the end */

/* A subcommand. */
struct gw_cli_sub {
    const char *name;
    const char *arguments; /* as for a command; NULL: the subcommand checks them itself */
    const char *about;     /* the first sentence is its line in the list of subcommands */
    const char *usage;     /* as for a command */
};

struct gw_cli_command {
    const char *usage;     /* the synopsis after argv[0], a line for each form; NULL: derived from arguments */
    const char *arguments; /* "FILE [URI]...": checked by the table. NULL: the command checks them itself, with gw_cli_arguments */
    const char *about;     /* paragraphs */
    const char *after;     /* paragraphs after the options; NULL: none */
    const struct gw_cli_option *options;
    const struct gw_cli_sub *subs; /* {0} at the end; NULL: none */
    const char *before_sub;        /* the argument before the subcommand, "SOCKET"; NULL: none */
    bool subs_parse;               /* each subcommand has its own table and parses the rest itself */
};

/* -1: go on; argv[optind] is the first argument. Else the exit status: help was printed, or an error. */
int gw_cli_parse(int argc, char **argv, const struct gw_cli_command *command);

/* Whether argv[optind] and what follows are these arguments. what: the beginning of the message, "migrate: "; may be
 * "". -1: they match; else the missing or surplus argument was printed. */
int gw_cli_arguments(int argc, char **argv, const char *what, const char *arguments);
/* Prints "godwit COMMAND: message; see `godwit COMMAND --help`". Returns the exit status. */
int gw_cli_wrong(const char *who, const char *fmt, ...) GW_PRINTF(2, 3);
/* The subcommand of this name. NULL: error printed, with the most similar name. */
const struct gw_cli_sub *gw_cli_sub_find(const char *who, const struct gw_cli_sub *subs, const char *name);

/* ---- for those who print the table -------------------------------------------------------------------------------- */

#define GW_CLI_OPTIONS_MAX 48

struct gw_cli_list {
    const struct gw_cli_option *option[GW_CLI_OPTIONS_MAX];
    int count;
};

/* All options, also those of other tables. */
void gw_cli_list(struct gw_cli_list *ret, const struct gw_cli_option *options);
bool gw_cli_has_value(const struct gw_cli_option *o);
/* Whether the list of words contains this word; list NULL: empty. */
bool gw_cli_has_word(const char *words, const char *word);
/* The length of the next word, separated by spaces; *words advances; 0: no more. */
size_t gw_cli_next_word(const char **words, const char **ret_word);

#endif
