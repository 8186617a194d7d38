/* SPDX-License-Identifier: MIT */
#include "godwit/error.h"

#include <stdio.h>
#include <string.h>

/* Size of the character at p if a terminal displays it; 0: a control character (C0, DEL, C1), or invalid UTF-8. */
static size_t shown(const unsigned char *p)
{
    size_t n = *p < 0x80 ? 1 : *p >= 0xc2 && *p < 0xe0 ? 2 : *p >= 0xe0 && *p < 0xf0 ? 3 : *p >= 0xf0 && *p < 0xf5 ? 4 : 0;

    if (n == 1)
        return *p >= 0x20 && *p != 0x7f;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return n == 2 && *p == 0xc2 && p[1] < 0xa0 ? 0 : n;
}

char *gw_printable(const char *text, char *buf, size_t size)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t at = 0;

    if (!size)
        return buf;
    while (*p) {
        size_t n = shown(p), room = n ? n : 4;

        if (at + room >= size)
            break;
        if (n)
            memcpy(buf + at, p, n);
        else
            snprintf(buf + at, size - at, "\\x%02x", *p);
        at += room;
        p += n ? n : 1;
    }
    buf[at] = 0;
    return buf;
}

/* Names come from outside: makes the text one line without control characters for a terminal. */
static void make_printable(char *text, size_t size)
{
    char raw[GW_ERROR_TEXT];

    for (const unsigned char *p = (const unsigned char *)text; *p; p += shown(p))
        if (!shown(p)) {
            snprintf(raw, sizeof raw, "%s", text);
            gw_printable(raw, text, size);
            return;
        }
}

int gw_failv(struct gw_error *err, int code, enum gw_blame blame, const char *fmt, va_list ap)
{
    if (err) {
        err->code = code;
        err->blame = blame;
        vsnprintf(err->text, sizeof err->text, fmt, ap);
        make_printable(err->text, sizeof err->text);
    }
    return code;
}

int (gw_fail)(struct gw_error *err, int code, enum gw_blame blame, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    gw_failv(err, code, blame, fmt, ap);
    va_end(ap);
    return code;
}

void gw_context(struct gw_error *err, const char *fmt, ...)
{
    char before[GW_ERROR_TEXT];
    size_t n, old;
    va_list ap;

    if (!err)
        return;
    va_start(ap, fmt);
    vsnprintf(before, sizeof before - 2, fmt, ap);
    va_end(ap);
    make_printable(before, sizeof before - 2);
    strcat(before, ": ");
    n = strlen(before);
    old = strlen(err->text);
    /* The cause is at the end and must survive: if there is no room, the context is truncated. */
    if (n + old >= sizeof err->text)
        n = old + 1 < sizeof err->text ? sizeof err->text - 1 - old : 0;
    memmove(err->text + n, err->text, old + 1);
    memcpy(err->text, before, n);
}

const char *gw_blame_name(enum gw_blame blame)
{
    static const char *const names[] = {"none", "caller", "local", "channel", "peer", "embedder"};

    return (unsigned)blame < sizeof names / sizeof names[0] ? names[blame] : "?";
}
