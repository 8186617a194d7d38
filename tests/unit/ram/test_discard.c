/* SPDX-License-Identifier: MIT
 *
 * What is discarded before a machine goes on elsewhere: all that is due, in commands of at most twelve ranges (docs/wire-format.md
 * 10.3).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/endian.h"
#include "ram/live.h"
#include "ram/source/dirty.h"
#include "ram/source/requests.h"
#include "wire/numbers.h"

#define PAGE  4096u
#define PAGES 64u
#define PER   16u /* target pages of a host page of the second block */

struct rig {
    struct gw_ram ram;
    struct gw_tracker *tracker;
    struct gw_source *source;
    struct gw_requests *requests;
    struct gw_batch batch;
    uint8_t *mem[2];
    struct gw_commands commands;
    /* seen */
    unsigned count, ranges[8];
    char name[8][16];
    bool due[2][PAGES];
};

static void put(struct gw_commands *c, uint16_t number, const void *payload, uint16_t bytes)
{
    struct rig *t = c->opaque;
    const uint8_t *p = payload;
    unsigned n = p[1], block;

    assert_int_equal(number, GW_COMMAND_POSTCOPY_RAM_DISCARD);
    assert_true(t->count < 8 && n < 16);
    assert_int_equal(p[0], 0);
    assert_int_equal(p[2 + n], 0);
    assert_int_equal((bytes - 3 - n) % 16, 0);
    memcpy(t->name[t->count], p + 2, n + 1);
    block = strcmp(t->name[t->count], "small") != 0;
    t->ranges[t->count] = (bytes - 3 - n) / 16;
    assert_in_range(t->ranges[t->count], 1, 12);
    for (unsigned i = 0; i < t->ranges[t->count]; i++) {
        uint64_t start = gw_load_be64(p + 3 + n + 16 * i), length = gw_load_be64(p + 3 + n + 16 * i + 8);

        assert_true(length && start % PAGE == 0 && length % PAGE == 0 && start + length <= (uint64_t)PAGES * PAGE);
        for (uint64_t page = start / PAGE; page < (start + length) / PAGE; page++) {
            assert_false(t->due[block][page]);
            t->due[block][page] = true;
        }
    }
    t->count++;
}

static int up(void **state)
{
    struct rig *t = calloc(1, sizeof *t);
    struct gw_source *dirty;
    int r = gw_ram_init(&t->ram, PAGE, NULL, NULL);

    for (unsigned i = 0; r >= 0 && i < 2; i++) {
        struct gw_ram_desc d = {.name = i ? "large" : "small",
                                .used_bytes = (uint64_t)PAGES * PAGE,
                                .page_bytes = i ? PER * PAGE : PAGE,
                                .gpa = (uint64_t)i << 32};

        d.host = t->mem[i] = aligned_alloc(PER * PAGE, (size_t)PAGES * PAGE);
        r = gw_ram_add(&t->ram, &d, NULL);
    }
    if (r >= 0)
        r = gw_tracker_explicit_new(&t->ram, &t->tracker, NULL);
    if (r >= 0)
        r = gw_source_dirty_new(&t->ram, t->tracker, false, &dirty, NULL);
    if (r >= 0)
        r = gw_source_requests_new(dirty, &t->ram, &t->source, &t->requests, NULL);
    if (r >= 0)
        r = t->source->begin(t->source, (bool[]){true, true}, NULL);
    t->commands = (struct gw_commands){.put = put, .opaque = t};
    *state = t;
    return r;
}

static int down(void **state)
{
    struct rig *t = *state;

    t->source->end(t->source);
    t->source->free(t->source);
    gw_tracker_free(t->tracker);
    gw_ram_close(&t->ram);
    free(t->mem[0]);
    free(t->mem[1]);
    free(t);
    return 0;
}

/* Nothing was sent: one range for each block. */
static void test_all(void **state)
{
    struct rig *t = *state;

    gw_ram_discard(&t->ram, t->source, &t->commands);
    assert_int_equal(t->count, 2);
    assert_string_equal(t->name[0], "small");
    assert_string_equal(t->name[1], "large");
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(t->ranges[i], 1);
        for (unsigned page = 0; page < PAGES; page++)
            assert_true(t->due[i][page]);
    }
}

/* Every other page went: more ranges than one command has. */
static void test_many(void **state)
{
    struct rig *t = *state;

    for (unsigned page = 0; page < PAGES; page += 2)
        assert_int_equal(t->source->settle(t->source, t->ram.blocks[0], page, 1, NULL), 0);
    assert_int_equal(t->source->settle(t->source, t->ram.blocks[1], 0, PAGES, NULL), 0);
    gw_ram_discard(&t->ram, t->source, &t->commands);
    assert_int_equal(t->count, 3);
    assert_int_equal(t->ranges[0], 12);
    assert_int_equal(t->ranges[1], 12);
    assert_int_equal(t->ranges[2], 8);
    for (unsigned page = 0; page < PAGES; page++)
        assert_int_equal(t->due[0][page], page % 2);
}

/* A large host page of which a part went is discarded whole; one of which all went is not. */
static void test_whole(void **state)
{
    struct rig *t = *state;

    assert_int_equal(t->source->settle(t->source, t->ram.blocks[0], 0, PAGES, NULL), 0);
    assert_int_equal(t->source->settle(t->source, t->ram.blocks[1], 0, PER + 3, NULL), 0);
    assert_int_equal(t->source->settle(t->source, t->ram.blocks[1], 3 * PER - 1, PER + 1, NULL), 0);
    gw_requests_open(t->requests);
    gw_ram_discard(&t->ram, t->source, &t->commands);
    assert_int_equal(t->count, 1);
    assert_int_equal(t->ranges[0], 1);
    for (unsigned page = 0; page < PAGES; page++)
        assert_int_equal(t->due[1][page], page >= PER && page < 3 * PER);
    /* And just that follows. */
    for (unsigned left = 2 * PER; left; left -= t->batch.count) {
        assert_int_equal(t->source->next(t->source, &t->batch, 5, NULL), 0);
        assert_true(t->batch.count);
        for (unsigned i = 0; i < t->batch.count; i++)
            assert_true(t->due[1][t->batch.page[i]]);
    }
    assert_int_equal(t->source->pending(t->source), 0);
}

/* Nothing is due any more. */
static void test_none(void **state)
{
    struct rig *t = *state;

    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(t->source->settle(t->source, t->ram.blocks[i], 0, PAGES, NULL), 0);
    gw_ram_discard(&t->ram, t->source, &t->commands);
    assert_int_equal(t->count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all, up, down),
        cmocka_unit_test_setup_teardown(test_many, up, down),
        cmocka_unit_test_setup_teardown(test_whole, up, down),
        cmocka_unit_test_setup_teardown(test_none, up, down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
