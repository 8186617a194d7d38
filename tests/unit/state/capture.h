/* SPDX-License-Identifier: MIT
 *
 * capture: the streams in tests/golden/captures, for tests.
 */
#ifndef TEST_CAPTURE_H
#define TEST_CAPTURE_H

#include <stdio.h>
#include <zlib.h>

#include "base/base.h"
#include "base/endian.h"

struct capture {
    uint8_t *data;
    size_t bytes;
    size_t eof;       /* offset of the EOF byte in front of the description */
    const char *text; /* the description */
    size_t text_bytes;
};

/* The .gz ones are inflated on the way; plain files pass through. */
static inline bool capture_open(struct capture *c, const char *name)
{
    char path[512];
    gzFile f;
    int n;

    memset(c, 0, sizeof *c);
    snprintf(path, sizeof path, GOLDEN_DIR "/captures/%s", name);
    f = gzopen(path, "rb");
    if (!f)
        return false;
    c->data = malloc(8 << 20);
    while ((n = gzread(f, c->data + c->bytes, 65536)) > 0)
        c->bytes += (size_t)n;
    gzclose(f);
    for (size_t p = 0; p + 6 < c->bytes; p++) {
        if (c->data[p] == 0 && c->data[p + 1] == 6 && gw_load_be32(c->data + p + 2) == c->bytes - p - 6) {
            c->eof = p;
            c->text = (const char *)c->data + p + 6;
            c->text_bytes = c->bytes - p - 6;
            return true;
        }
    }
    return false;
}

static inline void capture_close(struct capture *c)
{
    free(c->data);
}

#endif
