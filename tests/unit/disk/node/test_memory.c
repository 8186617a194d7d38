/* SPDX-License-Identifier: MIT */
#include "property.h"

static void test_property(void **state)
{
    static const uint64_t sizes[] = {1, 4096, 100000, 262144};

    for (unsigned i = 0; i < GW_ARRAY_LEN(sizes); i++) {
        struct gw_node *n = gw_node_memory(sizes[i], i % 2 ? 4096 : 512);
        uint8_t *array = calloc(1, sizes[i]);

        assert_non_null(n);
        node_property(n, array, i, 400);
        assert_int_equal(gw_node_free(n, NULL), 0);
        free(array);
    }
}

static void test_backings(void **state)
{
    /* The one in the middle is shorter than both others. */
    struct gw_node *n = gw_node_memory(100000, 4096), *middle = gw_node_memory(50000, 512),
                   *base = gw_node_memory(90000, 8192);
    uint8_t *array = calloc(1, 100000);

    node_property(base, array, 77, 100);
    middle->backing = base;
    node_property(middle, array, 78, 100);
    memset(array + 50000, 0, 50000);
    n->backing = middle;
    node_property(n, array, 79, 1000);
    assert_int_equal(gw_node_free(n, NULL), 0);
    free(array);
}

static void test_kinds(void **state)
{
    struct gw_node *n = gw_node_memory(16384, 4096), *base = gw_node_memory(10000, 4096);
    struct gw_node_run run;

    n->backing = base;
    gw_node_write(base, "x", 1, 5000, 0, NULL);
    gw_node_zero(n, 4096, 0, 0, NULL);
    assert_int_equal(gw_node_find(n, 16384, 0, &run, NULL), 0);
    assert_int_equal(run.kind, GW_DISK_ZERO);
    assert_int_equal(run.bytes, 4096);
    assert_int_equal(gw_node_find(n, 12288, 4096, &run, NULL), 0);
    assert_int_equal(run.kind, GW_DISK_DATA);
    assert_int_equal(run.bytes, 4096);
    assert_true(run.file_read_only);
    assert_int_equal(gw_node_find_here(n, 12288, 4096, &run, NULL), 0);
    assert_int_equal(run.kind, GW_DISK_ABSENT);
    assert_int_equal(run.bytes, 12288);
    assert_int_equal(gw_node_find(n, 8192, 8192, &run, NULL), 0);
    assert_int_equal(run.kind, GW_DISK_ABSENT);
    assert_int_equal(run.bytes, 10000 - 8192);
    assert_int_equal(gw_node_find(n, 6384, 10000, &run, NULL), 0);
    assert_int_equal(run.bytes, 6384);
    gw_node_free(n, NULL);
}

static void test_resize(void **state)
{
    struct gw_node *n = gw_node_memory(10000, 4096);
    uint8_t *array = calloc(1, 30000);

    node_property(n, array, 5, 50);
    assert_int_equal(gw_node_resize(n, 30000, NULL), 0);
    node_property(n, array, 6, 50);
    assert_int_equal(gw_node_resize(n, 9000, NULL), 0);
    node_property(n, array, 7, 50);
    gw_node_free(n, NULL);
    free(array);
    assert_null(gw_node_memory(4096, 0));
    assert_null(gw_node_memory(4096, 4097));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_property),
        cmocka_unit_test(test_backings),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_resize),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
