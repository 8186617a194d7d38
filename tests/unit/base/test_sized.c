/* SPDX-License-Identifier: MIT
 *
 * Structs with a size, copied over the border of the library. Through its public functions: engine/test_sized.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/sized.h"
#include "godwit/version.h"

struct ours {
    uint32_t must, may, late;
};

struct table {
    size_t bytes;
    uint64_t must, late;
};

#define MUST GW_SIZED_UNTIL(struct ours, must)

static void test_copy_in(void **state)
{
    const uint32_t theirs[5] = {1, 2, 3, 0, 0}, more[5] = {1, 2, 3, 0, 9};
    struct gw_error err = GW_ERROR_INIT;

    for (size_t bytes = 0; bytes <= sizeof theirs; bytes++) {
        /* Exactly as many bytes as it has: a sanitizer sees one that is read too many. */
        uint8_t *given = malloc(bytes + !bytes);
        struct ours o = {7, 7, 7};
        int r;

        memcpy(given, theirs, bytes);
        r = gw_sized_in(&o, sizeof o, given, bytes, GW_SIZED_UNTIL(struct ours, must), "struct ours", &err);
        assert_int_equal(r, bytes < 4 ? -EINVAL : 0);
        if (bytes >= 12) {
            assert_int_equal(o.late, 3);
        } else if (bytes >= 4) {
            assert_int_equal(o.must, 1);
            assert_int_equal(o.may, bytes >= 8 ? 2 : bytes > 4 ? 2 : 0);
            assert_int_equal(o.late, bytes > 8 ? 3 : 0);
        }
        free(given);
    }
    for (size_t bytes = 12; bytes <= sizeof more; bytes += 4) {
        struct ours o;
        int r = gw_sized_in(&o, sizeof o, more, bytes, 4, "struct ours", &err);

        assert_int_equal(r, bytes == sizeof more ? -E2BIG : 0);
        assert_int_equal(o.late, 3);
    }
    assert_int_equal(err.blame, GW_BLAME_CALLER);
    assert_non_null(strstr(err.text, "struct ours"));
    assert_int_equal(gw_sized_in(&(struct ours){0}, 12, more, SIZE_MAX, 4, "struct ours", &err), -EINVAL);
}

static void test_copy_out(void **state)
{
    const uint32_t ours[3] = {1, 2, 3};

    for (size_t bytes = 0; bytes <= 20; bytes++) {
        uint8_t *given = malloc(bytes + 1);

        memset(given, 0xee, bytes + 1);
        gw_sized_out(given, bytes, ours, sizeof ours);
        assert_memory_equal(given, ours, GW_MIN(bytes, sizeof ours));
        for (size_t i = sizeof ours; i < bytes; i++)
            assert_int_equal(given[i], 0);
        assert_int_equal(given[bytes], 0xee);
        free(given);
    }
}

static void test_absent(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct ours o = {7, 7, 7};
    struct table t = {7, 7, 7};

    /* The size of none means nothing. */
    assert_int_equal(gw_sized_in(&o, sizeof o, NULL, SIZE_MAX, MUST, "struct ours", &err), 0);
    assert_int_equal(o.must | o.may | o.late, 0);
    assert_int_equal(gw_sized_table_in(&t, sizeof t, NULL, 16, "struct table", &err), 0);
    assert_int_equal(t.bytes, sizeof t);
    assert_true((t.must | t.late) == 0);
}

static void test_words(void **state)
{
    static uint8_t large[GW_SIZED_MAX + 1];
    struct gw_error err = GW_ERROR_INIT;
    struct ours o;

    assert_int_equal(gw_sized_in(&o, sizeof o, large, 3, MUST, "struct ours", &err), -EINVAL);
    assert_string_equal(err.text, "struct ours: its size is given as 3 bytes, at least 4 are needed");
    assert_int_equal(gw_sized_in(&o, sizeof o, large, GW_SIZED_MAX, MUST, "struct ours", &err), 0);
    assert_int_equal(gw_sized_in(&o, sizeof o, large, GW_SIZED_MAX + 1, MUST, "struct ours", &err), -EINVAL);
    assert_string_equal(err.text, "struct ours: a size of 65537 bytes cannot be right");
    large[GW_SIZED_MAX - 1] = 1;
    assert_int_equal(gw_sized_in(&o, sizeof o, large, GW_SIZED_MAX, MUST, "struct ours", &err), -E2BIG);
    assert_int_equal(err.blame, GW_BLAME_CALLER);
    assert_non_null(strstr(err.text, "struct ours: byte 65535 is set, but this library ("));
    assert_non_null(strstr(err.text, ") knows 12 bytes"));
}

static void test_table(void **state)
{
    struct {
        struct table t;
        uint64_t later;
    } newer = {{sizeof newer, 1, 2}, 0};
    const size_t small = GW_SIZED_UNTIL(struct table, must);
    struct gw_error err = GW_ERROR_INIT;
    struct table t, *old;
    void *room;

    assert_int_equal(gw_sized_table_in(&t, sizeof t, &newer, small, "struct table", &err), 0);
    /* dst has the library's size, so that nobody looks behind it. */
    assert_int_equal(t.bytes, sizeof t);
    assert_int_equal(t.late, 2);
    newer.later = 1;
    assert_int_equal(gw_sized_table_in(&t, sizeof t, &newer, small, "struct table", &err), -E2BIG);
    assert_int_equal(t.bytes, sizeof t);
    newer.t.bytes = 0;
    t.must = t.late = 7;
    assert_int_equal(gw_sized_table_in(&t, sizeof t, &newer, small, "struct table", &err), -EINVAL);
    assert_string_equal(err.text,
                        "struct table: its member bytes is 0: begin its initialiser with GW_SIZED(struct table)");
    assert_int_equal(t.bytes, sizeof t);
    assert_true((t.must | t.late) == 0);
    newer.t.bytes = small - 1;
    assert_int_equal(gw_sized_table_in(&t, sizeof t, &newer, small, "struct table", &err), -EINVAL);
    /* One that ends early, in memory that does so, too. */
    room = malloc(small); /* the compiler is not told that it is too small for the type */
    old = room;
    memcpy(old, &(struct table){small, 5, 6}, small);
    assert_int_equal(gw_sized_table_in(&t, sizeof t, old, small, "struct table", &err), 0);
    free(old);
    assert_int_equal(t.must, 5);
    assert_int_equal(t.late, 0);
}

static void test_version(void **state)
{
    char text[32];

    assert_int_equal(gw_version(), GW_VERSION);
    snprintf(text, sizeof text, "%d.%d.%d", GW_VERSION_MAJOR, GW_VERSION_MINOR, GW_VERSION_PATCH);
    assert_string_equal(gw_version_text(), text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copy_in), cmocka_unit_test(test_copy_out), cmocka_unit_test(test_absent),
        cmocka_unit_test(test_words),   cmocka_unit_test(test_table),    cmocka_unit_test(test_version),
    };

    return cmocka_run_group_tests_name("sized", tests, NULL, NULL);
}
