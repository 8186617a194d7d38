/* SPDX-License-Identifier: MIT
 *
 * Cursors over memory: every bound, the first error sticks, nothing that was put is lost when memory is short. Those over
 * channels: channel/test_reader.c and channel/test_writer.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/cursor.h"

#define FAILING_COUNTDOWN
#include "../../failing.h"

#define assert_text(err, part)                                                                                         \
    do {                                                                                                               \
        if (!strstr((err).text, part))                                                                                 \
            fail_msg("'%s' is not in '%s'", part, (err).text);                                                         \
    } while (0)

/* ---- in ---------------------------------------------------------------------------------------------------------- */

static void test_numbers(void **state)
{
    static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_in in;
    uint8_t a;
    uint16_t b;
    uint32_t c;
    uint64_t d;

    gw_in_memory(&in, bytes, sizeof bytes, 0);
    assert_int_equal(gw_get_u8(&in, &a, &err), 0);
    assert_int_equal(gw_get_u16(&in, &b, &err), 0);
    assert_int_equal(gw_get_u32(&in, &c, &err), 0);
    assert_int_equal(gw_get_u64(&in, &d, &err), 0);
    assert_int_equal(a, 1);
    assert_int_equal(b, 0x0203);
    assert_int_equal(c, 0x04050607);
    assert_true(d == 0x08090a0b0c0d0e0full);
    assert_int_equal(gw_in_buffered(&in), 0);
    assert_int_equal(gw_in_offset(&in), sizeof bytes);
}

/* One byte less than each value needs: nothing is taken, the value keeps what it had, and the place is said. */
static void test_short(void **state)
{
    static const uint8_t bytes[8] = {0};

    for (unsigned width = 1; width <= 8; width *= 2) {
        struct gw_error err = GW_ERROR_INIT;
        uint64_t v = 77;
        struct gw_in in;
        int r;

        gw_in_memory(&in, bytes, width - 1, 1000);
        in.what = "the thing";
        r = width == 1   ? gw_get_u8(&in, (uint8_t *)&v, &err)
            : width == 2 ? gw_get_u16(&in, (uint16_t *)&v, &err)
            : width == 4 ? gw_get_u32(&in, (uint32_t *)&v, &err)
                         : gw_get_u64(&in, &v, &err);
        assert_int_equal(r, -ENODATA);
        assert_int_equal(err.blame, GW_BLAME_CHANNEL);
        assert_text(err, "inside the thing");
        assert_text(err, "(1 more bytes needed)");
        assert_int_equal(gw_in_offset(&in), 1000);
        assert_int_equal(v, 77);
    }
}

static void test_sticky(void **state)
{
    static const uint8_t bytes[4] = {1, 2, 3, 4};
    struct gw_error err = GW_ERROR_INIT, later = GW_ERROR_INIT;
    const uint8_t *p = NULL;
    struct gw_in in;
    size_t got = 99;
    uint8_t v = 5;
    char name[256];

    gw_in_memory(&in, bytes, sizeof bytes, 0);
    assert_int_equal(gw_in_fail(&in, -EPROTO, &err, "first %d", 1), -EPROTO);
    assert_int_equal(err.blame, GW_BLAME_PEER);
    assert_string_equal(err.text, "first 1");
    /* The bytes are there, but nobody gets them any more. */
    assert_int_equal(gw_get_u8(&in, &v, &later), -EPROTO);
    assert_string_equal(later.text, "first 1");
    assert_int_equal(gw_get_bytes(&in, &v, 1, &later), -EPROTO);
    assert_int_equal(gw_get_discard(&in, 1, NULL), -EPROTO);
    assert_int_equal(gw_get_str8(&in, name, NULL), -EPROTO);
    assert_int_equal(gw_in_try(&in, 1, &p, &got, NULL), -EPROTO);
    assert_int_equal(gw_in_need(&in, 1, &p, NULL), -EPROTO);
    assert_int_equal(v, 5);
    assert_int_equal(got, 99);
    assert_null(p);
    /* A new binding is without it. */
    gw_in_memory(&in, bytes, sizeof bytes, 0);
    assert_int_equal(gw_get_u8(&in, &v, &later), 0);
    assert_int_equal(v, 1);
}

static void test_looks(void **state)
{
    static const uint8_t bytes[3] = {1, 2, 3};
    const uint8_t *p = NULL;
    struct gw_in in;
    size_t got = 0;

    gw_in_memory(&in, bytes, sizeof bytes, 10);
    /* More than there is: what is there, and no error. */
    assert_int_equal(gw_in_try(&in, 100, &p, &got, NULL), 0);
    assert_int_equal(got, 3);
    assert_ptr_equal(p, bytes);
    assert_int_equal(gw_in_try(&in, 2, &p, &got, NULL), 0);
    assert_int_equal(got, 2);
    assert_int_equal(gw_in_need(&in, 3, &p, NULL), 0);
    assert_int_equal(gw_in_offset(&in), 10);
    gw_in_skip(&in, 2);
    assert_int_equal(gw_in_offset(&in), 12);
    /* Never behind the end. */
    gw_in_skip(&in, SIZE_MAX);
    assert_int_equal(gw_in_offset(&in), 13);
    assert_int_equal(gw_in_need(&in, 1, &p, NULL), -ENODATA);
    assert_int_equal(gw_in_need(&in, 0, &p, NULL), -ENODATA);
}

/* NULL and no bytes is a stream that is empty. */
static void test_empty(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_in in;
    uint8_t v;

    gw_in_memory(&in, NULL, 0, 0);
    assert_int_equal(gw_get_bytes(&in, &v, 0, &err), 0);
    assert_int_equal(gw_get_bytes(&in, NULL, 0, &err), 0);
    assert_int_equal(gw_get_discard(&in, 0, &err), 0);
    assert_int_equal(gw_get_u8(&in, &v, &err), -ENODATA);
    assert_text(err, "stream ended at byte 0 (1 more bytes needed)");
}

static void test_discard(void **state)
{
    const size_t bytes = 5 * GW_IN_LOOK / 2;
    struct gw_error err = GW_ERROR_INIT;
    uint8_t *data = calloc(1, bytes), v;
    struct gw_in in;

    data[bytes - 1] = 7;
    gw_in_memory(&in, data, bytes, 0);
    assert_int_equal(gw_get_discard(&in, bytes - 1, &err), 0);
    assert_int_equal(gw_get_u8(&in, &v, &err), 0);
    assert_int_equal(v, 7);
    gw_in_memory(&in, data, bytes, 0);
    assert_int_equal(gw_get_discard(&in, UINT64_MAX, &err), -ENODATA);
    assert_int_equal(gw_get_u8(&in, &v, &err), -ENODATA);
    /* More than a look, in one call. */
    uint8_t *copy = malloc(bytes);
    gw_in_memory(&in, data, bytes, 0);
    assert_int_equal(gw_get_bytes(&in, copy, bytes, &err), 0);
    assert_memory_equal(copy, data, bytes);
    free(copy);
    free(data);
}

static void test_names(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
        int str8, name;
        const char *text;
    } rows[] = {
        {"\1a", 2, 0, 0, NULL},
        {"\3a~ ", 4, 0, 0, NULL},
        {"\0", 1, -EPROTO, -EPROTO, "empty name at byte 50"},
        {"\2a\0", 3, -EPROTO, -EPROTO, "name at byte 50 has a NUL inside"},
        {"\2ab\0", 4, 0, 0, NULL},
        {"\1\n", 2, 0, -EPROTO, "the name at byte 50 has a byte 0x0a in it"},
        {"\2a\x7f", 3, 0, -EPROTO, "has a byte 0x7f in it"},
        {"\2a\xff", 3, 0, -EPROTO, "has a byte 0xff in it"},
        {"\1\x1f", 2, 0, -EPROTO, "has a byte 0x1f in it"},
        {"\2a", 2, -ENODATA, -ENODATA, "stream ended at byte 52"},
        {"", 0, -ENODATA, -ENODATA, "stream ended at byte 50"},
    };
    char name[256];

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_in in;

        gw_in_memory(&in, rows[i].bytes, rows[i].n, 50);
        assert_int_equal(gw_get_str8(&in, name, NULL), rows[i].str8);
        gw_in_memory(&in, rows[i].bytes, rows[i].n, 50);
        assert_int_equal(gw_get_name(&in, name, &err), rows[i].name);
        assert_int_equal(err.code, rows[i].name);
        if (rows[i].text)
            assert_text(err, rows[i].text);
        else
            assert_int_equal(strlen(name), (uint8_t)rows[i].bytes[0]);
    }
}

/* ---- out --------------------------------------------------------------------------------------------------------- */

static void test_put(void **state)
{
    static const uint8_t want[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 2, 'h', 'i', 'r', 'e', 'f'};
    struct gw_out out;
    const uint8_t *data;
    size_t n;

    gw_out_memory(&out);
    assert_int_equal(gw_out_error(&out, NULL), 0);
    out.cause = 1;
    gw_put_u8(&out, 1);
    gw_put_u16(&out, 0x0203);
    gw_put_u32(&out, 0x04050607);
    out.cause = 0;
    gw_put_u64(&out, 0x08090a0b0c0d0e0full);
    gw_put_str8(&out, "hi");
    gw_put_ref(&out, "ref", 3);
    data = gw_out_data(&out, &n);
    assert_int_equal(n, sizeof want);
    assert_memory_equal(data, want, n);
    assert_int_equal(out.offset, n);
    assert_int_equal(out.by[1], 7);
    assert_int_equal(out.by[0], n - 7);
    gw_out_free(&out);
    gw_out_free(&out);
}

/* Many times the first buffer: all of it, in order. What was taken is the caller's, and the cursor begins anew. */
static void test_grows(void **state)
{
    const size_t bytes = 3 * GW_IN_LOOK + 5;
    uint8_t *data = malloc(bytes), *taken;
    struct gw_out out;
    size_t n;

    for (size_t i = 0; i < bytes; i++)
        data[i] = (uint8_t)(i * 31 + (i >> 8));
    gw_out_memory(&out);
    for (size_t i = 0; i < 1000; i++)
        gw_put_u8(&out, data[i]);
    gw_put_bytes(&out, data + 1000, bytes - 1000);
    taken = gw_out_take(&out, &n);
    assert_int_equal(n, bytes);
    assert_memory_equal(taken, data, bytes);
    gw_out_data(&out, &n);
    assert_int_equal(n, 0);
    gw_put_u8(&out, 9);
    assert_int_equal(*gw_out_data(&out, &n), 9);
    assert_int_equal(n, 1);
    assert_int_equal(out.offset, bytes + 1);
    gw_out_free(&out);
    free(taken);
    free(data);
}

static void test_fixed(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    uint8_t bytes[9] = {0};
    struct gw_out out;

    gw_out_fixed(&out, bytes, 8);
    gw_put_u32(&out, 1);
    gw_put_u32(&out, 2);
    assert_int_equal(gw_out_error(&out, &err), 0);
    gw_put_u8(&out, 0xff);
    assert_int_equal(gw_out_error(&out, &err), -EMSGSIZE);
    assert_int_equal(err.blame, GW_BLAME_CALLER);
    assert_string_equal(err.text, "1 bytes do not fit, 0 are left");
    assert_int_equal(bytes[8], 0);
    assert_int_equal(out.offset, 8);
    /* The first one stays. */
    gw_put_u64(&out, 1);
    gw_put_str8(&out, "");
    gw_out_error(&out, &err);
    assert_string_equal(err.text, "1 bytes do not fit, 0 are left");
}

/* A name that get would refuse is not put, and nothing behind it either. */
static void test_put_names(void **state)
{
    char name[257];

    for (size_t n = 0; n < sizeof name; n++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_out out;
        bool good = n >= 1 && n <= 255;

        memset(name, 'n', n);
        name[n] = 0;
        gw_out_memory(&out);
        gw_put_u16(&out, 1);
        gw_put_str8(&out, name);
        gw_put_u16(&out, 2);
        assert_int_equal(gw_out_error(&out, &err), good ? 0 : -EINVAL);
        assert_int_equal(out.offset, good ? n + 5 : 2);
        if (!good) {
            char text[64];

            assert_int_equal(err.blame, GW_BLAME_CALLER);
            snprintf(text, sizeof text, "a name of %zu bytes at byte 2", n);
            assert_string_equal(err.text, text);
        }
        gw_out_free(&out);
    }
}

/* The first and each later growth fails: what was put before is there, and no put goes through afterwards. */
static void test_nomem(void **state)
{
    static uint8_t bytes[20000];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7);
    for (unsigned n = 1;; n++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_out out;
        size_t have;
        bool hit;

        countdown = n;
        gw_out_memory(&out);
        for (size_t i = 0; i < sizeof bytes; i += 100)
            gw_put_bytes(&out, bytes + i, 100);
        hit = countdown == 0;
        countdown = 0;
        assert_int_equal(gw_out_error(&out, &err), hit ? -ENOMEM : 0);
        gw_put_bytes(&out, bytes, 100);
        gw_out_data(&out, &have);
        assert_int_equal(have, out.offset);
        if (!hit) {
            assert_true(n > 2);
            assert_int_equal(have, sizeof bytes + 100);
            gw_out_free(&out);
            return;
        }
        assert_text(err, "out of memory (stream buffer)");
        assert_int_equal(err.blame, GW_BLAME_LOCAL);
        assert_true(have < sizeof bytes);
        assert_memory_equal(gw_out_data(&out, &have), bytes, have);
        gw_out_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_short),     cmocka_unit_test(test_sticky),
        cmocka_unit_test(test_looks),   cmocka_unit_test(test_empty),     cmocka_unit_test(test_discard),
        cmocka_unit_test(test_names),   cmocka_unit_test(test_put),       cmocka_unit_test(test_grows),
        cmocka_unit_test(test_fixed),   cmocka_unit_test(test_put_names), cmocka_unit_test(test_nomem),
    };

    return cmocka_run_group_tests_name("cursor", tests, NULL, NULL);
}
