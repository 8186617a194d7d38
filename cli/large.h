/* SPDX-License-Identifier: MIT
 *
 * large: JSON with whole numbers beyond int64_t, which jansson cannot have. They become texts with a mark in front, and
 * are numbers again when they are written.
 */
#ifndef GODWIT_CLI_LARGE_H
#define GODWIT_CLI_LARGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* As json_loadb and json_dumps do it. */
json_t *gw_large_load(const char *text, size_t bytes, size_t flags, json_error_t *ret_error);
char *gw_large_dump(const json_t *value, size_t flags);
json_t *gw_large_integer(uint64_t value);
/* The number's text; NULL: it is something else. */
const char *gw_large_text(const json_t *value);

#endif
