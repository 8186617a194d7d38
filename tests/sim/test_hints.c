/* SPDX-License-Identifier: MIT
 *
 * Free page hints and discarded ranges: contents that are not needed are not sent, unless they are used again.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../owned.h"
#include "engine/vm.h"
#include "pair.h"

/* ---- R12: the content of hinted pages is not sent ------------------------------------------------------------------- */

#define HINT_AT    (4u << 20)
#define HINT_BYTES (2u << 20)
static uint64_t hinted;
static bool acted;
static int act_result; /* of calls in acts, which must not assert */

/* So slow that the test's action comes before the pages: they would take two minutes. Then it continues at full
 * speed. */
static void fill_slowly(struct pair *p, struct gw_channel **a, struct gw_channel **b)
{
    memset(p->from->ram[0] + HINT_AT, 0xaa, HINT_BYTES);
    hinted = 0;
    acted = false;
    act_result = 0;
    sim_option(p->from, "max-bandwidth", "16K");
}

/* Acts once, while the migration is in progress and the source's machine runs. */
static void act_once(struct pair *p, struct gw_send *send, void (*act)(void *opaque))
{
    if (acted || gw_send_status(send) != GW_STATUS_ACTIVE || !sim_act(p->from, act, p->from))
        return;
    acted = true;
    assert_int_equal(act_result, 0);
    sim_option(p->from, "max-bandwidth", "0");
}

static void hint_range(void *opaque)
{
    hinted = gw_vm_hint_free(((struct sim *)opaque)->vm, "sim.low", HINT_AT, HINT_BYTES);
}

static void hint_once(struct pair *p, struct gw_send *send, struct gw_recv *recv)
{
    act_once(p, send, hint_range);
}

static void compare_hinted(struct pair *p)
{
    /* Pages hinted in time were never sent; the guest writes nothing there (words_per_ms 0). */
    uint64_t there = 0;

    for (uint64_t o = 0; o < HINT_BYTES; o += 4096)
        there += p->to->ram[0][HINT_AT + o] == 0xaa;
    assert_int_equal(there + hinted, HINT_BYTES / 4096);
    memset(p->to->ram[0] + HINT_AT, 0, HINT_BYTES);
    memset(p->from->ram[0] + HINT_AT, 0, HINT_BYTES);
}

static void test_free_page_hint(void **state)
{
    struct pair p = {.mib = 16, .before = fill_slowly, .during = hint_once, .after = compare_hinted};

    pair_run(&p);
    assert_int_equal(p.source_says, GW_OWNER_DESTINATION);
    assert_true(hinted > 0);
    assert_int_equal(p.stats.skipped_pages, hinted);
}

/* A page that is written after the hint is dirty again. */
static uint64_t rewritten;

static void hint_and_write(void *opaque)
{
    struct sim *s = opaque;

    hint_range(s);
    memset(s->ram[0] + HINT_AT, 0xbb, HINT_BYTES / 2);
    rewritten = HINT_BYTES / 2;
}

static void hint_then_write(struct pair *p, struct gw_send *send, struct gw_recv *recv)
{
    act_once(p, send, hint_and_write);
}

static void compare_rewritten(struct pair *p)
{
    for (uint64_t o = 0; o < rewritten; o++)
        assert_int_equal(p->to->ram[0][HINT_AT + o], 0xbb);
    memset(p->to->ram[0] + HINT_AT, 0, HINT_BYTES);
    memset(p->from->ram[0] + HINT_AT, 0, HINT_BYTES);
}

static void test_hint_then_write(void **state)
{
    struct pair p = {.mib = 16, .before = fill_slowly, .during = hint_then_write, .after = compare_rewritten};

    rewritten = 0;
    pair_run(&p);
    assert_int_equal(p.source_says, GW_OWNER_DESTINATION);
    assert_true(hinted > 0 && rewritten > 0);
}

/* ---- R12: discarded ranges ------------------------------------------------------------------------------------------ */

static void discard(struct pair *p, struct gw_channel **a, struct gw_channel **b)
{
    memset(p->from->ram[0] + HINT_AT, 0xcc, HINT_BYTES);
    assert_int_equal(gw_vm_set_discarded(p->from->vm, "sim.low", HINT_AT, HINT_BYTES, true, NULL), 0);
    assert_int_equal(gw_vm_set_discarded(p->from->vm, "sim.low", HINT_AT + 1, HINT_BYTES, true, NULL), -EINVAL);
    assert_int_equal(gw_vm_set_discarded(p->from->vm, "none", 0, 4096, true, NULL), -ENOENT);
}

static void compare_discarded(struct pair *p)
{
    for (uint64_t o = 0; o < HINT_BYTES; o++)
        assert_int_equal(p->to->ram[0][HINT_AT + o], 0);
    memset(p->from->ram[0] + HINT_AT, 0, HINT_BYTES);
}

static void test_discarded(void **state)
{
    struct pair p = {.mib = 16, .before = discard, .after = compare_discarded};

    pair_run(&p);
    assert_int_equal(p.source_says, GW_OWNER_DESTINATION);
    assert_int_equal(p.stats.skipped_pages, HINT_BYTES / 4096);
}

/* During the migration: discarded pages that were not sent yet are not sent; pages plugged again have their new
 * contents. */
static void discard_and_plug(void *opaque)
{
    struct sim *s = opaque;

    act_result = gw_vm_set_discarded(s->vm, "sim.low", HINT_AT, HINT_BYTES, true, NULL);
    memset(s->ram[0] + HINT_AT, 0xdd, HINT_BYTES);
    if (!act_result)
        act_result = gw_vm_set_discarded(s->vm, "sim.low", HINT_AT + HINT_BYTES / 2, HINT_BYTES / 2, false, NULL);
}

static void discard_late(struct pair *p, struct gw_send *send, struct gw_recv *recv)
{
    act_once(p, send, discard_and_plug);
}

static uint64_t kept_out;

static void compare_discarded_late(struct pair *p)
{
    kept_out = 0;
    for (uint64_t o = 0; o < HINT_BYTES / 2; o += 4096)
        kept_out += p->to->ram[0][HINT_AT + o] == 0;
    for (uint64_t o = HINT_BYTES / 2; o < HINT_BYTES; o++)
        assert_int_equal(p->to->ram[0][HINT_AT + o], 0xdd);
    memset(p->to->ram[0] + HINT_AT, 0, HINT_BYTES);
    memset(p->from->ram[0] + HINT_AT, 0, HINT_BYTES);
}

static void test_discarded_late(void **state)
{
    struct pair p = {.mib = 16, .before = fill_slowly, .during = discard_late, .after = compare_discarded_late};

    pair_run(&p);
    assert_int_equal(p.source_says, GW_OWNER_DESTINATION);
    assert_true(kept_out > 0 && p.stats.skipped_pages >= kept_out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        owned_test(test_free_page_hint),
        owned_test(test_hint_then_write),
        owned_test(test_discarded),
        owned_test(test_discarded_late),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
