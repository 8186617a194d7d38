/* SPDX-License-Identifier: MIT
 *
 * The size of a page where the head does not say it.
 */
#include "walk.h"

static void test_page_sizes(void **state)
{
    for (unsigned bits = GW_PAGE_BITS_MIN; bits <= GW_PAGE_BITS_MAX; bits++)
        for (int pages = BUILT_ZEROS; pages <= BUILT_MIXED; pages++)
            for (size_t piece = 511; piece < 200000; piece *= 97) {
                struct gw_error err;
                struct built b = {0};
                struct seen seen;

                built_begin(&b, 1u << bits);
                built_ram_start(&b);
                built_unknown(&b, GW_ELEMENT_START, "\2\0\0\0\2", 5);
                built_ram(&b, GW_ELEMENT_PART, 0, 0, BUILT_ZEROS); /* as with a small bandwidth */
                built_ram(&b, GW_ELEMENT_PART, 0, BUILT_PAGES, (enum built_pages)pages);
                built_ram(&b, GW_ELEMENT_END, 0, 0, BUILT_ZEROS);
                built_end(&b, 8);
                if (walk_built(&b, piece, &seen, &err) < 0)
                    fail_msg("%u bits, contents %d: %s", bits, pages, err.text);
                assert_int_equal(seen.page_bytes, 1u << bits);
                assert_int_equal(seen.pages, BUILT_PAGES);
                gw_out_free(&b.out);
            }
}

/* Too little to go by: as most targets have it. A source that left every second page out has small ones all the same. */
static void test_usual_page(void **state)
{
    for (unsigned apart = 1; apart <= 2; apart++) {
        struct gw_error err;
        struct built b = {0};
        struct seen seen;

        built_begin(&b, 4096);
        built_ram_start(&b);
        gw_section_put_part(&b.out, GW_ELEMENT_END, BUILT_RAM);
        for (unsigned i = 0; i < (apart == 1 ? 1u : 6u); i++) {
            gw_ram_record_put(&b.out, (uint64_t)i * apart * 4096, GW_RAMF_ZERO, i ? NULL : "r");
            gw_ram_put_zero(&b.out);
        }
        gw_ram_put_end(&b.out);
        built_footer(&b, BUILT_RAM);
        built_end(&b, 8);
        assert_int_equal(walk_built(&b, 4096, &seen, &err), 0);
        assert_int_equal(seen.page_bytes, 4096);
        gw_out_free(&b.out);
    }
}

/* A source may wait for an answer behind its last byte: no more is asked for than shows that no page comes. */
static void test_no_pages(void **state)
{
    struct gw_error err;
    struct built b = {0};
    struct seen seen;
    size_t bytes, ended;

    built_begin(&b, 4096);
    built_ram_start(&b);
    built_ram(&b, GW_ELEMENT_PART, 0, 0, BUILT_ZEROS);
    built_ram(&b, GW_ELEMENT_END, 0, 0, BUILT_ZEROS);
    gw_out_data(&b.out, &ended);
    built_end(&b, 8);
    gw_out_data(&b.out, &bytes);
    assert_int_equal(walk_built(&b, 1, &seen, &err), 0);
    assert_int_equal(seen.page_bytes, 4096);
    assert_in_range(seen.known_at, 1, ended);
    gw_out_free(&b.out);
}

/* Of a mapped-ram file the first block's head says it; what no page can have is as most targets have it, and told later. */
static void test_mapped(void **state)
{
    static const struct {
        uint64_t said;
        unsigned bits;
    } rows[] = {{1024, 10}, {4096, 12}, {65536, 16}, {512, 12}, {131072, 12}, {4097, 12}, {UINT64_MAX, 12}};

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_scan s;
        struct gw_reader r;
        struct gw_out out;
        unsigned bits = 0;
        size_t bytes;

        gw_out_memory(&out);
        gw_ram_list_put_total(&out, 1 << 20);
        gw_ram_list_put(&out, "r", 1 << 20, NULL);
        gw_put_u32(&out, 1);
        gw_put_u64(&out, rows[i].said);
        /* All of it, and cut anywhere: as most targets have it. */
        gw_out_data(&out, &bytes);
        for (size_t n = bytes + 1; n-- > 0;) {
            uint8_t *copy = malloc(n + !n);

            memcpy(copy, gw_out_data(&out, &bytes), n);
            gw_reader_init_memory(&r, copy, n, 0);
            gw_scan_init(&s, &r, &visitor, NULL);
            s.mapped = true;
            assert_int_equal(gw_scan_page_size(&s, BUILT_RAM, &bits, &err), 0);
            assert_int_equal(bits, n == bytes ? rows[i].bits : GW_HEAD_PAGE_BITS);
            /* Nothing was taken. */
            assert_int_equal(gw_reader_offset(&r), 0);
            gw_scan_close(&s);
            gw_reader_close(&r);
            free(copy);
        }
        gw_out_free(&out);
    }
}

/* Noise where records should be, and records of another section: a size that can be, and no byte is taken. */
static void test_noise(void **state)
{
    uint64_t seed = 4;

    for (unsigned turn = 0; turn < 300; turn++) {
        size_t n = 1 + turn * 7;
        uint8_t *noise = malloc(n);
        struct gw_error err = GW_ERROR_INIT;
        struct gw_reader r;
        struct gw_scan s;
        unsigned bits = 0;

        for (size_t i = 0; i < n; i++) {
            seed = seed * 6364136223846793005ull + 1442695040888963407ull;
            noise[i] = (uint8_t)(seed >> 60); /* many small numbers: elements, ids */
        }
        gw_reader_init_memory(&r, noise, n, 0);
        gw_scan_init(&s, &r, &visitor, NULL);
        assert_int_equal(gw_scan_page_size(&s, 0x0102, &bits, &err), 0);
        assert_in_range(bits, GW_PAGE_BITS_MIN, GW_PAGE_BITS_MAX);
        assert_int_equal(gw_reader_offset(&r), 0);
        gw_scan_close(&s);
        gw_reader_close(&r);
        free(noise);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_page_sizes), cmocka_unit_test(test_usual_page), cmocka_unit_test(test_no_pages),
        cmocka_unit_test(test_mapped),     cmocka_unit_test(test_noise),
    };

    return cmocka_run_group_tests_name("page_size", tests, NULL, NULL);
}
