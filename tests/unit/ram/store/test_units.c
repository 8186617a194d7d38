/* SPDX-License-Identifier: MIT
 *
 * Units of memory that is filled while a guest runs: which are placed by whom, what has come, and what a page belongs to.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "ram/page/uffd.h"
#include "ram/store/units.h"
#include "../../../privilege.h"

#define OS 4096u

/* Two blocks of the same length, whose memory is full of 0x99. */
struct rig {
    struct gw_ram ram;
    struct gw_unit_table table;
    size_t bytes;
    uint8_t *host[2];
    uint64_t map[2][8];
};

static void open_rig(struct rig *t, uint32_t page_bytes, size_t used_bytes)
{
    memset(t, 0, sizeof *t);
    t->bytes = gw_div_up(used_bytes, (size_t)OS) * OS;
    assert_int_equal(gw_ram_init(&t->ram, page_bytes, NULL, NULL), 0);
    for (unsigned i = 0; i < 2; i++) {
        struct gw_ram_desc d = {.name = i ? "b" : "a", .used_bytes = used_bytes, .gpa = (uint64_t)i << 32};

        t->host[i] = mmap(NULL, t->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_ptr_not_equal(t->host[i], MAP_FAILED);
        memset(t->host[i], 0x99, t->bytes);
        d.host = t->host[i];
        assert_int_equal(gw_ram_add(&t->ram, &d, NULL), 0);
    }
}

static void begin(struct rig *t)
{
    struct gw_error err = GW_ERROR_INIT;

    if (gw_units_begin(&t->table, &t->ram, (uint64_t *[]){t->map[0], NULL}, &err) < 0)
        fail_msg("%s", err.text);
}

static void close_rig(struct rig *t)
{
    gw_units_end(&t->table);
    gw_ram_close(&t->ram);
    for (unsigned i = 0; i < 2; i++)
        munmap(t->host[i], t->bytes);
}

static int put(struct gw_units *u, uint64_t unit, uint8_t value, struct gw_error *err)
{
    uint8_t *from = malloc((size_t)u->unit_bytes);
    int r;

    memset(from, value, (size_t)u->unit_bytes);
    r = gw_unit_put(u, unit, from, err);
    free(from);
    return r;
}

static bool is_all(const uint8_t *p, uint8_t value, size_t bytes)
{
    return p[0] == value && !memcmp(p, p + 1, bytes - 1);
}

/* Target pages of 1 KiB: a unit that came in part is complete and stays; what is there of the others is thrown away. A block whose
 * pages do not come is left alone. */
static void test_begin(void **state)
{
    struct gw_units *u;
    struct rig t;

    open_rig(&t, 1024, 4 * OS);
    gw_bitmap_set(t.map[0], 5); /* of unit 1 */
    begin(&t);
    u = &t.table.of[0];
    assert_int_equal(u->count, 4);
    assert_int_equal(u->unit_pages, 4);
    assert_int_equal(t.map[0][0], 0xf0);
    assert_true(gw_unit_received(u, 1));
    assert_false(gw_unit_received(u, 0));
    assert_int_equal(put(u, 1, 0x11, NULL), 0); /* dropped */
    assert_true(is_all(t.host[0] + OS, 0x99, OS));
    for (unsigned i = 0; i < 4; i++)
        if (i != 1) {
            assert_int_equal(put(u, i, (uint8_t)(0x20 + i), NULL), 0);
            assert_true(is_all(t.host[0] + i * OS, (uint8_t)(0x20 + i), OS));
        }
    assert_int_equal(t.map[0][0], 0xffff);
    assert_null(t.table.of[1].block);
    assert_true(is_all(t.host[1], 0x99, t.bytes));
    close_rig(&t);
}

/* Who comes later drops what he has. What could not be placed may be placed by the next one. */
static void test_placed_once(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_units *u;
    struct rig t;

    open_rig(&t, OS, 8 * OS);
    begin(&t);
    u = &t.table.of[0];
    assert_int_equal(put(u, 2, 0x22, NULL), 0);
    assert_int_equal(gw_unit_put(u, 2, NULL, NULL), 0);
    assert_int_equal(put(u, 2, 0x33, NULL), 0);
    assert_true(is_all(t.host[0] + 2 * OS, 0x22, OS));
    assert_int_equal(gw_unit_put(u, 3, NULL, NULL), 0);
    assert_true(is_all(t.host[0] + 3 * OS, 0, OS));
    assert_int_equal(t.map[0][0], 1 << 2 | 1 << 3);

    /* Somebody has put something there behind its back. */
    assert_int_equal(gw_missing_zero(&u->memory, 5 * OS, OS, NULL), 0);
    assert_int_equal(put(u, 5, 0x55, &err), -EEXIST);
    assert_false(gw_unit_received(u, 5));
    assert_false(gw_bitmap_test(u->claimed, 5));
    assert_int_equal(gw_missing_discard(u->block, u->memory.shared, 5 * OS, OS, NULL), 0);
    assert_int_equal(put(u, 5, 0x56, NULL), 0);
    assert_true(gw_unit_received(u, 5));
    assert_true(is_all(t.host[0] + 5 * OS, 0x56, OS));
    close_rig(&t);
}

/* The block ends inside its last unit: the memory behind is placed with it, but no page that is not there is said to have come. */
static void test_cut(void **state)
{
    struct gw_units *u;
    struct rig t;

    open_rig(&t, 1024, 3 * OS + 1024);
    gw_bitmap_set(t.map[0], 0);
    begin(&t);
    u = &t.table.of[0];
    assert_int_equal(u->count, 4);
    assert_int_equal(gw_unit_pages(u, 2), 4);
    assert_int_equal(gw_unit_pages(u, 3), 1);
    assert_int_equal(put(u, 3, 0x44, NULL), 0);
    assert_true(is_all(t.host[0] + 3 * OS, 0x44, OS));
    assert_int_equal(t.map[0][0], 1 << 12 | 0xf);
    gw_units_end(&t.table);
    memset(t.map, 0, sizeof t.map);
    gw_bitmap_set(t.map[0], 12); /* now it is what came before */
    begin(&t);
    assert_int_equal(t.map[0][0], 1 << 12);
    assert_true(is_all(t.host[0] + 3 * OS, 0x44, OS));
    close_rig(&t);
}

static void test_find(void **state)
{
    uint64_t unit = 99;
    uintptr_t at;
    struct rig t;

    open_rig(&t, OS, 8 * OS);
    begin(&t);
    at = (uintptr_t)t.host[0];
    assert_ptr_equal(gw_units_find(&t.table, at, &unit), &t.table.of[0]);
    assert_int_equal(unit, 0);
    assert_ptr_equal(gw_units_find(&t.table, at + 3 * OS - 1, &unit), &t.table.of[0]);
    assert_int_equal(unit, 2);
    assert_ptr_equal(gw_units_find(&t.table, at + 8 * OS - 1, &unit), &t.table.of[0]);
    assert_int_equal(unit, 7);
    assert_null(gw_units_find(&t.table, at - 1, &unit));
    assert_null(gw_units_find(&t.table, at + 8 * OS, &unit));
    assert_null(gw_units_find(&t.table, (uintptr_t)t.host[1] + OS, &unit)); /* its pages do not come */
    assert_null(gw_units_find(&t.table, 0, &unit));
    close_rig(&t);
}

/* Target pages of 16 KiB on smaller ones of the system: zeros for one address, or for all of the unit; what is there stays. */
static void test_fill(void **state)
{
    static const uint8_t some[OS] = {1};
    struct gw_units *u;
    struct rig t;

    open_rig(&t, 4 * OS, 16 * OS);
    begin(&t);
    u = &t.table.of[0];
    assert_int_equal(u->unit_bytes, 4 * OS);
    assert_int_equal(gw_unit_fill(u, 1, (uintptr_t)t.host[0] + 5 * OS + 77, NULL), 0);
    assert_int_equal(gw_missing_copy(&u->memory, 5 * OS, some, OS, NULL), -EEXIST); /* filled */
    assert_int_equal(gw_missing_copy(&u->memory, 4 * OS, some, OS, NULL), 0);       /* these were not */
    assert_int_equal(gw_missing_copy(&u->memory, 8 * OS, some, OS, NULL), 0);
    assert_int_equal(gw_unit_fill(u, 1, 0, NULL), 0);
    assert_int_equal(gw_missing_copy(&u->memory, 6 * OS, some, OS, NULL), -EEXIST);
    assert_int_equal(gw_missing_copy(&u->memory, 7 * OS, some, OS, NULL), -EEXIST);
    assert_int_equal(t.host[0][4 * OS], 1);
    assert_true(is_all(t.host[0] + 5 * OS, 0, 3 * OS));
    close_rig(&t);
}

/* The second block is somebody else's: the first is plain memory as before, with what it had. */
static void test_refused(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_missing theirs;
    uint64_t features;
    int other;
    struct rig t;

    open_rig(&t, OS, 8 * OS);
    assert_int_equal(gw_uffd_open_missing(&other, &features, &err), 0);
    assert_int_equal(gw_missing_begin(&theirs, other, t.ram.blocks[1], NULL, &err), 0);
    assert_int_equal(gw_units_begin(&t.table, &t.ram, (uint64_t *[]){t.map[0], t.map[1]}, &err), -EBUSY);
    assert_non_null(strstr(err.text, "RAM block b"));
    assert_null(t.table.of);
    assert_int_equal(t.table.uffd, -1);
    assert_true(is_all(t.host[0], 0x99, t.bytes));
    madvise(t.host[0], OS, MADV_DONTNEED);
    assert_int_equal(t.host[0][0], 0); /* nobody watches it */
    gw_missing_end(&theirs);
    close(other);
    gw_units_end(&t.table); /* nothing has begun */
    close_rig(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_begin), cmocka_unit_test(test_placed_once), cmocka_unit_test(test_cut),
        cmocka_unit_test(test_find),  cmocka_unit_test(test_fill),        cmocka_unit_test(test_refused),
    };

    if (!may_answer_faults())
        return EXIT_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
