/* SPDX-License-Identifier: MIT
 *
 * splitter: finds the end of a JSON message in a stream of bytes.
 *
 * Messages need no separator: an object or array ends with its last bracket, anything else at the next white space or
 * bracket. A message is cut short (and will then not parse) by the byte 0xff, which never occurs in JSON, and by a line
 * end inside a string, so that a peer that lost synchronisation can start again. Nothing is allocated.
 *
 * Hostile: a message that is nested deeper than GW_SPLITTER_DEPTH, or that its caller skips (gw_splitter_skip) because
 * it is too long, is still scanned to its end, so that the next message is found.
 */
#ifndef GW_CONTROL_SPLITTER_H
#define GW_CONTROL_SPLITTER_H

#include "base/base.h"

#define GW_SPLITTER_DEPTH 1024 /* the same limit as QEMU's */

struct gw_splitter {
    size_t at;      /* bytes of the buffer that were scanned */
    size_t begin;   /* start of the current message */
    size_t depth;   /* open brackets */
    char quote;     /* the quote that ends the current string; 0: not in a string */
    bool open, escape, skip;
};

/* Scans buf[0..bytes), where the bytes before f->at are unchanged since the last call. 1: a message is buf[*ret_begin,
 * *ret_end), and the caller drops *ret_end bytes and calls gw_splitter_restart; unless f->skip: these bytes are no
 * message. 0: more is needed. -E2BIG, once for a message: nested too deep; it is skipped from here on. With f->skip,
 * the caller of 0 or -E2BIG drops f->at bytes and sets f->at to 0. */
int gw_splitter_next(struct gw_splitter *f, const char *buf, size_t bytes, size_t *ret_begin, size_t *ret_end);

/* Skips the current message. */
static inline void gw_splitter_skip(struct gw_splitter *f)
{
    f->skip = true;
}

static inline void gw_splitter_restart(struct gw_splitter *f)
{
    *f = (struct gw_splitter){0};
}

#endif
