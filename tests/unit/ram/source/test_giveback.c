/* SPDX-License-Identifier: MIT
 *
 * Memory that the destination has is given back, seen by what of it is resident: when, of which blocks, and in whole
 * host pages.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "ram/source/dirty.h"
#include "ram/source/giveback.h"

#define PAGE  4096u
#define PAGES 1024u

static struct rig {
    struct gw_ram ram;
    struct gw_tracker *tracker;
    struct gw_source *source;
    struct gw_giveback *g;
    struct gw_batch batch;
    uint8_t *mem[2];
    char said[1024];
    int madvise_fails; /* an errno */
    bool no_memory;
} rig;

int __real_madvise(void *at, size_t bytes, int advice);
int __wrap_madvise(void *at, size_t bytes, int advice);
int __wrap_madvise(void *at, size_t bytes, int advice)
{
    if (!rig.madvise_fails)
        return __real_madvise(at, bytes, advice);
    errno = rig.madvise_fails;
    return -1;
}

void *__real_calloc(size_t n, size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes)
{
    return rig.no_memory ? NULL : __real_calloc(n, bytes);
}

static void must(int r, const struct gw_error *err)
{
    if (r < 0)
        print_error("%s\n", err->text);
    assert_true(r >= 0);
}

static void say(void *opaque, const char *text)
{
    struct rig *t = opaque;

    snprintf(t->said + strlen(t->said), sizeof t->said - strlen(t->said), "%s; ", text);
}

static void add(struct rig *t, const char *name, unsigned i, int map, uint64_t host_page)
{
    struct gw_ram_desc d = {
        .name = name, .used_bytes = PAGES * PAGE, .page_bytes = host_page, .gpa = (uint64_t)i << 32};
    struct gw_error err = GW_ERROR_INIT;

    d.host = t->mem[i] = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, map | MAP_ANONYMOUS, -1, 0);
    assert_true(t->mem[i] != MAP_FAILED);
    madvise(t->mem[i], PAGES * PAGE, MADV_NOHUGEPAGE);
    memset(t->mem[i], 7, PAGES * PAGE);
    must(gw_ram_add(&t->ram, &d, &err), &err);
}

static int up_as(uint64_t host_page)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_source *s;

    memset(&rig, 0, sizeof rig);
    must(gw_ram_init(&rig.ram, PAGE, NULL, &err), &err);
    add(&rig, "private", 0, MAP_PRIVATE, host_page);
    add(&rig, "shared", 1, MAP_SHARED, host_page);
    must(gw_tracker_explicit_new(&rig.ram, &rig.tracker, &err), &err);
    must(gw_source_dirty_new(&rig.ram, rig.tracker, false, &s, &err), &err);
    must(gw_source_giveback_new(s, &rig.ram, &rig.source, &rig.g, &err), &err);
    must(rig.source->begin(rig.source, (const bool[]){true, true}, &err), &err);
    return 0;
}

static int up(void **state)
{
    return up_as(PAGE);
}

static int up_large(void **state)
{
    return up_as(16 * PAGE);
}

static int down(void **state)
{
    rig.madvise_fails = 0;
    rig.no_memory = false;
    if (rig.source) {
        rig.source->end(rig.source);
        rig.source->free(rig.source);
    }
    gw_tracker_free(rig.tracker);
    gw_ram_close(&rig.ram);
    for (unsigned i = 0; i < 2; i++)
        munmap(rig.mem[i], PAGES * PAGE);
    return 0;
}

/* Sends `pages` of the block, from `first` on, in batches that come back. */
static void send(unsigned block, uint64_t first, uint64_t pages, bool by_main)
{
    struct gw_error err = GW_ERROR_INIT;

    for (uint64_t n; pages; first += n, pages -= n) {
        n = GW_MIN(pages, (uint64_t)GW_BATCH_PAGES);
        rig.batch.from = by_main ? rig.source : NULL;
        must(rig.source->take(rig.source, &rig.batch, rig.ram.blocks[block], first, n, &err), &err);
        assert_int_equal(rig.batch.count, n);
        rig.source->sent(rig.source, &rig.batch);
    }
}

static void open_it(void)
{
    struct gw_error err = GW_ERROR_INIT;

    must(gw_giveback_open(rig.g, say, &rig, &err), &err);
}

static bool resident(unsigned block, uint64_t page)
{
    unsigned char there;

    assert_int_equal(mincore(rig.mem[block] + page * PAGE, PAGE, &there), 0);
    return there & 1;
}

/* [first, end) of the private block is gone, and marked so; all else is there. */
static void gone(uint64_t first, uint64_t end)
{
    for (uint64_t i = 0; i < PAGES; i++) {
        if (resident(0, i) == (i >= first && i < end))
            fail_msg("page %u is %s", (unsigned)i, resident(0, i) ? "there" : "gone");
        if (first < end)
            assert_int_equal(gw_bitmap_test(rig.ram.blocks[0]->given, i), i >= first && i < end);
    }
    for (uint64_t i = 0; i < PAGES; i++)
        assert_true(resident(1, i) && rig.mem[1][i * PAGE] == 7);
    assert_int_equal(atomic_load(&rig.ram.given), first < end);
}

/* What was sent before the switch and is not due goes when the machine runs there, not before; and not what became due
 * again. */
static void test_clean(void **state)
{
    send(0, 0, 600, true);
    rig.source->owe(rig.source, rig.ram.blocks[0], 500, 20);
    gone(0, 0);
    open_it();
    gone(0, 0);
    assert_false(gw_giveback_runs(rig.g));
    for (unsigned i = 0; i < PAGES; i++)
        assert_int_equal(resident(0, i), i >= 520 ? i >= 600 : i >= 500);
    assert_string_equal(
        rig.said,
        "release-ram: the memory of RAM block shared stays here: other processes can see it (memfd, tmpfs or a file, "
        "mapped shared); ");
}

/* What was never sent, as nobody cares for it, is not ours to give. */
static void test_never_sent(void **state)
{
    uint64_t first, end;

    send(0, 0, 600, true);
    gw_bitmap_clear_range(rig.ram.blocks[0]->dirty, 0, PAGES);
    assert_false(rig.source->due(rig.source, rig.ram.blocks[0], 0, &first, &end));
    open_it();
    assert_false(gw_giveback_runs(rig.g));
    gone(0, 600);
}

/* A page that was sent goes when it has come, which the mark behind it tells. */
static void test_marks(void **state)
{
    open_it();
    assert_false(gw_giveback_runs(rig.g));
    assert_false(gw_giveback_mark(rig.g));
    send(0, 0, GW_GIVEBACK_MARK_PAGES - 1, true);
    assert_false(gw_giveback_mark(rig.g));
    send(0, GW_GIVEBACK_MARK_PAGES - 1, 1, true);
    assert_true(gw_giveback_mark(rig.g));
    send(0, GW_GIVEBACK_MARK_PAGES, 400, true);
    assert_false(gw_giveback_mark(rig.g)); /* one at a time */
    gone(0, 0);
    gw_giveback_came(rig.g);
    gone(0, GW_GIVEBACK_MARK_PAGES);
    assert_true(gw_giveback_mark(rig.g));
    gw_giveback_came(rig.g);
    gone(0, GW_GIVEBACK_MARK_PAGES + 400);
    gw_giveback_all(rig.g);
    gone(0, PAGES);
}

/* A batch from before the switch that comes back behind it says nothing of pages that became due again meanwhile. */
static void test_late(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    must(rig.source->take(rig.source, &rig.batch, rig.ram.blocks[0], 0, 400, &err), &err);
    rig.source->owe(rig.source, rig.ram.blocks[0], 0, 10);
    rig.source->owe(rig.source, rig.ram.blocks[0], 300, 200);
    open_it();
    assert_false(gw_giveback_runs(rig.g));
    rig.batch.from = rig.source;
    rig.source->sent(rig.source, &rig.batch);
    assert_true(gw_giveback_mark(rig.g));
    send(0, 0, 10, true);
    gw_giveback_came(rig.g);
    gone(10, 300);
}

/* No mark follows pages that go by another channel. */
static void test_apart(void **state)
{
    open_it();
    assert_false(gw_giveback_runs(rig.g));
    send(0, 600, 300, false);
    assert_false(gw_giveback_mark(rig.g));
    send(0, 0, 600, true);
    assert_true(gw_giveback_mark(rig.g));
    gw_giveback_came(rig.g);
    gone(0, 600);
}

static void test_host_pages(void **state)
{
    send(0, 0, 70, true);
    open_it();
    assert_false(gw_giveback_runs(rig.g));
    gone(0, 64);
    send(0, 70, 271, true);
    assert_true(gw_giveback_mark(rig.g));
    gw_giveback_came(rig.g);
    gone(0, 336); /* 341 were sent */
}

/* A session that goes on: what the destination has goes at once. */
static void test_goes_on(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_source *s;

    send(0, 0, 100, true);
    open_it();
    assert_false(gw_giveback_runs(rig.g));
    gone(0, 100);
    rig.source->end(rig.source);
    rig.source->free(rig.source);
    must(gw_source_dirty_new(&rig.ram, rig.tracker, false, &s, &err), &err);
    must(gw_source_giveback_new(s, &rig.ram, &rig.source, &rig.g, &err), &err);
    must(rig.source->begin(rig.source, (const bool[]){true, true}, &err), &err);
    assert_int_equal(gw_bitmap_count(rig.ram.blocks[0]->given, PAGES), 100);
    must(rig.source->settle(rig.source, rig.ram.blocks[0], 0, 130, &err), &err);
    open_it();
    assert_false(gw_giveback_runs(rig.g));
    gone(0, 130);
}

/* A machine that was received meanwhile: nothing of it is gone. */
static void test_another_machine(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    send(0, 0, 100, true);
    open_it();
    gw_giveback_runs(rig.g);
    atomic_store(&rig.ram.given, false);
    rig.source->end(rig.source);
    must(rig.source->begin(rig.source, (const bool[]){true, true}, &err), &err);
    assert_int_equal(gw_bitmap_count(rig.ram.blocks[0]->given, PAGES), 0);
}

/* It is only memory: it stays, and is asked for once. */
static void test_kernel_refuses(void **state)
{
    open_it();
    gw_giveback_runs(rig.g);
    rig.said[0] = 0;
    rig.madvise_fails = EINVAL;
    for (unsigned i = 0; i < 2; i++) {
        send(0, 300 * i, 300, true);
        assert_true(gw_giveback_mark(rig.g));
        gw_giveback_came(rig.g);
    }
    rig.madvise_fails = 0;
    gone(0, 0);
    assert_string_equal(rig.said, "release-ram: the memory of RAM block private stays here: Invalid argument; ");
}

static void test_owns(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_source *s = NULL, *none = NULL;
    struct gw_giveback *g;

    must(gw_source_dirty_new(&rig.ram, rig.tracker, false, &s, &err), &err);
    rig.no_memory = true;
    assert_int_equal(gw_source_giveback_new(s, &rig.ram, &none, &g, &err), -ENOMEM);
    rig.source->end(rig.source);
    assert_int_equal(rig.source->begin(rig.source, (const bool[]){true, true}, &err), -ENOMEM);
    rig.no_memory = false;
    assert_null(none);
    must(rig.source->begin(rig.source, (const bool[]){true, true}, &err), &err);
    rig.no_memory = true;
    assert_int_equal(gw_giveback_open(rig.g, say, &rig, &err), -ENOMEM);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_late),
        T(test_clean),
        T(test_never_sent),
        T(test_marks),
        T(test_apart),
        T(test_goes_on),
        T(test_another_machine),
        T(test_kernel_refuses),
        T(test_owns),
        cmocka_unit_test_setup_teardown(test_host_pages, up_large, down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
