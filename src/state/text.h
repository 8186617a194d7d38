/* SPDX-License-Identifier: MIT
 *
 * text: a growing string, and functions that append JSON to it, with the separators of the descriptions on the wire (",
 * ", ": ").
 *
 * A failed allocation sticks: later calls do nothing, and gw_text_failed is true.
 */
#ifndef GW_TEXT_H
#define GW_TEXT_H

#include "base/base.h"

struct gw_text {
    char *data; /* ends with a NUL that is not counted; NULL while empty */
    size_t bytes, cap;
    bool failed;
};

void gw_text_add(struct gw_text *t, const char *s, size_t n);
void gw_text_printf(struct gw_text *t, const char *fmt, ...) GW_PRINTF(2, 3);
void gw_text_free(struct gw_text *t);

/* Opens an object or array ('{', '['), with a key if inside an object (else NULL). Commas are added automatically. */
void gw_text_open(struct gw_text *t, const char *key, char bracket);
void gw_text_close(struct gw_text *t, char bracket);
void gw_text_string(struct gw_text *t, const char *key, const char *value);
void gw_text_int(struct gw_text *t, const char *key, uint64_t value);
void gw_text_bool(struct gw_text *t, const char *key, bool value);
/* value: the text of any JSON value. */
void gw_text_raw(struct gw_text *t, const char *key, const char *value);

#endif
