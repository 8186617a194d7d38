/* SPDX-License-Identifier: MIT
 *
 * Two blocks, one with large host pages, and a source that is asked for their pages: each page comes once. The test that includes
 * this defines LARGE, the pages of the block with large host pages.
 */
#ifndef TEST_ASKED_H
#define TEST_ASKED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ram/source/dirty.h"
#include "ram/source/requests.h"

#define PAGE   4096u
#define SMALL  600u        /* pages of block "small", whose host pages are target pages */
#define HOST   (64u << 10) /* bytes of a host page of block "large" */
#define PER    (HOST / PAGE)

struct rig {
    struct gw_ram ram;
    struct gw_tracker *tracker;
    struct gw_source *source;
    struct gw_requests *requests;
    struct gw_batch batch;
    uint8_t *mem[2];
    bool given[2][SMALL];
};

static void must(int r, const struct gw_error *err)
{
    if (r < 0)
        print_error("%s\n", err->text);
    assert_true(r >= 0);
}

/* The blocks; all of their pages are due. The source is the caller's to make. */
static struct rig *rig_new(void)
{
    struct rig *t = calloc(1, sizeof *t);
    struct gw_error err = GW_ERROR_INIT;

    must(gw_ram_init(&t->ram, PAGE, NULL, &err), &err);
    for (unsigned i = 0; i < 2; i++) {
        struct gw_ram_desc d = {.name = i ? "large" : "small",
                                .used_bytes = (uint64_t)(i ? LARGE : SMALL) * PAGE,
                                .page_bytes = i ? HOST : PAGE,
                                .gpa = (uint64_t)i << 32};

        d.host = t->mem[i] = aligned_alloc(HOST, ((size_t)SMALL * PAGE + HOST - 1) / HOST * HOST);
        must(gw_ram_add(&t->ram, &d, &err), &err);
    }
    must(gw_tracker_explicit_new(&t->ram, &t->tracker, &err), &err);
    return t;
}

/* What is sent goes by t->source from now on. */
static void rig_begin(struct rig *t)
{
    static const bool goes[2] = {true, true};
    struct gw_error err = GW_ERROR_INIT;

    must(t->source->begin(t->source, goes, &err), &err);
}

static void rig_free(struct rig *t)
{
    t->source->end(t->source);
    t->source->free(t->source);
    gw_tracker_free(t->tracker);
    gw_ram_close(&t->ram);
    free(t->mem[0]);
    free(t->mem[1]);
    free(t);
}

/* The next batch; each page of it for the first time. */
static unsigned take(struct rig *t, unsigned max)
{
    struct gw_batch *b = &t->batch;

    assert_int_equal(t->source->next(t->source, b, max, NULL), 0);
    for (unsigned i = 0; i < b->count; i++) {
        assert_true(b->page[i] < b->block->pages);
        assert_false(t->given[b->block->index][b->page[i]]);
        t->given[b->block->index][b->page[i]] = true;
    }
    return b->count;
}

static void expect(struct rig *t, unsigned max, const char *block, uint64_t first, unsigned count)
{
    assert_int_equal(take(t, max), count);
    assert_string_equal(t->batch.block->name, block);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(t->batch.page[i], first + i);
}

static void ask(struct rig *t, const char *block, uint64_t page, unsigned count)
{
    struct gw_error err = GW_ERROR_INIT;

    must(gw_requests_ask(t->requests, block, page * PAGE, (uint64_t)count * PAGE, &err), &err);
}

/* All that is left, so many pages at a time. */
static void all_came(struct rig *t, unsigned max)
{
    while (take(t, max))
        ;
    assert_int_equal(t->source->pending(t->source), 0);
    for (unsigned i = 0; i < SMALL; i++)
        assert_true(t->given[0][i]);
    for (unsigned i = 0; i < LARGE; i++)
        assert_true(t->given[1][i]);
}

#endif
