/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "ram/page/zero.h"

static const struct gw_zero *portable(void)
{
    const struct gw_zero *z = NULL;

    for (unsigned i = 0; gw_zero_variant(i); i++)
        z = gw_zero_variant(i);
    return z;
}

/* Memory whose next byte on either side faults: what reads outside does not survive. */
static uint8_t *fenced(size_t bytes)
{
    uint8_t *p = mmap(NULL, bytes + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(p, MAP_FAILED);
    assert_int_equal(mprotect(p + 4096, bytes, PROT_READ | PROT_WRITE), 0);
    return p + 4096;
}

static void test_pick(void **state)
{
    assert_ptr_equal(gw_zero_pick(), gw_zero_variant(0));
    assert_string_equal(portable()->name, "portable");
    for (unsigned i = 0; gw_zero_variant(i); i++)
        print_message("%s ", gw_zero_variant(i)->name);
    print_message("\n");
}

/* Every length up to 1100 at every alignment, at the very end of the mapping and at its very begin. */
static void test_lengths(void **state)
{
    uint8_t *p = fenced(4096);

    for (unsigned v = 0; gw_zero_variant(v); v++) {
        const struct gw_zero *z = gw_zero_variant(v);

        for (size_t n = 0; n <= 1100; n++) {
            for (size_t a = 0; a < 64; a++) {
                assert_true(z->all(p + a, n));
                assert_true(z->all(p + 4096 - n - a, n));
            }
            /* Neighbours do not count, the ends do. */
            for (size_t a = 1; a < 64 && n; a += 7) {
                uint8_t *q = p + a;

                q[-1] = q[n] = 1;
                assert_true(z->all(q, n));
                assert_int_equal(gw_zero_first(z, q, n), n);
                q[-1] = q[n] = 0;
                q[0] = 1;
                assert_false(z->all(q, n));
                assert_int_equal(gw_zero_first(z, q, n), 0);
                q[0] = 0;
                q[n - 1] = 0x80;
                assert_false(z->all(q, n));
                assert_int_equal(gw_zero_first(z, q, n), n - 1);
                q[n / 2] |= 1;
                assert_false(z->all(q, n));
                q[n / 2] = q[n - 1] = 0;
            }
        }
    }
    munmap(p - 4096, 3 * 4096);
}

/* Every single bit of a page, for several page sizes. */
static void test_bits(void **state)
{
    static const size_t sizes[] = {1024, 4096, 16384};

    for (unsigned s = 0; s < 3; s++) {
        uint8_t *p = fenced(sizes[s]);

        for (size_t i = 0; i < sizes[s] * 8; i++) {
            p[i / 8] = (uint8_t)(1 << i % 8);
            for (unsigned v = 0; gw_zero_variant(v); v++) {
                const struct gw_zero *z = gw_zero_variant(v);

                assert_false(z->page(p, sizes[s]));
                assert_false(gw_zero_page(z, p, sizes[s]));
                assert_false(z->all(p, sizes[s]));
                if (i % 8 == 3)
                    assert_int_equal(gw_zero_first(z, p, sizes[s]), i / 8);
            }
            p[i / 8] = 0;
        }
        for (unsigned v = 0; gw_zero_variant(v); v++)
            assert_true(gw_zero_page(gw_zero_variant(v), p, sizes[s]));
        munmap(p - 4096, sizes[s] + 8192);
    }
}

/* Each variant says what the portable one says, of pages with random sparse bytes. */
static void test_classify(void **state)
{
    enum { PAGES = 300, BYTES = 4096 };
    uint8_t *p = fenced(PAGES * BYTES);
    uint64_t seed = 42, expect[8], map[8];

    for (unsigned round = 0; round < 50; round++) {
        uint64_t first = round % 100, zeros;

        madvise(p, PAGES * BYTES, MADV_DONTNEED);
        for (unsigned i = 0; i < PAGES; i++) {
            seed = seed * 6364136223846793005ull + 1442695040888963407ull;
            if (seed >> 62)
                p[i * BYTES + (seed >> 33) % BYTES] = (uint8_t)(seed >> 20);
        }
        memset(expect, 0xaa, sizeof expect);
        zeros = gw_zero_classify(portable(), p, BYTES, PAGES, expect, first);
        assert_int_equal(zeros, gw_bitmap_count_range(expect, first, PAGES));
        assert_true(zeros && zeros < PAGES);
        for (unsigned i = 0; i < PAGES; i++)
            assert_int_equal(gw_bitmap_test(expect, first + i),
                             gw_zero_first(portable(), p + i * BYTES, BYTES) == BYTES);
        for (unsigned v = 0; gw_zero_variant(v); v++) {
            memset(map, 0xaa, sizeof map);
            assert_int_equal(gw_zero_classify(gw_zero_variant(v), p, BYTES, PAGES, map, first), zeros);
            assert_memory_equal(map, expect, sizeof map); /* also outside of the range */
        }
    }
    munmap(p - 4096, PAGES * BYTES + 8192);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pick),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_classify),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
