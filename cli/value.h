/* SPDX-License-Identifier: MIT
 *
 * value: what the names of values in help texts mean: "FILE" is completed with the names of files, and for a wrong "SECONDS" the
 * error says how they are written.
 */
#ifndef GODWIT_CLI_VALUE_H
#define GODWIT_CLI_VALUE_H

enum gw_cli_kind { GW_CLI_ANY, GW_CLI_FILE, GW_CLI_FOLDER, GW_CLI_SOCKET, GW_CLI_URI, GW_CLI_USER, GW_CLI_CAPABILITY, GW_CLI_PARAMETER };

struct gw_cli_value {
    const char *name; /* "SECONDS" */
    enum gw_cli_kind kind;
    const char *expected; /* "a number of seconds such as 30 or 0.5"; NULL: nothing is known */
};

/* By all of the text without what says how often it comes ("[NAME=VALUE]..."), or by its first word: "[FILE|URI]..." is a FILE. Never
 * NULL. */
const struct gw_cli_value *gw_cli_value(const char *text);
/* "any", "file", "folder", "socket", "uri", "user", "capability", "parameter" */
const char *gw_cli_kind_name(enum gw_cli_kind kind);

#endif
