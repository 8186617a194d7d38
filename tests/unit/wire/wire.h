/* SPDX-License-Identifier: MIT
 *
 * For the tests of wire/: random values, and get over every beginning of what put wrote.
 */
#ifndef TEST_WIRE_H
#define TEST_WIRE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/cursor.h"

static inline uint64_t rnd(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
    return *seed ^ *seed >> 31;
}

/* Printable, 1 to 255 bytes. */
static inline void rnd_name(uint64_t *seed, char *dst)
{
    unsigned n = 1 + (unsigned)(rnd(seed) % 255);

    for (unsigned i = 0; i < n; i++)
        dst[i] = (char)(' ' + rnd(seed) % 95);
    dst[n] = 0;
}

/* One get: fills what the test compares. */
typedef int wire_get(struct gw_in *in, void *ret, struct gw_error *err);

/* All of it is taken, to the byte; less of it is -ENODATA and says where. The bytes are in memory of just that size, so
 * that a sanitizer sees who looks further. */
static inline void whole_and_cut(const struct gw_out *out, wire_get *get, void *ret)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_in in;
    size_t bytes;
    const uint8_t *data = gw_out_data(out, &bytes);

    assert_int_equal(gw_out_error(out, NULL), 0);
    for (size_t n = 0; n <= bytes; n++) {
        uint8_t *copy = malloc(n + !n);
        int r;

        memcpy(copy, data, n);
        gw_in_memory(&in, copy, n, 100);
        r = get(&in, ret, &err);
        if (n == bytes && r < 0)
            fail_msg("%s", err.text);
        assert_int_equal(r, n == bytes ? 0 : -ENODATA);
        if (n == bytes)
            assert_int_equal(gw_in_offset(&in), 100 + n);
        else
            assert_non_null(strstr(err.text, "stream ended at byte"));
        free(copy);
    }
}

/* Bytes that must be refused, with this text. */
static inline void refused(const void *bytes, size_t n, wire_get *get, void *ret, const char *text)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_in in;

    gw_in_memory(&in, bytes, n, 0);
    assert_int_equal(get(&in, ret, &err), -EPROTO);
    assert_int_equal(err.blame, GW_BLAME_PEER);
    if (!strstr(err.text, text))
        fail_msg("\"%s\" is not in \"%s\"", text, err.text);
    /* It sticks. */
    assert_int_equal(gw_get_u8(&in, &(uint8_t){0}, NULL), -EPROTO);
}
#define REFUSED(bytes, get, ret, text) refused(bytes, sizeof(bytes) - 1, get, ret, text)

#endif
