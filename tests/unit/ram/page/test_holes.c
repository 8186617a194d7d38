/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "ram/page/holes.h"

#define PAGES 10000u

struct place {
    struct gw_ram ram;
    uint8_t *host;
    struct gw_holes *holes;
};

static void place_open(struct place *p, uint32_t page_bytes, int flags)
{
    struct gw_ram_desc d = {.name = "ram", .used_bytes = (uint64_t)PAGES * 4096};

    p->host = mmap(NULL, d.used_bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    assert_ptr_not_equal(p->host, MAP_FAILED);
    d.host = p->host;
    assert_int_equal(gw_ram_init(&p->ram, page_bytes, NULL, NULL), 0);
    assert_int_equal(gw_ram_add(&p->ram, &d, NULL), 0);
    assert_int_equal(gw_holes_new(&p->ram, &p->holes, NULL), 0);
}

static void place_close(struct place *p)
{
    p->holes = gw_holes_free(p->holes);
    munmap(p->host, (uint64_t)PAGES * 4096);
    gw_ram_close(&p->ram);
}

static bool works(void)
{
    uint64_t map[1];
    struct place p;
    bool yes;

    place_open(&p, 4096, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
    yes = gw_holes_find(p.holes, p.ram.blocks[0], 0, 1, map) == 1;
    place_close(&p);
    return yes;
}

/* Against a list of what was touched, for target pages smaller, equal and larger than the host's. */
static void test_private(void **state)
{
    static const uint32_t sizes[] = {1024, 4096, 16384};

    for (unsigned s = 0; s < 3; s++) {
        uint64_t seed = 7 + s, pages, *map;
        bool *touched = calloc(PAGES, 1);
        struct place p;

        place_open(&p, sizes[s], MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
        madvise(p.host, (uint64_t)PAGES * 4096, MADV_NOHUGEPAGE);
        pages = p.ram.blocks[0]->pages;
        map = gw_bitmap_new(pages);
        for (unsigned n = 0; n < 300; n++) {
            uint64_t first, count, holes = 0;

            seed = seed * 6364136223846793005ull + 1442695040888963407ull;
            p.host[(seed >> 40) % PAGES * 4096 + 99] = 0; /* to write a zero is to touch */
            touched[(seed >> 40) % PAGES] = true;
            first = (seed >> 20) % pages;
            count = (seed >> 33) % (pages - first) + 1;
            if (n % 8 == 0) {
                first = 0;
                count = pages;
            }
            memset(map, 0xff, gw_bitmap_words(count) * 8);
            uint64_t found = gw_holes_find(p.holes, p.ram.blocks[0], first, count, map);

            for (uint64_t i = first; i < first + count; i++) {
                uint64_t from = i * sizes[s] / 4096, to = ((i + 1) * sizes[s] - 1) / 4096;
                bool hole = true;

                for (uint64_t k = from; k <= to && k < PAGES; k++)
                    hole = hole && !touched[k];
                assert_int_equal(gw_bitmap_test(map, i - first), hole);
                holes += hole;
            }
            assert_int_equal(found, holes);
        }
        /* To ask has populated nothing. */
        unsigned char vec[1];
        for (unsigned i = 0; i < PAGES; i += 111)
            if (!touched[i]) {
                assert_int_equal(mincore(p.host + i * 4096ull, 4096, vec), 0);
                assert_int_equal(vec[0] & 1, 0);
            }
        gw_bitmap_free(map, pages);
        free(touched);
        place_close(&p);
    }
}

/* Of shared memory nothing is known, nor beyond the end. */
static void test_unknown(void **state)
{
    uint64_t map[2] = {~0ull, ~0ull};
    struct place p;

    place_open(&p, 4096, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE);
    assert_int_equal(gw_holes_find(p.holes, p.ram.blocks[0], 0, 100, map), 0);
    assert_int_equal(map[0] | map[1], 0);
    place_close(&p);
    place_open(&p, 4096, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
    assert_int_equal(gw_holes_find(p.holes, p.ram.blocks[0], PAGES - 10, 100, map), 10);
    assert_int_equal(map[0], 0x3ff);
    assert_int_equal(gw_holes_find(p.holes, p.ram.blocks[0], PAGES, 100, map), 0);
    assert_int_equal(gw_holes_find(NULL, p.ram.blocks[0], 0, 100, map), 0);
    place_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_private), cmocka_unit_test(test_unknown)};

    if (!works()) {
        printf("SKIP: this kernel does not tell holes (PAGEMAP_SCAN, Linux 6.7)\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
