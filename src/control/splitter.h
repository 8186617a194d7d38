/* SPDX-License-Identifier: MIT
 *
 * splitter: where one JSON message ends in a stream of bytes.
 *
 * Messages need no separator: an object or array ends with its last bracket, anything else at the next white space or
 * bracket. A message is cut short (and will then not parse) by the byte 0xff, which never occurs in JSON, and by a line
 * end inside a string, so that a peer that went astray can start afresh. Nothing is allocated.
 *
 * Hostile: a message that is nested deeper than GW_SPLITTER_DEPTH, or that its caller gives up (gw_splitter_skip) because
 * it is too long, is looked through to its end all the same, so that the next one is understood.
 */
#ifndef GW_CONTROL_SPLITTER_H
#define GW_CONTROL_SPLITTER_H

#include "base/base.h"

#define GW_SPLITTER_DEPTH 1024 /* QEMU's */

struct gw_splitter {
    size_t at;      /* bytes of the buffer that were looked at */
    size_t begin;   /* of the message under way */
    size_t depth;   /* open brackets */
    char quote;     /* that ends the string under way; 0: none */
    bool open, escape, skip;
};

/* Looks at buf[0..bytes), where all before f->at is as it was last time. 1: a message is buf[*ret_begin, *ret_end), and
 * the caller drops *ret_end bytes and calls gw_splitter_restart; unless f->skip: these bytes are no message. 0: more is
 * needed. -E2BIG, once for a message: nested too deep; it is skipped from here on. With f->skip, the caller of 0 or -E2BIG
 * drops f->at bytes and sets f->at to 0. */
int gw_splitter_next(struct gw_splitter *f, const char *buf, size_t bytes, size_t *ret_begin, size_t *ret_end);

/* The message under way is not wanted. */
static inline void gw_splitter_skip(struct gw_splitter *f)
{
    f->skip = true;
}

static inline void gw_splitter_restart(struct gw_splitter *f)
{
    *f = (struct gw_splitter){0};
}

#endif
