/* SPDX-License-Identifier: MIT
 *
 * complete: prints commands' tables as completions for shells.
 *
 *     gw_cli_complete_begin("bash");
 *     each command, as gw_cmd_convert(2, {"godwit convert", "--completion=bash"}): one function of the shell
 *     gw_cli_complete_end("bash", commands);
 *
 * "table" instead of a shell prints a tab-separated line for each option and each list of arguments, for tests.
 */
#ifndef GODWIT_CLI_COMPLETE_H
#define GODWIT_CLI_COMPLETE_H

#include "table.h"

/* Whether the word requests the completions of a command. */
bool gw_cli_is_completion(const char *word);
/* who: "godwit convert", "godwit schema check". Prints its part on stdout if the word requests it; false: it does
 * not. */
bool gw_cli_complete(const char *who, const char *word, const struct gw_cli_command *command);
/* false: unknown shell. */
bool gw_cli_complete_begin(const char *shell);
/* commands: their names, separated by spaces. */
void gw_cli_complete_end(const char *shell, const char *commands);

#endif
