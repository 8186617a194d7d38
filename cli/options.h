/* SPDX-License-Identifier: MIT
 *
 * options: parsers of command-line values that several commands share. The whole text must match: otherwise all return
 * false and leave the results unchanged.
 */
#ifndef GODWIT_CLI_OPTIONS_H
#define GODWIT_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decimal digits, from min to max. */
bool gw_option_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value);
/* A whole number, possibly negative, optionally followed by one of K M G T k m g t: powers of two. */
bool gw_option_size(const char *text, int64_t *ret_value);
/* "2", "0.5": more than 0 and less than 30 years. */
bool gw_option_seconds(const char *text, uint64_t *ret_ns);
/* NAME, NAME=on, NAME=off (and true, false). The name must fit into size bytes. */
bool gw_option_switch(const char *text, char *name, size_t size, bool *ret_on);
/* NAME=VALUE; the value is a part of text. */
bool gw_option_setting(const char *text, char *name, size_t size, const char **ret_value);
/* 32 hexadecimal digits, or the same as 8-4-4-4-12. */
bool gw_option_uuid(const char *text, uint8_t ret_uuid[16]);
/* Whether only this host can connect to a TCP address: its host is localhost, 127.x.x.x or ::1. Other names
 * count as reachable, whatever they resolve to. */
bool gw_option_is_local(const char *host);
/* error, warning; info and debug are verbose. */
bool gw_option_log(const char *text, bool *ret_verbose);
/* For an option or a command of a part that is not in this build: prints that. Returns GW_EXIT_USAGE. */
int gw_option_absent(const char *command, const char *option, const char *part);

#endif
