/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "ram/source/dirty.h"

#define PAGE 4096u

static const unsigned pages_of[] = {1, 37, GW_CHUNK_PAGES + 5, 600};
#define BLOCKS GW_ARRAY_LEN(pages_of)

struct rig {
    struct gw_ram ram;
    struct gw_tracker *tracker;
    struct gw_source *source;
    struct gw_batch batch;
    uint8_t *mem[BLOCKS];
    bool *due[BLOCKS]; /* has to come */
    bool *may[BLOCKS]; /* may come: it was written between its chunk's cleaning and now */
    uint64_t seed;
};

static uint64_t rnd(struct rig *t)
{
    t->seed = t->seed * 6364136223846793005ull + 1442695040888963407ull;
    return t->seed >> 33;
}

static void open_rig(struct rig *t, bool holes)
{
    static const bool goes[BLOCKS] = {true, true, true, true};

    memset(t, 0, sizeof *t);
    assert_int_equal(gw_ram_init(&t->ram, PAGE, NULL, NULL), 0);
    for (unsigned i = 0; i < BLOCKS; i++) {
        char name[8] = {'r', (char)('0' + i)};
        struct gw_ram_desc d = {.name = name, .used_bytes = (uint64_t)pages_of[i] * PAGE, .gpa = (uint64_t)i << 32};

        d.host = t->mem[i] = aligned_alloc(PAGE, (size_t)pages_of[i] * PAGE);
        t->due[i] = calloc(pages_of[i], sizeof *t->due[i]);
        t->may[i] = calloc(pages_of[i], sizeof *t->may[i]);
        assert_true(t->mem[i] && t->due[i] && t->may[i]);
        assert_int_equal(gw_ram_add(&t->ram, &d, NULL), 0);
    }
    assert_int_equal(gw_tracker_explicit_new(&t->ram, &t->tracker, NULL), 0);
    assert_int_equal(gw_source_dirty_new(&t->ram, t->tracker, holes, &t->source, NULL), 0);
    assert_int_equal(t->source->begin(t->source, goes, NULL), 0);
    for (unsigned i = 0; i < BLOCKS; i++)
        memset(t->due[i], true, pages_of[i]);
}

static void close_rig(struct rig *t)
{
    t->source->end(t->source);
    assert_null(t->source->free(t->source));
    gw_tracker_free(t->tracker);
    gw_ram_close(&t->ram);
    for (unsigned i = 0; i < BLOCKS; i++) {
        free(t->mem[i]);
        free(t->due[i]);
        free(t->may[i]);
    }
}

/* One batch: only what is due, once, of one block, ascending. */
static unsigned take(struct rig *t, unsigned max)
{
    struct gw_batch *b = &t->batch;

    assert_int_equal(t->source->next(t->source, b, max, NULL), 0);
    assert_true(b->count <= GW_MIN(max, GW_BATCH_PAGES));
    for (unsigned i = 0; i < b->count; i++) {
        assert_true(!i || b->page[i] > b->page[i - 1]);
        assert_true(b->page[i] < b->block->pages);
        assert_int_equal(b->form[i], GW_FORM_OPEN);
        assert_ptr_equal(b->body[i].data, t->mem[b->block->index] + b->page[i] * PAGE);
        assert_int_equal(b->body[i].bytes, PAGE);
        assert_true(t->due[b->block->index][b->page[i]] || t->may[b->block->index][b->page[i]]);
        t->due[b->block->index][b->page[i]] = false;
    }
    return b->count;
}

static unsigned due(const struct rig *t)
{
    unsigned n = 0;

    for (unsigned i = 0; i < BLOCKS; i++)
        for (unsigned k = 0; k < pages_of[i]; k++)
            n += t->due[i][k];
    return n;
}

static void test_first_pass(void **state)
{
    struct rig t;
    unsigned n, total = 0, all;

    (void)state;
    open_rig(&t, false);
    all = due(&t);
    assert_int_equal(t.source->pending(t.source), all);
    do {
        n = take(&t, 1 + (unsigned)rnd(&t) % 700);
        total += n;
        assert_int_equal(t.source->pending(t.source), all - total);
    } while (n);
    assert_int_equal(total, all);
    assert_int_equal(due(&t), 0);
    close_rig(&t);
}

/* Pages that get dirty while a pass goes on come in it or after the next sync, also those behind the search: none is
 * lost, and none comes that was not written. */
static void test_rounds(void **state)
{
    struct rig t;
    uint64_t fresh;

    (void)state;
    open_rig(&t, false);
    t.seed = 7;
    for (unsigned round = 0; round < 60; round++) {
        bool marked[BLOCKS][GW_CHUNK_PAGES + 5] = {{false}};

        for (unsigned n = 1; n;) {
            n = take(&t, 1 + (unsigned)rnd(&t) % 300);
            for (unsigned k = 0; k < rnd(&t) % 4; k++) {
                unsigned b = (unsigned)rnd(&t) % BLOCKS;
                uint64_t first = rnd(&t) % pages_of[b], count = 1 + rnd(&t) % 9;

                gw_tracker_mark(t.tracker, t.ram.blocks[b], first, count);
                for (uint64_t p = first; p < GW_MIN(first + count, (uint64_t)pages_of[b]); p++)
                    marked[b][p] = t.due[b][p] = true;
            }
        }
        assert_int_equal(t.source->sync(t.source, &fresh, NULL), 0);
        for (unsigned b = 0; b < BLOCKS; b++) {
            for (unsigned p = 0; p < pages_of[b]; p++)
                assert_true(!t.due[b][p] || marked[b][p]);
            memcpy(t.may[b], marked[b], pages_of[b]);
        }
        assert_true(t.source->pending(t.source) >= due(&t));
    }
    while (take(&t, 512))
        ;
    assert_int_equal(due(&t), 0);
    assert_int_equal(t.source->pending(t.source), 0);
    close_rig(&t);
}

/* What is marked before the search comes to its chunk goes with this pass, and not again after the next sync. */
static void test_marked_before(void **state)
{
    struct rig t;
    uint64_t fresh;

    (void)state;
    open_rig(&t, false);
    assert_int_equal(take(&t, 20), 1); /* block 0, and no further: blocks 1 to 3 have not been come to */
    for (unsigned b = 0; b < BLOCKS; b++)
        gw_tracker_mark(t.tracker, t.ram.blocks[b], 0, pages_of[b]);
    t.may[0][0] = true;
    while (take(&t, 500))
        ;
    assert_int_equal(due(&t), 0);
    assert_int_equal(t.source->sync(t.source, &fresh, NULL), 0);
    assert_int_equal(fresh, 1);
    assert_int_equal(take(&t, 500), 1);
    assert_ptr_equal(t.batch.block, t.ram.blocks[0]);
    assert_int_equal(take(&t, 500), 0);
    close_rig(&t);
}

/* Only pages that nobody touched are given as zeros, only where they were asked for, and blocks that stay do not come.
 */
static void test_holes(void **state)
{
    static const bool goes[2] = {false, true};
    enum { PAGES = 3000 };
    static bool data[PAGES];
    uint64_t seed = 3;

    (void)state;
    for (unsigned holes = 0; holes < 2; holes++) {
        struct gw_tracker *tracker = NULL;
        struct gw_source *source = NULL;
        static struct gw_batch batch;
        struct gw_ram ram;
        uint8_t *mem[2];
        uint64_t zeros = 0, seen = 0;

        assert_int_equal(gw_ram_init(&ram, PAGE, NULL, NULL), 0);
        for (unsigned i = 0; i < 2; i++) {
            struct gw_ram_desc d = {.name = i ? "b" : "a", .used_bytes = PAGES * PAGE, .gpa = (uint64_t)i << 32};

            d.host = mem[i] = mmap(NULL, d.used_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            assert_ptr_not_equal(mem[i], MAP_FAILED);
            assert_int_equal(gw_ram_add(&ram, &d, NULL), 0);
        }
        for (unsigned p = 0; p < PAGES; p++) {
            seed = seed * 6364136223846793005ull + 1442695040888963407ull;
            data[p] = (seed >> 60) < 3;
            if (data[p])
                mem[1][p * PAGE + (seed >> 33) % PAGE] = 1;
        }
        assert_int_equal(gw_tracker_explicit_new(&ram, &tracker, NULL), 0);
        assert_int_equal(gw_source_dirty_new(&ram, tracker, holes, &source, NULL), 0);
        assert_int_equal(source->begin(source, goes, NULL), 0);
        do {
            assert_int_equal(source->next(source, &batch, 512, NULL), 0);
            for (unsigned i = 0; i < batch.count; i++, seen++) {
                assert_ptr_equal(batch.block, ram.blocks[1]);
                assert_true(batch.form[i] == GW_FORM_OPEN || !data[batch.page[i]]);
                zeros += batch.form[i] == GW_FORM_ZERO;
            }
        } while (batch.count);
        assert_int_equal(seen, PAGES);
        assert_true(holes || !zeros);
        print_message("%" PRIu64 " holes\n", zeros);
        source->end(source);
        source->free(source);
        gw_tracker_free(tracker);
        gw_ram_close(&ram);
        munmap(mem[0], PAGES * PAGE);
        munmap(mem[1], PAGES * PAGE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_holes),
        cmocka_unit_test(test_first_pass),
        cmocka_unit_test(test_rounds),
        cmocka_unit_test(test_marked_before),
    };

    return cmocka_run_group_tests_name("dirty", tests, NULL, NULL);
}
