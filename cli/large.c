/* SPDX-License-Identifier: MIT */
#include "large.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MARK      '\1'
#define MARK_JSON "\"\\u0001" /* with the quote before it */
#define MARK_SIZE (sizeof MARK_JSON - 1)
#define DIGITS    "0123456789"
#define LONG      19 /* digits of the largest number that fits */

const char *gw_large_text(const json_t *value)
{
    const char *text = json_string_value(value), *digits;

    if (!text || *text != MARK)
        return NULL;
    digits = text + 1 + (text[1] == '-');
    return *digits && !digits[strspn(digits, DIGITS)] ? text + 1 : NULL;
}

json_t *gw_large_integer(uint64_t value)
{
    return value <= INT64_MAX ? json_integer((json_int_t)value) : json_sprintf("%c%" PRIu64, MARK, value);
}

/* The length of the string that begins here, including both quotes. */
static size_t string_size(const char *text, size_t bytes)
{
    size_t n = 1;

    while (n < bytes && text[n] != '"')
        n += text[n] == '\\' ? 2 : 1;
    return n < bytes ? n + 1 : bytes;
}

/* Whether a number of n bytes is whole and does not fit. A leading 0 is invalid JSON anyway. */
static bool is_large(const char *text, size_t n)
{
    bool minus = *text == '-';
    const char *most = minus ? "9223372036854775808" : "9223372036854775807";

    for (size_t i = minus; i < n; i++)
        if (!strchr(DIGITS, text[i]))
            return false;
    return n - minus > LONG || (n - minus == LONG && memcmp(text + minus, most, LONG) > 0);
}

/* The same text, with large whole numbers as marked strings. malloc'ed. */
static char *mark(const char *text, size_t bytes, size_t *ret_bytes)
{
    char *out = malloc(bytes + bytes / LONG * (MARK_SIZE + 1) + 1), *to = out;

    for (size_t at = 0; out && at < bytes;) {
        size_t n = 1;

        if (text[at] == '"') {
            n = string_size(text + at, bytes - at);
        } else if (text[at] && strchr("-" DIGITS, text[at])) {
            while (at + n < bytes && text[at + n] && strchr(DIGITS "+-.eE", text[at + n]))
                n++;
            if (is_large(text + at, n)) {
                memcpy(to, MARK_JSON, MARK_SIZE);
                memcpy(to + MARK_SIZE, text + at, n);
                to += MARK_SIZE + n;
                *to++ = '"';
                at += n;
                continue;
            }
        }
        memcpy(to, text + at, n);
        to += n;
        at += n;
    }
    *ret_bytes = (size_t)(to - out);
    return out;
}

json_t *gw_large_load(const char *text, size_t bytes, size_t flags, json_error_t *ret_error)
{
    json_t *value = json_loadb(text, bytes, flags, ret_error);
    char *marked;

    if (value || json_error_code(ret_error) != json_error_numeric_overflow)
        return value;
    marked = mark(text, bytes, &bytes);
    if (marked)
        value = json_loadb(marked, bytes, flags, ret_error);
    free(marked);
    return value;
}

char *gw_large_dump(const json_t *value, size_t flags)
{
    char *dump = json_dumps(value, flags), *to = dump;

    for (const char *from = dump; from && *from;) {
        size_t n = *from == '"' ? string_size(from, strlen(from)) : 1, digits = 0;

        if (n > MARK_SIZE + 1 && !strncmp(from, MARK_JSON, MARK_SIZE) && from[n] != ':') {
            digits = n - MARK_SIZE - 1;
            if (strspn(from + MARK_SIZE, "-" DIGITS) < digits)
                digits = 0;
        }
        memmove(to, digits ? from + MARK_SIZE : from, digits ? digits : n);
        to += digits ? digits : n;
        from += n;
    }
    if (to)
        *to = 0;
    return dump;
}
