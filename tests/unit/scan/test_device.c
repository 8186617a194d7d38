/* SPDX-License-Identifier: MIT
 *
 * The devices at the end of a stream: by their description, or by what may follow what.
 */
#include "walk.h"

static struct built b;
static struct seen seen;
static struct gw_error err;

static int up(void **state)
{
    built_begin(&b, 4096);
    built_ram_start(&b);
    built_ram(&b, GW_ELEMENT_PART, 0, BUILT_PAGES, BUILT_PLAIN);
    built_ram(&b, GW_ELEMENT_END, 0, 0, BUILT_ZEROS);
    return 0;
}

static int down(void **state)
{
    gw_out_free(&b.out);
    return 0;
}

static int run(size_t piece)
{
    return walk_built(&b, piece, &seen, &err);
}

static void test_described(void **state)
{
    built_end(&b, 8);
    for (size_t piece = 1; piece < 100000; piece = piece * 7 + 2) {
        assert_int_equal(run(piece), 0);
        assert_int_equal(seen.devices, 2);
        assert_int_equal(seen.described, 2);
    }
}

static void test_undescribed(void **state)
{
    built_end(&b, 0);
    assert_int_equal(run(1000), 0);
    assert_int_equal(seen.devices, 2);
    assert_int_equal(seen.described, 0);
}

/* A description that is not of these bytes is no description. */
static void test_wrong_description(void **state)
{
    built_end(&b, 4);
    assert_int_equal(run(1000), 0); /* its head and footer say where the section is */
    assert_int_equal(seen.devices, 2);
    assert_int_equal(seen.described, 1);
}

static void test_cut(void **state)
{
    const uint8_t *data;
    size_t n;

    built_end(&b, 8);
    data = gw_out_data(&b.out, &n);
    assert_int_equal(walk(data, n - 1, 1000, &seen, &err), -ENODATA);
    assert_non_null(strstr(err.text, "inside the state description, which begins at byte "));
    gw_out_free(&b.out);
    assert_int_equal(up(NULL), 0);
    built_end(&b, 0);
    data = gw_out_data(&b.out, &n);
    assert_int_equal(walk(data, n - 1, 1000, &seen, &err), -ENODATA);
    assert_non_null(strstr(err.text, "there is neither their end nor a description"));
}

/* A device may hold what looks like the end and a description: it is tried, and passed over. */
static void test_looks_like_it(void **state)
{
    static const char fake[] = "\0\6\0\0\0\2{}";
    gw_section_put_head(&b.out, GW_ELEMENT_FULL, &(struct gw_section_head){.id = 39, .version = 1, .name = "odd"});
    gw_put_bytes(&b.out, fake, 8);
    built_footer(&b, 39);
    gw_put_u8(&b.out, GW_ELEMENT_EOF);
    assert_int_equal(run(1000), 0);
    assert_int_equal(seen.devices, 1);
}

static void test_none(void **state)
{
    gw_put_u8(&b.out, GW_ELEMENT_EOF);
    assert_int_equal(run(1000), 0);
    assert_int_equal(seen.devices, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_described), T(test_undescribed),    T(test_wrong_description),
                                       T(test_cut),       T(test_looks_like_it), T(test_none)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
