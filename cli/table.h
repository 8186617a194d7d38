/* SPDX-License-Identifier: MIT
 *
 * table: a command's options, arguments and words about them as a table. The command line is parsed by it, and it is printed as
 * --help (help.h), as completions for shells (complete.h), and for the test that compares it with the manual.
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
 * Every command has --help and -h. Options and arguments come in any order, and of an option that is given twice the last one
 * counts. An error is one line on stderr that begins with argv[0].
 *
 * Threads: the main thread.
 */
#ifndef GODWIT_CLI_TABLE_H
#define GODWIT_CLI_TABLE_H

#include <getopt.h> /* optind */
#include <stdbool.h>
#include <stdio.h>

#include <godwit/error.h> /* GW_PRINTF */

/* How a value was taken: it is set; it is wrong, and the table says so; it is wrong, and `take` has said so. */
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

    const char *value;   /* what help calls its value; its first word decides what shells complete (value.h) */
    const char *choices; /* "parked stream": other values are refused; NULL: any */
    const char *of;      /* the subcommands that have it, "migrate plan"; NULL: all */
    const char *help;    /* a sentence. NULL: the option is not listed by --help, and a test says so */
};                       /* {0}: the end */

/* A subcommand. */
struct gw_cli_sub {
    const char *name;
    const char *arguments; /* as of a command; NULL: it checks them itself */
    const char *about;     /* the first sentence is its line in the list */
    const char *usage;     /* as of a command */
};

struct gw_cli_command {
    const char *usage;     /* behind argv[0] in the synopsis, a line for each form; NULL: made of arguments */
    const char *arguments; /* "FILE [URI]...": are checked. NULL: the command checks them itself, with gw_cli_arguments */
    const char *about;     /* paragraphs */
    const char *after;     /* paragraphs behind the options; NULL: none */
    const struct gw_cli_option *options;
    const struct gw_cli_sub *subs; /* {0} at the end; NULL: none */
    const char *before_sub;        /* the argument in front of the subcommand, "SOCKET"; NULL: none */
    bool subs_parse;               /* each subcommand has a table of its own, and parses the rest by it */
};

/* -1: all is set, and argv[optind] is the first argument; else the exit status: help was asked for and given, or something was
 * wrong and was told. */
int gw_cli_parse(int argc, char **argv, const struct gw_cli_command *command);

/* Whether argv[optind] and what follows are these arguments. what stands in front of the message, "migrate: "; may be "". -1:
 * they are; else it was told which is missing or surplus. */
int gw_cli_arguments(int argc, char **argv, const char *what, const char *arguments);
/* "godwit COMMAND: what it is; see `godwit COMMAND --help`". Returns the exit status. */
int gw_cli_wrong(const char *who, const char *fmt, ...) GW_PRINTF(2, 3);
/* The subcommand of this name. NULL: told, with the likely one. */
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
/* Whether the words of a list have this one; the list may be NULL, and has none then. */
bool gw_cli_has_word(const char *words, const char *word);
/* The next of words that are separated by spaces, moved on over; 0: there is none. */
size_t gw_cli_next_word(const char **words, const char **ret_word);

#endif
