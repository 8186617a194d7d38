/* SPDX-License-Identifier: MIT */
#include "state/text.h"

#include <stdarg.h>
#include <stdio.h>

static char *room(struct gw_text *t, size_t n)
{
    if (t->failed)
        return NULL;
    if (!t->data || t->cap - t->bytes <= n) {
        size_t cap = GW_MAX(t->cap * 2, t->bytes + n + 256);
        char *grown = realloc(t->data, cap);

        if (!grown) {
            t->failed = true;
            return NULL;
        }
        t->data = grown;
        t->cap = cap;
    }
    return t->data + t->bytes;
}

void gw_text_add(struct gw_text *t, const char *s, size_t n)
{
    char *p = room(t, n);

    if (!p)
        return;
    memcpy(p, s, n);
    p[n] = 0;
    t->bytes += n;
}

void gw_text_printf(struct gw_text *t, const char *fmt, ...)
{
    char small[256];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    if (n < (int)sizeof small) {
        gw_text_add(t, small, (size_t)n);
        return;
    }
    if (room(t, (size_t)n)) {
        va_start(ap, fmt);
        vsnprintf(t->data + t->bytes, (size_t)n + 1, fmt, ap);
        va_end(ap);
        t->bytes += (size_t)n;
    }
}

void gw_text_free(struct gw_text *t)
{
    free(t->data);
    *t = (struct gw_text){0};
}

static void quoted(struct gw_text *t, const char *s)
{
    gw_text_add(t, "\"", 1);
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;

        if (c == '"' || c == '\\')
            gw_text_printf(t, "\\%c", c);
        else if (c < 0x20 || c >= 0x7f)
            gw_text_printf(t, "\\u%04x", c);
        else
            gw_text_add(t, s, 1);
    }
    gw_text_add(t, "\"", 1);
}

/* Writes a comma, unless a bracket was just opened. */
static void before(struct gw_text *t, const char *key)
{
    char last = t->bytes ? t->data[t->bytes - 1] : '{';

    if (last != '{' && last != '[')
        gw_text_add(t, ", ", 2);
    if (key) {
        quoted(t, key);
        gw_text_add(t, ": ", 2);
    }
}

void gw_text_open(struct gw_text *t, const char *key, char bracket)
{
    before(t, key);
    gw_text_add(t, &bracket, 1);
}

void gw_text_close(struct gw_text *t, char bracket)
{
    gw_text_add(t, &bracket, 1);
}

void gw_text_string(struct gw_text *t, const char *key, const char *value)
{
    before(t, key);
    quoted(t, value);
}

void gw_text_int(struct gw_text *t, const char *key, uint64_t value)
{
    before(t, key);
    gw_text_printf(t, "%" PRIu64, value);
}

void gw_text_bool(struct gw_text *t, const char *key, bool value)
{
    gw_text_raw(t, key, value ? "true" : "false");
}

void gw_text_raw(struct gw_text *t, const char *key, const char *value)
{
    before(t, key);
    gw_text_add(t, value, strlen(value));
}
