/* SPDX-License-Identifier: MIT
 *
 * text: a growing string, and JSON written into it piece by piece, separated as the wire's descriptions are (", ", ":
 * ").
 *
 * A failed allocation sticks: later calls do nothing, gw_text_failed tells.
 */
#ifndef GW_TEXT_H
#define GW_TEXT_H

#include "base/base.h"

struct gw_text {
    char *data; /* terminated by a NUL that is not counted; NULL while empty */
    size_t bytes, cap;
    bool failed;
};

void gw_text_add(struct gw_text *t, const char *s, size_t n);
void gw_text_printf(struct gw_text *t, const char *fmt, ...) GW_PRINTF(2, 3);
void gw_text_free(struct gw_text *t);

/* Opens an object or array ('{', '['), in an object behind a key (NULL: none). Commas come by themselves. */
void gw_text_open(struct gw_text *t, const char *key, char bracket);
void gw_text_close(struct gw_text *t, char bracket);
void gw_text_string(struct gw_text *t, const char *key, const char *value);
void gw_text_int(struct gw_text *t, const char *key, uint64_t value);
void gw_text_bool(struct gw_text *t, const char *key, bool value);
/* The text of any JSON value. */
void gw_text_raw(struct gw_text *t, const char *key, const char *value);

#endif
