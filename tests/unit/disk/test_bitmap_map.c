/* SPDX-License-Identifier: MIT
 *
 * Names of disks and dirty bitmaps on the wire: found from both sides; lists that make no sense.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "disk/bitmap_map.h"

static const struct gw_bitmap_alias list[] = {
    {"n0", "X", "a", "1", false, false},
    {"n0", "X", "b", "2", true, true},
    {"d1", "Y", "a", "2", true, false},
};

static void test_found(void **state)
{
    struct gw_bitmap_map *m, *other;
    struct gw_bitmap_alias copy[3];

    memcpy(copy, list, sizeof copy);
    assert_int_equal(gw_bitmap_map_new(copy, 3, &m, NULL), 0);
    memset(copy, 0, sizeof copy);
    other = gw_bitmap_map_share(m);
    gw_bitmap_map_free(m);
    assert_string_equal(gw_bitmap_map_here(other, "", "n0", "b")->alias, "2");
    assert_true(gw_bitmap_map_here(other, "", "n0", "b")->persistent);
    assert_string_equal(gw_bitmap_map_here(other, "d1", "n0-no", "a")->disk_alias, "Y");
    assert_null(gw_bitmap_map_here(other, "d1", "", "b"));
    assert_string_equal(gw_bitmap_map_there(other, "X", "1")->bitmap, "a");
    assert_string_equal(gw_bitmap_map_there(other, "Y", NULL)->disk, "d1");
    assert_null(gw_bitmap_map_there(other, "n0", NULL));
    assert_string_equal(gw_bitmap_map_at(other, 2)->disk, "d1");
    assert_null(gw_bitmap_map_at(other, 3));
    gw_bitmap_map_free(other);
    gw_bitmap_map_free(NULL);
    assert_null(gw_bitmap_map_share(NULL));
}

static void refused(struct gw_bitmap_alias a, struct gw_bitmap_alias b, const char *text)
{
    const struct gw_bitmap_alias pair[] = {a, b};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_bitmap_map *m;

    assert_int_equal(gw_bitmap_map_new(pair, 2, &m, &err), -EINVAL);
    if (!strstr(err.text, text))
        fail_msg("%s", err.text);
}

static void test_refused(void **state)
{
    char name[300] = "";

    memset(name, 'x', 256);
    refused(list[0], (struct gw_bitmap_alias){"", "Y", "a", "1"}, "the disk  has 0 bytes");
    refused(list[0], (struct gw_bitmap_alias){"d", name, "a", "1"}, "has 256 bytes, not 1 to 255");
    refused(list[0], (struct gw_bitmap_alias){"d", "Y", "a", name}, "has 256 bytes");
    refused(list[0], (struct gw_bitmap_alias){"d", "Y", NULL, "1"}, "the bitmap  has 0 bytes");
    refused(list[0], (struct gw_bitmap_alias){"n0", "Y", "c", "3"}, "disk n0 is called X, and disk n0 is called Y");
    refused(list[0], (struct gw_bitmap_alias){"n1", "X", "c", "3"}, "disk n0 is called X, and disk n1 is called X");
    refused(list[0], (struct gw_bitmap_alias){"n0", "X", "a", "3"}, "a is called 1, and a is called 3");
    refused(list[0], (struct gw_bitmap_alias){"n0", "X", "c", "1"}, "a is called 1, and c is called 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_found), cmocka_unit_test(test_refused)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
