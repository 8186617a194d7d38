/* SPDX-License-Identifier: MIT
 *
 * complete: prints commands' tables as completions for shells.
 *
 *     gw_cli_complete_begin("bash");
 *     each command, as gw_cmd_convert(2, {"godwit convert", "--completion=bash"}): one function of the shell
 *     gw_cli_complete_end("bash", commands);
 *
 * "table" in place of a shell: a line for each option and each list of arguments, with tabs between its parts, for tests.
 */
#ifndef GODWIT_CLI_COMPLETE_H
#define GODWIT_CLI_COMPLETE_H

#include "table.h"

/* Whether the word asks for the completions of a command. */
bool gw_cli_is_completion(const char *word);
/* who: "godwit convert", "godwit schema check". Prints its part on stdout if the word asks for it; false: it does not. */
bool gw_cli_complete(const char *who, const char *word, const struct gw_cli_command *command);
/* false: there is no such shell. */
bool gw_cli_complete_begin(const char *shell);
/* commands: their names, between spaces. */
void gw_cli_complete_end(const char *shell, const char *commands);

#endif
