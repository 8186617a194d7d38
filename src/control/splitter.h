/* SPDX-License-Identifier: MIT
 *
 * splitter: where one JSON message ends in a stream of bytes.
 *
 * Messages need no separator: an object or array ends with its last bracket, anything else at the next white space or
 * bracket. A message is cut short (and will then not parse) by the byte 0xff, which never occurs in JSON, and by a line
 * end inside a string, so that a peer that went astray can start afresh. Nothing is allocated.
 *
 * Hostile: nesting deeper than GW_SPLITTER_DEPTH is an error; the caller bounds the length.
 */
#ifndef GW_CONTROL_SPLITTER_H
#define GW_CONTROL_SPLITTER_H

#include "base/base.h"

#define GW_SPLITTER_DEPTH 64

struct gw_splitter {
    size_t at;      /* bytes of the buffer that were looked at */
    size_t begin;   /* of the message under way */
    unsigned depth; /* open brackets */
    bool open, string, escape;
};

/* Looks at buf[0..bytes), where all before f->at is as it was last time. 1: a message is buf[*ret_begin, *ret_end), and
 * the caller drops *ret_end bytes and calls gw_splitter_restart; 0: more is needed; -E2BIG: nested too deep. */
int gw_splitter_next(struct gw_splitter *f, const char *buf, size_t bytes, size_t *ret_begin, size_t *ret_end);

static inline void gw_splitter_restart(struct gw_splitter *f)
{
    *f = (struct gw_splitter){0};
}

#endif
