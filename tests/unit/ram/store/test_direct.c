/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "ram/store/direct.h"

#define PAGES 600u
#define PAGE  4096u

struct side {
    struct gw_ram ram;
    struct gw_ram_block *block;
    struct gw_store *store;
    uint8_t *host;
};

static void open_side(struct side *s, unsigned flags)
{
    struct gw_ram_desc d = {.name = "ram", .used_bytes = (uint64_t)PAGES * PAGE, .flags = flags};

    d.host = s->host = mmap(NULL, d.used_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(s->host, MAP_FAILED);
    assert_int_equal(gw_ram_init(&s->ram, PAGE, NULL, NULL), 0);
    assert_int_equal(gw_ram_add(&s->ram, &d, NULL), 0);
    s->block = s->ram.blocks[0];
    assert_int_equal(gw_store_direct_new(&s->ram, &s->store, NULL), 0);
    assert_int_equal(s->store->missing(s->store, s->block), 0);
    assert_int_equal(s->store->add(s->store, s->block, NULL), 0);
    assert_int_equal(s->store->missing(s->store, s->block), PAGES);
}

static void close_side(struct side *s)
{
    assert_null(s->store->free(s->store));
    gw_ram_close(&s->ram);
    munmap(s->host, (size_t)PAGES * PAGE);
}

static unsigned resident(const struct side *s)
{
    unsigned char map[PAGES];
    unsigned n = 0;

    assert_int_equal(mincore(s->host, (size_t)PAGES * PAGE, map), 0);
    for (unsigned i = 0; i < PAGES; i++)
        n += map[i] & 1;
    return n;
}

/* A zero record for a page of fresh memory touches nothing; where something is, or may be, it becomes zeros. */
static void test_zero(void **state)
{
    struct side s;

    (void)state;
    open_side(&s, GW_RAM_FRESH);
    for (unsigned i = 0; i < PAGES; i++)
        assert_int_equal(s.store->zero(s.store, s.block, i, NULL), 0);
    assert_int_equal(resident(&s), 0);
    memset(s.store->where(s.store, s.block, 7, GW_STORE_OVERWRITE), 0x5a, PAGE);
    assert_int_equal(s.store->place(s.store, s.block, 7, NULL), 0);
    assert_int_equal(s.store->zero(s.store, s.block, 7, NULL), 0);
    for (unsigned i = 0; i < PAGE; i++)
        assert_int_equal(s.host[7 * PAGE + i], 0);
    close_side(&s);

    open_side(&s, 0);
    memset(s.host, 0xa5, (size_t)PAGES * PAGE);
    assert_int_equal(s.store->zero(s.store, s.block, PAGES - 1, NULL), 0);
    assert_int_equal(s.host[(size_t)PAGES * PAGE - 1], 0);
    assert_int_equal(s.host[(size_t)(PAGES - 1) * PAGE - 1], 0xa5);
    close_side(&s);
}

/* Only pages without contents are open, and a wrong guess leaves zeros in that page alone. */
static void test_open(void **state)
{
    struct side s;

    (void)state;
    open_side(&s, 0);
    memset(s.host, 0xa5, (size_t)PAGES * PAGE);
    assert_int_equal(s.store->open(s.store, s.block, 3, 10), 3);
    assert_int_equal(s.store->place(s.store, s.block, 3, NULL), 0);
    assert_int_equal(s.store->zero(s.store, s.block, 4, NULL), 0);
    assert_int_equal(s.store->open(s.store, s.block, 3, 10), 5);
    for (unsigned i = 5; i < 10; i++)
        assert_int_equal(s.store->place(s.store, s.block, i, NULL), 0);
    assert_int_equal(s.store->open(s.store, s.block, 3, 10), 10);
    assert_int_equal(s.store->open(s.store, s.block, 10, 10), 10);
    s.store->unguess(s.store, s.block, 11);
    assert_int_equal(s.store->open(s.store, s.block, 11, 12), 11);
    assert_int_equal(s.host[11 * PAGE], 0);
    assert_int_equal(s.host[12 * PAGE - 1], 0);
    assert_int_equal(s.host[11 * PAGE - 1], 0xa5);
    assert_int_equal(s.host[12 * PAGE], 0xa5);
    close_side(&s);
}

/* What is expected is present before it comes, and no more than that. */
static void test_expect(void **state)
{
    struct side s;

    (void)state;
    open_side(&s, GW_RAM_FRESH);
    s.store->expect(s.store, s.block, 10, 20);
    assert_true(resident(&s) == 20 || resident(&s) == 0); /* a kernel before 5.14 cannot, which is no error */
    s.store->expect(s.store, s.block, 30, 10);
    assert_true(resident(&s) == 30 || resident(&s) == 0);
    assert_int_equal(s.store->missing(s.store, s.block), PAGES);
    close_side(&s);
}

/* After a reset it is as new: blocks can be added again, and nothing has come. */
static void test_reset(void **state)
{
    struct side s;

    (void)state;
    open_side(&s, 0);
    for (unsigned turn = 0; turn < 3; turn++) {
        for (unsigned i = 0; i < PAGES; i += 3)
            assert_int_equal(s.store->place(s.store, s.block, i, NULL), 0);
        assert_int_equal(s.store->missing(s.store, s.block), PAGES - PAGES / 3);
        s.store->reset(s.store);
        assert_int_equal(s.store->missing(s.store, s.block), 0);
        assert_int_equal(s.store->add(s.store, s.block, NULL), 0);
        assert_int_equal(s.store->missing(s.store, s.block), PAGES);
    }
    close_side(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zero),
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_expect),
        cmocka_unit_test(test_reset),
    };

    return cmocka_run_group_tests_name("direct", tests, NULL, NULL);
}
