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

struct rooms {
    uint64_t limit; /* of offsets that have room */
    unsigned asked;
};

static int room(void *opaque, const struct gw_ram_block *b, uint64_t offset, uint64_t bytes, struct gw_error *err)
{
    struct rooms *r = opaque;

    assert_int_equal(offset % GW_ROOM_BYTES, 0);
    assert_true(bytes == GW_ROOM_BYTES || offset + bytes == b->max_bytes);
    r->asked++;
    return offset < r->limit ? 0 : gw_fail(err, -ENOSPC, GW_BLAME_LOCAL, "no room at 0x%" PRIx64, offset);
}

/* Nothing is written where there is no room, and nothing read: a fault there would end the process. */
static void test_room(void **state)
{
    struct rooms rooms = {.limit = 2 * GW_ROOM_BYTES};
    const unsigned chunk = GW_ROOM_BYTES / PAGE;
    struct gw_error err = GW_ERROR_INIT;
    struct side s;

    (void)state;
    open_side(&s, GW_RAM_FRESH);
    s.store->reset(s.store);
    gw_store_direct_set_room(s.store, room, &rooms);
    assert_int_equal(s.store->add(s.store, s.block, NULL), 0);
    assert_int_equal(mprotect(s.host + 2 * GW_ROOM_BYTES, (size_t)PAGES * PAGE - 2 * GW_ROOM_BYTES, PROT_NONE), 0);
    for (unsigned i = 0; i < 2 * chunk; i++) {
        memset(s.store->where(s.store, s.block, i, GW_STORE_OVERWRITE), 1, PAGE);
        assert_int_equal(s.store->place(s.store, s.block, i, NULL), 0);
    }
    assert_int_equal(rooms.asked, 2);
    assert_int_equal(s.host[2 * GW_ROOM_BYTES - 1], 1);
    /* Zeros twice, a guess that was wrong, pages that are expected: all where nothing was ever written. */
    assert_int_equal(s.store->zero(s.store, s.block, 2 * chunk, NULL), 0);
    assert_int_equal(s.store->zero(s.store, s.block, 2 * chunk, NULL), 0);
    s.store->expect(s.store, s.block, 2 * chunk - 1, 2);
    memset(s.store->where(s.store, s.block, 2 * chunk + 1, GW_STORE_OVERWRITE), 1, PAGE);
    s.store->unguess(s.store, s.block, 2 * chunk + 1);
    assert_int_equal(s.store->place(s.store, s.block, 2 * chunk + 1, &err), -ENOSPC);
    assert_string_equal(err.text, "no room at 0x80000");
    /* Once more from the start, where there is room by now. */
    s.store->reset(s.store);
    rooms.limit = UINT64_MAX;
    assert_int_equal(mprotect(s.host, (size_t)PAGES * PAGE, PROT_READ | PROT_WRITE), 0);
    assert_int_equal(s.store->add(s.store, s.block, NULL), 0);
    memset(s.store->where(s.store, s.block, PAGES - 1, GW_STORE_OVERWRITE), 1, PAGE);
    assert_int_equal(s.store->place(s.store, s.block, PAGES - 1, NULL), 0);
    assert_int_equal(s.host[(size_t)PAGES * PAGE - 1], 1);
    close_side(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zero),
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_expect),
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_room),
    };

    return cmocka_run_group_tests_name("direct", tests, NULL, NULL);
}
