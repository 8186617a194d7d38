/* SPDX-License-Identifier: MIT */
#include "godwit/error.h"

#include <stdio.h>
#include <string.h>

/* Names come from outside: one line, and nothing that a terminal obeys. */
static void make_printable(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p; p++)
        if (*p < 0x20 || *p == 0x7f)
            *p = '?';
}

int gw_failv(struct gw_error *err, int code, enum gw_blame blame, const char *fmt, va_list ap)
{
    if (err) {
        err->code = code;
        err->blame = blame;
        vsnprintf(err->text, sizeof err->text, fmt, ap);
        make_printable(err->text);
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
    make_printable(before);
    strcat(before, ": ");
    n = strlen(before);
    old = strlen(err->text);
    /* The cause stands last and must survive: what does not fit is cut from the context. */
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
