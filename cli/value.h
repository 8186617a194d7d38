/* SPDX-License-Identifier: MIT
 *
 * value: the meaning of value names in help texts: "FILE" is completed with file names, and the error for a wrong
 * "SECONDS" describes the format.
 */
#ifndef GODWIT_CLI_VALUE_H
#define GODWIT_CLI_VALUE_H

enum gw_cli_kind { GW_CLI_ANY, GW_CLI_FILE, GW_CLI_FOLDER, GW_CLI_SOCKET, GW_CLI_URI, GW_CLI_USER, GW_CLI_CAPABILITY, GW_CLI_PARAMETER };

struct gw_cli_value {
    const char *name; /* "SECONDS" */
    enum gw_cli_kind kind;
    const char *expected; /* "a number of seconds such as 30 or 0.5"; NULL: no description */
};

/* Looks up the text without brackets and dots ("[NAME=VALUE]..."), or its first word: "[FILE|URI]..." is a FILE. Never
 * NULL. */
const struct gw_cli_value *gw_cli_value(const char *text);
/* "any", "file", "folder", "socket", "uri", "user", "capability", "parameter" */
const char *gw_cli_kind_name(enum gw_cli_kind kind);

#endif
