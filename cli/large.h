/* SPDX-License-Identifier: MIT
 *
 * large: JSON with whole numbers beyond int64_t, which jansson cannot represent. They become texts with a mark in
 * front, and are written as numbers again.
 */
#ifndef GODWIT_CLI_LARGE_H
#define GODWIT_CLI_LARGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Like json_loadb and json_dumps. */
json_t *gw_large_load(const char *text, size_t bytes, size_t flags, json_error_t *ret_error);
char *gw_large_dump(const json_t *value, size_t flags);
json_t *gw_large_integer(uint64_t value);
/* The number's digits; NULL: another value. */
const char *gw_large_text(const json_t *value);

#endif
