/* SPDX-License-Identifier: MIT
 *
 * Lists of pages, as bytes and back; and bytes that are no such list.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "base/endian.h"
#include "ram/source/working_set.h"

#define PAGE 4096u

static struct gw_working_set *made(void)
{
    struct gw_working_set *set = NULL;

    assert_int_equal(gw_working_set_new(&set, NULL), 0);
    assert_int_equal(gw_working_set_add(set, PAGE, "ram", 1000, false, 10, 1, NULL), 0);
    assert_int_equal(gw_working_set_add(set, PAGE, "ram", 1000, true, 11, 16, NULL), 0);
    assert_int_equal(gw_working_set_add(set, PAGE, "vga", 300, false, 299, 1, NULL), 0);
    assert_int_equal(gw_working_set_add(set, PAGE, "ram", 1000, false, 3, 2, NULL), 0);
    assert_int_equal(gw_working_set_add(set, PAGE, "ram", 1000, false, 5, 1, NULL), 0); /* goes on */
    return set;
}

static uint8_t *bytes_of(const struct gw_working_set *set, size_t *ret_bytes)
{
    struct gw_out out;

    gw_out_memory(&out);
    gw_working_set_put(set, &out);
    assert_int_equal(gw_out_error(&out, NULL), 0);
    return gw_out_take(&out, ret_bytes);
}

static void sign(uint8_t *data, size_t bytes)
{
    gw_store_be32(data + bytes - 4, gw_crc32c(0, data, bytes - 4));
}

static void test_golden(void **state)
{
    static const uint8_t head[] = {'g', 'd', 'w', 't', 'w', 's', 'e', 't', 0, 0, 0, 1, 0, 0, 16, 0, 0, 0, 0, 2, 0, 0, 0, 4,
                                   3, 'r', 'a', 'm', 0, 0, 0, 0, 0, 0, 3, 232, 3, 'v', 'g', 'a', 0, 0, 0, 0, 0, 0, 1, 44,
                                   0, 20, 0, 1, 0, 15, 2, 0xd6, 4, 0, 0, 47, 2};
    struct gw_working_set *set = made();
    size_t bytes;
    uint8_t *data = bytes_of(set, &bytes);

    assert_int_equal(bytes, sizeof head + 4);
    assert_memory_equal(data, head, sizeof head);
    free(data);
    gw_working_set_free(set);
}

static void same(const struct gw_working_set *a, const struct gw_working_set *b)
{
    assert_int_equal(a->page_bytes, b->page_bytes);
    assert_int_equal(a->block_count, b->block_count);
    for (uint32_t i = 0; i < a->block_count; i++) {
        assert_string_equal(a->blocks[i].name, b->blocks[i].name);
        assert_int_equal(a->blocks[i].pages, b->blocks[i].pages);
    }
    assert_int_equal(a->run_count, b->run_count);
    for (size_t i = 0; i < a->run_count; i++) {
        assert_int_equal(a->runs[i].block, b->runs[i].block);
        assert_int_equal(a->runs[i].beside, b->runs[i].beside);
        assert_int_equal(a->runs[i].first, b->runs[i].first);
        assert_int_equal(a->runs[i].count, b->runs[i].count);
    }
}

static void test_there_and_back(void **state)
{
    struct gw_working_set *set = made(), *got = NULL;
    size_t bytes;
    uint8_t *data = bytes_of(set, &bytes);

    assert_int_equal(gw_working_set_pages(set), 21);
    assert_int_equal(gw_working_set_asked_pages(set), 5);
    assert_int_equal(gw_working_set_new(&got, NULL), 0);
    assert_int_equal(gw_working_set_get(got, data, bytes, NULL), 0);
    same(set, got);
    /* Another one behind it. */
    assert_int_equal(gw_working_set_get(got, data, bytes, NULL), 0);
    assert_int_equal(got->block_count, 2);
    assert_int_equal(got->run_count, 8);
    assert_int_equal(gw_working_set_pages(got), 42);
    free(data);
    gw_working_set_free(got);
    gw_working_set_free(set);
    gw_working_set_free(NULL);
}

static void test_empty(void **state)
{
    struct gw_working_set *set = NULL, *got = NULL;
    size_t bytes;
    uint8_t *data;

    assert_int_equal(gw_working_set_new(&set, NULL), 0);
    assert_int_equal(gw_working_set_new(&got, NULL), 0);
    data = bytes_of(set, &bytes);
    assert_int_equal(gw_working_set_get(got, data, bytes, NULL), 0);
    same(set, got);
    free(data);
    gw_working_set_free(got);
    gw_working_set_free(set);
}

static void test_another_page_size(void **state)
{
    struct gw_working_set *set = made(), *other = NULL;
    struct gw_error err = GW_ERROR_INIT;
    size_t bytes;
    uint8_t *data;

    assert_int_equal(gw_working_set_add(set, 2 * PAGE, "ram", 1000, false, 1, 1, &err), -EINVAL);
    assert_int_equal(gw_working_set_new(&other, NULL), 0);
    assert_int_equal(gw_working_set_add(other, 1024, "rom", 9, false, 1, 1, NULL), 0);
    data = bytes_of(other, &bytes);
    assert_int_equal(gw_working_set_get(set, data, bytes, &err), -EINVAL);
    assert_non_null(strstr(err.text, "pages have 1024 bytes"));
    assert_int_equal(gw_working_set_pages(set), 21);
    free(data);
    gw_working_set_free(other);
    gw_working_set_free(set);
}

/* Cut anywhere, one bit wrong anywhere: refused by the checksum; and where that was made right again, by the contents, or it is a
 * list that lies inside its blocks. */
static void test_damaged(void **state)
{
    struct gw_working_set *set = made();
    struct gw_error err = GW_ERROR_INIT;
    unsigned refused = 0;
    size_t bytes;
    uint8_t *data = bytes_of(set, &bytes), *copy = malloc(bytes);

    for (size_t n = 0; n < bytes; n++) {
        struct gw_working_set got = {0};

        memcpy(copy, data, n);
        assert_int_equal(gw_working_set_get(&got, copy, n, &err), -EPROTO);
        if (n >= 28) {
            sign(copy, n);
            assert_int_equal(gw_working_set_get(&got, copy, n, &err), -EPROTO);
        }
        assert_null(got.runs);
        free(got.blocks);
    }
    for (size_t bit = 0; bit < (bytes - 4) * 8; bit++) {
        struct gw_working_set got = {0};

        memcpy(copy, data, bytes);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(gw_working_set_get(&got, copy, bytes, &err), -EPROTO);
        sign(copy, bytes);
        if (gw_working_set_get(&got, copy, bytes, &err) < 0) {
            assert_int_equal(err.code, -EPROTO);
            refused++;
        }
        for (size_t i = 0; i < got.run_count; i++)
            assert_true(got.runs[i].first + got.runs[i].count <= got.blocks[got.runs[i].block].pages);
        free(got.blocks);
        free(got.runs);
    }
    assert_true(refused > 200);
    free(copy);
    free(data);
    gw_working_set_free(set);
}

/* Counts that nothing stands behind, and numbers that go round. */
static void refused(const uint8_t *tail, size_t bytes, uint32_t blocks, uint32_t runs, const char *why)
{
    uint8_t data[128] = "gdwtwset\0\0\0\1\0\0\20";
    struct gw_working_set got = {0};
    struct gw_error err = GW_ERROR_INIT;

    gw_store_be32(data + 16, blocks);
    gw_store_be32(data + 20, runs);
    memcpy(data + 24, tail, bytes);
    sign(data, 24 + bytes + 4);
    assert_int_equal(gw_working_set_get(&got, data, 24 + bytes + 4, &err), -EPROTO);
    if (!strstr(err.text, why))
        fail_msg("%s", err.text);
}

static void test_hostile(void **state)
{
#define BLOCK 1, 'r', 0, 0, 0, 0, 0, 0, 0, 9
    refused((uint8_t[]){0}, 0, UINT32_MAX, 0, "more than there can be");
    refused((uint8_t[]){0}, 0, 0, UINT32_MAX, "more than there can be");
    refused((uint8_t[]){BLOCK, BLOCK}, 20, 2, 0, "listed twice");
    refused((uint8_t[]){1, 'r', 255, 0, 0, 0, 0, 0, 0, 9}, 10, 1, 0, "more than there can be");
    refused((uint8_t[]){BLOCK, 2, 0, 0}, 13, 1, 1, "a run is of block 1");
    refused((uint8_t[]){BLOCK, 0, 18, 0}, 13, 1, 1, "which has 9");
    refused((uint8_t[]){BLOCK, 0, 16, 1}, 13, 1, 1, "which has 9");
    refused((uint8_t[]){BLOCK, 0, 1, 0}, 13, 1, 1, "which has 9");
    refused((uint8_t[]){BLOCK, 0, 0, 0, 7}, 14, 1, 1, "behind the last run");
    refused((uint8_t[]){BLOCK, 0, 0x80, 0, 0}, 14, 1, 1, "too many bytes");
    refused((uint8_t[]){BLOCK, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, 22, 1, 1, "too many bytes");
    refused((uint8_t[]){BLOCK, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, 21, 1, 1, "which has 9");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),  cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_empty),
        cmocka_unit_test(test_damaged), cmocka_unit_test(test_hostile),        cmocka_unit_test(test_another_page_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
