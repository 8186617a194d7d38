/* SPDX-License-Identifier: MIT
 *
 * help: prints a command's table as --help: synopsis, description, subcommands and options. No line is longer than 80
 * columns, unless a single word is.
 */
#ifndef GODWIT_CLI_HELP_H
#define GODWIT_CLI_HELP_H

#include "table.h"

#define GW_CLI_COLUMNS 80

/* who: "godwit convert". sub: help of this subcommand only; NULL: of all. */
void gw_cli_help(FILE *to, const char *who, const struct gw_cli_command *command, const struct gw_cli_sub *sub);
/* Prints text with lines broken between words; column: where the first line begins. A '\n' in it begins a new line. All
 * lines but the first are indented. */
void gw_cli_wrap(FILE *to, const char *text, int column, int indent);
/* "  NAME      description", aligned at this column. */
void gw_cli_row(FILE *to, const char *name, const char *text, int column);

#endif
