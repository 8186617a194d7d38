/* SPDX-License-Identifier: MIT
 *
 * RAM blocks and the list of them: what is refused, by which words, and that a refused block changes nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "ram/page/block.h"

#define FAILING_COUNTDOWN
#include "../../../failing.h"

#define PAGE 4096u

static _Alignas(64) uint8_t memory[64];

/* No block's memory is looked at here. */
static struct gw_ram_desc desc(const char *name, uint64_t gpa, uint64_t bytes)
{
    return (struct gw_ram_desc){.name = name, .host = memory, .gpa = gpa, .used_bytes = bytes};
}

static struct gw_ram *ram_new(void)
{
    struct gw_ram *ram = calloc(1, sizeof *ram);

    assert_int_equal(gw_ram_init(ram, PAGE, NULL, NULL), 0);
    return ram;
}

static void ram_drop(struct gw_ram *ram)
{
    gw_ram_close(ram);
    free(ram);
}

static void add(struct gw_ram *ram, const char *name, uint64_t gpa, uint64_t bytes)
{
    struct gw_ram_desc d = desc(name, gpa, bytes);
    struct gw_error err = GW_ERROR_INIT;

    if (gw_ram_add(ram, &d, &err) < 0)
        fail_msg("%s: %s", name, err.text);
}

static void test_page_sizes(void **state)
{
    static const uint32_t wrong[] = {0, 1, 512, 1023, 1025, 3000, 65537, 131072, UINT32_MAX};

    for (size_t i = 0; i < GW_ARRAY_LEN(wrong); i++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_ram ram = {.count = 77};

        assert_int_equal(gw_ram_init(&ram, wrong[i], NULL, &err), -EINVAL);
        assert_int_equal(err.blame, GW_BLAME_CALLER);
        assert_non_null(strstr(err.text, "bytes: a power of two from 1024 to 65536 is needed"));
        assert_int_equal(ram.count, 77);
    }
    for (uint32_t bytes = 1024; bytes <= 65536; bytes *= 2) {
        struct gw_ram ram;

        assert_int_equal(gw_ram_init(&ram, bytes, &ram, NULL), 0);
        assert_int_equal(1u << ram.page_bits, bytes);
        assert_ptr_equal(ram.opaque, &ram);
        gw_ram_close(&ram);
        gw_ram_close(&ram); /* again, and of one that never was */
    }
}

static void test_added(void **state)
{
    struct gw_ram_desc d = desc("a", 0x10000, 3 * PAGE);
    struct gw_ram *ram = ram_new();
    char name[] = "long-lived";

    d.name = name;
    d.max_bytes = 8 * PAGE;
    d.flags = GW_RAM_RESIZEABLE;
    assert_int_equal(gw_ram_add(ram, &d, NULL), 0);
    name[0] = 'x'; /* it was copied */
    assert_int_equal(ram->count, 1);
    assert_string_equal(ram->blocks[0]->name, "long-lived");
    assert_int_equal(ram->blocks[0]->pages, 3);
    assert_int_equal(ram->blocks[0]->max_bytes, 8 * PAGE);
    assert_int_equal(ram->blocks[0]->page_bytes, sysconf(_SC_PAGESIZE));
    assert_int_equal(ram->blocks[0]->flags, GW_RAM_RESIZEABLE);
    add(ram, "b", 0, PAGE);
    assert_int_equal(ram->blocks[1]->max_bytes, PAGE);
    assert_int_equal(ram->blocks[1]->index, 1);
    ram_drop(ram);
}

static void refuse(struct gw_ram *ram, const struct gw_ram_desc *d, int code, const char *text)
{
    struct gw_error err = GW_ERROR_INIT;
    unsigned count = ram->count;

    assert_int_equal(gw_ram_add(ram, d, &err), code);
    assert_int_equal(err.blame, GW_BLAME_CALLER);
    if (!strstr(err.text, text))
        fail_msg("'%s' is not in '%s'", text, err.text);
    assert_int_equal(ram->count, count);
}

static void test_refused(void **state)
{
    struct gw_ram *ram = ram_new();
    struct gw_ram_desc d;
    char name[257];

    d = desc(NULL, 0, PAGE);
    refuse(ram, &d, -EINVAL, "a RAM block's name has 1 to 255 bytes, not 0");
    d.name = "";
    refuse(ram, &d, -EINVAL, "not 0");
    memset(name, 'n', 256);
    name[256] = 0;
    d.name = name;
    refuse(ram, &d, -EINVAL, "not 256");
    name[255] = 0;
    assert_int_equal(gw_ram_add(ram, &d, NULL), 0);
    refuse(ram, &d, -EEXIST, "is there already");

    d = desc("a", 1 << 20, 0);
    refuse(ram, &d, -EINVAL, "RAM block a: 0 of 0 bytes at ");
    d.used_bytes = PAGE + 1;
    refuse(ram, &d, -EINVAL, "sizes must be multiples of the page (4096)");
    d.used_bytes = PAGE;
    d.max_bytes = PAGE + 512;
    refuse(ram, &d, -EINVAL, "RAM block a: 4096 of 4608 bytes");
    d.used_bytes = 2 * PAGE;
    d.max_bytes = PAGE;
    refuse(ram, &d, -EINVAL, "RAM block a: 8192 of 4096 bytes");
    d = desc("a", 1 << 20, PAGE);
    d.host = NULL;
    refuse(ram, &d, -EINVAL, "RAM block a");
    d = desc("a", 1 << 20, PAGE);
    d.flags = GW_RAM_ELSEWHERE; /* with memory after all */
    refuse(ram, &d, -EINVAL, "RAM block a");
    d = desc("a", 1 << 20, PAGE);
    d.host = memory + 32;
    refuse(ram, &d, -EINVAL, "is not aligned to 64 bytes");
    d = desc("a", UINT64_MAX - PAGE + 1, PAGE);
    refuse(ram, &d, -EINVAL, "RAM block a ends beyond the address space");
    d.gpa = UINT64_MAX - 2 * PAGE + 1;
    d.max_bytes = 2 * PAGE;
    refuse(ram, &d, -EINVAL, "RAM block a ends beyond the address space");
    d = desc("a", 1 << 20, PAGE);
    d.page_bytes = 1024;
    refuse(ram, &d, -EINVAL, "RAM block a: its host pages cannot have 1024 bytes");
    d.page_bytes = 3 * PAGE;
    refuse(ram, &d, -EINVAL, "RAM block a: its host pages cannot have 12288 bytes");
    d.page_bytes = 2 << 20;
    assert_int_equal(gw_ram_add(ram, &d, NULL), 0);
    assert_int_equal(ram->count, 2);
    ram_drop(ram);
}

/* By a single byte, from either side, around and inside; and by the room to grow. */
static void test_overlaps(void **state)
{
    static const struct {
        uint64_t gpa, bytes;
        bool good;
    } rows[] = {
        {0x10000, 0x4000, false}, {0xf000, 0x2000, false},  {0xf000, 0x1000, true},   {0x13000, 0x1000, false},
        {0x14000, 0x1000, false}, {0x17000, 0x1000, false}, {0x18000, 0x1000, true},  {0x12000, 0x1000, false},
        {0x0, 0x20000, false},    {0x0, 0x10000, true},     {0xe001, 0x2000, false},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        struct gw_ram_desc old = desc("old", 0x10000, 0x4000), d = desc("new", rows[i].gpa, rows[i].bytes);
        struct gw_ram *ram = ram_new();

        old.max_bytes = 0x8000;
        assert_int_equal(gw_ram_add(ram, &old, NULL), 0);
        if (rows[i].good)
            assert_int_equal(gw_ram_add(ram, &d, NULL), 0);
        else
            refuse(ram, &d, -EINVAL, "RAM blocks new and old overlap at guest address 0x");
        ram_drop(ram);
    }
}

static void test_lookups(void **state)
{
    struct gw_ram *ram = ram_new();

    assert_null(gw_ram_find(ram, "a"));
    assert_null(gw_ram_at(ram, 0));
    assert_null(gw_ram_behind(ram, 0));
    add(ram, "high", 0x40000, 2 * PAGE);
    add(ram, "low", 0x1000, PAGE);
    add(ram, "top", UINT64_MAX - 2 * PAGE + 1, PAGE);
    assert_string_equal(gw_ram_find(ram, "low")->name, "low");
    assert_null(gw_ram_find(ram, "lo"));
    assert_null(gw_ram_find(ram, "LOW"));
    assert_null(gw_ram_at(ram, 0xfff));
    assert_string_equal(gw_ram_at(ram, 0x1000)->name, "low");
    assert_string_equal(gw_ram_at(ram, 0x1fff)->name, "low");
    assert_null(gw_ram_at(ram, 0x2000));
    assert_string_equal(gw_ram_at(ram, UINT64_MAX - PAGE)->name, "top");
    assert_null(gw_ram_at(ram, UINT64_MAX));
    assert_string_equal(gw_ram_behind(ram, 0)->name, "low");
    assert_string_equal(gw_ram_behind(ram, 0x1000)->name, "high");
    assert_string_equal(gw_ram_behind(ram, 0x40000)->name, "top");
    assert_null(gw_ram_behind(ram, UINT64_MAX));
    ram_drop(ram);
}

/* Those behind it move up, and know it. */
static void test_removed(void **state)
{
    static const char *const names[] = {"a", "b", "c", "d"};

    for (unsigned gone = 0; gone < 4; gone++) {
        struct gw_ram *ram = ram_new();

        for (unsigned i = 0; i < 4; i++)
            add(ram, names[i], i * 0x10000, PAGE);
        gw_ram_remove(ram, ram->blocks[gone]);
        assert_int_equal(ram->count, 3);
        assert_null(gw_ram_find(ram, names[gone]));
        for (unsigned i = 0; i < 3; i++) {
            assert_string_equal(ram->blocks[i]->name, names[i + (i >= gone)]);
            assert_int_equal(ram->blocks[i]->index, i);
        }
        add(ram, names[gone], gone * 0x10000, PAGE);
        assert_int_equal(gw_ram_find(ram, names[gone])->index, 3);
        gw_ram_clear(ram);
        assert_int_equal(ram->count, 0);
        add(ram, "a", 0, PAGE);
        ram_drop(ram);
    }
}

/* Only what is being sent is sealed. */
static void test_seal(void **state)
{
    struct gw_ram *ram = ram_new();
    uint64_t map = 0;

    add(ram, "sent", 0, PAGE);
    add(ram, "not", 0x10000, PAGE);
    ram->blocks[0]->dirty = &map;
    gw_ram_seal(ram, true);
    assert_true(ram->blocks[0]->sealed);
    assert_false(ram->blocks[1]->sealed);
    gw_ram_seal(ram, false);
    assert_false(ram->blocks[0]->sealed);
    ram->blocks[0]->dirty = NULL;
    ram_drop(ram);
}

static void test_rules(void **state)
{
    static const struct {
        unsigned flags;
        uint64_t used;
        bool migrates, writable, shared_file;
    } rows[] = {
        {0, PAGE, true, true, false},
        {GW_RAM_READONLY, PAGE, true, false, false},
        {GW_RAM_NO_MIGRATE, PAGE, false, false, false},
        {0, 0, false, false, false},
        {GW_RAM_SHARED, PAGE, true, true, false},
        {GW_RAM_NAMED_FILE, PAGE, true, true, false},
        {GW_RAM_SHARED | GW_RAM_NAMED_FILE, PAGE, true, true, true},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        struct gw_ram_block b = {.flags = rows[i].flags, .used_bytes = rows[i].used};
        uint64_t map = 0;

        assert_int_equal(gw_ram_migrates(&b), rows[i].migrates);
        assert_int_equal(gw_ram_writable(&b), rows[i].writable);
        assert_int_equal(gw_ram_shared_file(&b), rows[i].shared_file);
        assert_false(gw_ram_logged(&b));
        b.dirty = &map;
        assert_int_equal(gw_ram_logged(&b), rows[i].writable);
    }
}

static void test_tables(void **state)
{
    struct gw_ram_block b = {.index = 2};
    unsigned count = 0;
    uint32_t *t = gw_ram_table(NULL, &count, sizeof *t, &b);

    assert_int_equal(count, 3);
    assert_true(!t[0] && !t[1] && !t[2]);
    t[2] = 5;
    b.index = 1;
    assert_ptr_equal(gw_ram_table(t, &count, sizeof *t, &b), t);
    assert_int_equal(count, 3);
    b.index = 100;
    t = gw_ram_table(t, &count, sizeof *t, &b);
    assert_int_equal(count, 101);
    assert_int_equal(t[2], 5);
    for (unsigned i = 3; i < count; i++)
        assert_int_equal(t[i], 0);
    b.index = 101;
    countdown = 1;
    assert_null(gw_ram_table(t, &count, sizeof *t, &b));
    countdown = 0;
    assert_int_equal(count, 101);
    assert_int_equal(t[2], 5);
    free(t);
}

static void test_listed(void **state)
{
    struct gw_ram_listed l = {0};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_ram *ram = ram_new();

    for (unsigned i = 0; i < 3; i++)
        add(ram, (const char *const[]){"a", "b", "c"}[i], i * 0x10000, PAGE);
    assert_null(gw_ram_listed_find(&l, ram, "b"));
    countdown = 1;
    assert_int_equal(gw_ram_listed_add(&l, ram->blocks[1], &err), -ENOMEM);
    countdown = 0;
    assert_string_equal(err.text, "out of memory (list of RAM blocks)");
    assert_null(gw_ram_listed_find(&l, ram, "b"));
    assert_int_equal(gw_ram_listed_add(&l, ram->blocks[1], &err), 0);
    assert_int_equal(gw_ram_listed_add(&l, ram->blocks[1], &err), 0);
    assert_ptr_equal(gw_ram_listed_find(&l, ram, "b"), ram->blocks[1]);
    assert_null(gw_ram_listed_find(&l, ram, "a"));
    assert_null(gw_ram_listed_find(&l, ram, "c"));
    assert_null(gw_ram_listed_find(&l, ram, "none"));
    gw_ram_listed_clear(&l);
    assert_null(gw_ram_listed_find(&l, ram, "b"));
    gw_ram_listed_clear(&l);
    ram_drop(ram);
}

/* Adding fails at each of its allocations: the list is as before, and goes on. */
static void test_nomem(void **state)
{
    struct gw_ram *ram = ram_new();

    add(ram, "first", 0, PAGE);
    for (unsigned n = 1;; n++) {
        struct gw_ram_desc d = desc("second", 0x10000, PAGE);
        struct gw_error err = GW_ERROR_INIT;
        bool hit;
        int r;

        countdown = n;
        r = gw_ram_add(ram, &d, &err);
        hit = countdown == 0;
        countdown = 0;
        if (!hit) {
            assert_int_equal(n, 3);
            assert_int_equal(r, 0);
            break;
        }
        assert_int_equal(r, -ENOMEM);
        assert_int_equal(err.blame, GW_BLAME_LOCAL);
        assert_non_null(strstr(err.text, "out of memory (RAM block"));
        assert_int_equal(ram->count, 1);
        assert_string_equal(ram->blocks[0]->name, "first");
    }
    assert_int_equal(ram->count, 2);
    ram_drop(ram);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_page_sizes), cmocka_unit_test(test_added),   cmocka_unit_test(test_refused),
        cmocka_unit_test(test_overlaps),   cmocka_unit_test(test_lookups), cmocka_unit_test(test_removed),
        cmocka_unit_test(test_seal),       cmocka_unit_test(test_rules),   cmocka_unit_test(test_tables),
        cmocka_unit_test(test_listed),     cmocka_unit_test(test_nomem),
    };

    return cmocka_run_group_tests_name("block", tests, NULL, NULL);
}
