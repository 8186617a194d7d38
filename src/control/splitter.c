/* SPDX-License-Identifier: MIT */
#include "control/splitter.h"

#define RESYNC '\xff'

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == RESYNC;
}

static bool is_bracket(char c)
{
    return c == '{' || c == '}' || c == '[' || c == ']';
}

static int done(const struct gw_splitter *f, size_t end, size_t *ret_begin, size_t *ret_end)
{
    *ret_begin = f->begin;
    *ret_end = end;
    return 1;
}

int gw_splitter_next(struct gw_splitter *f, const char *buf, size_t bytes, size_t *ret_begin, size_t *ret_end)
{
    for (; f->at < bytes; f->at++) {
        char c = buf[f->at];

        if (!f->open) {
            if (is_space(c))
                continue;
            f->open = true;
            f->begin = f->at;
        } else if (c == RESYNC || (f->quote && c == '\n')) {
            return done(f, f->at + 1, ret_begin, ret_end);
        } else if (f->depth == 0 && !f->quote && (is_space(c) || is_bracket(c))) {
            return done(f, f->at, ret_begin, ret_end);
        }
        if (f->escape) {
            f->escape = false;
        } else if (f->quote) {
            f->escape = c == '\\';
            f->quote = c == f->quote ? 0 : f->quote;
        } else if (c == '"' || c == '\'') {
            f->quote = c;
        } else if (c == '{' || c == '[') {
            if (++f->depth > GW_SPLITTER_DEPTH && !f->skip) {
                f->skip = true;
                f->at++;
                return -E2BIG;
            }
        } else if (c == '}' || c == ']') {
            if (f->depth <= 1)
                return done(f, f->at + 1, ret_begin, ret_end);
            f->depth--;
        }
    }
    return 0;
}
