/* SPDX-License-Identifier: MIT
 *
 * A choice in front of a packing: which ways there are with which peer, and that the inner one is told. (How it is chosen:
 * policy/test_choose.c.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"
#include "godwit/clock.h"
#include "ram/codec/packing.h"
#include "ram/codec/packing_chosen.h"

#define PAGE 4096u

static struct {
    struct gw_packing packing;
    int level, fails;
    unsigned packs, resets, frees;
    bool seen[10]; /* levels */
} inner;
static atomic_bool agreed;
static struct gw_packing *p;
static uint64_t now_ns;

static uint64_t now(void *opaque)
{
    return now_ns += 1000;
}

static const struct gw_clock fake_clock = {GW_SIZED(struct gw_clock), now, NULL, NULL, NULL};

static int inner_set_level(struct gw_packing *x, int level, struct gw_error *err)
{
    inner.level = level;
    inner.seen[level] = true;
    return inner.fails;
}

static int inner_pack(struct gw_packing *x, const uint8_t *const *page, unsigned n, uint32_t page_bytes, uint8_t *dst, size_t room,
                      size_t *ret_bytes, struct gw_error *err)
{
    inner.packs++;
    *ret_bytes = 100;
    return 0;
}

static int inner_reset(struct gw_packing *x, struct gw_error *err)
{
    inner.resets++;
    return 0;
}

static struct gw_packing *inner_free(struct gw_packing *x)
{
    inner.frees++;
    return NULL;
}

static uint64_t no_limit(const void *opaque)
{
    return 0;
}

static void make(enum gw_packet_coding coding, int level, bool yes)
{
    static const struct gw_trace none;
    const struct gw_packing_choice choice = {.agreed = &agreed, .link = no_limit, .level = level, .clock = &fake_clock, .trace = &none};

    memset(&inner, 0, sizeof inner);
    inner.packing = (struct gw_packing){.coding = coding, .set_level = inner_set_level, .pack = inner_pack, .reset = inner_reset,
                                        .free = inner_free};
    agreed = yes;
    assert_int_equal(gw_packing_chosen_new(&choice, &inner.packing, &p, NULL), 0);
    assert_int_equal(p->coding, coding);
}

/* Packets until each way was tried; how many went as they were. */
static unsigned packets(void)
{
    static uint8_t page[PAGE], dst[2 * PAGE];
    const uint8_t *pages[1] = {page};
    unsigned as_is = 0;

    for (unsigned i = 0; i < 2000; i++) {
        size_t bytes = 99;

        assert_int_equal(p->pack(p, pages, 1, PAGE, dst, sizeof dst, &bytes, NULL), 0);
        assert_true(bytes == 0 || bytes == 100);
        as_is += !bytes;
        p->sent(p);
    }
    assert_int_equal(as_is + inner.packs, 2000);
    return as_is;
}

static void done(void)
{
    p->free(p);
    assert_int_equal(inner.frees, 1);
}

/* Who does not take packets as they are gets none; zlib can be stored instead, zstd keeps its level. */
static void test_plain_peer(void **state)
{
    make(GW_PACKET_ZLIB, 6, false);
    assert_int_equal(packets(), 0);
    assert_true(inner.seen[6] && inner.seen[1] && inner.seen[0]);
    done();
    make(GW_PACKET_ZSTD, 6, false);
    assert_int_equal(packets(), 0);
    assert_true(inner.seen[6] && !inner.seen[1] && !inner.seen[0]);
    done();
}

static void test_godwit_peer(void **state)
{
    make(GW_PACKET_ZSTD, 6, true);
    assert_true(packets() > 0);
    assert_true(inner.seen[6] && inner.seen[1] && !inner.seen[0]);
    done();
}

/* It may be agreed on under way. */
static void test_agreed_later(void **state)
{
    make(GW_PACKET_ZSTD, 6, false);
    assert_int_equal(packets(), 0);
    agreed = true;
    inner.packs = 0;
    assert_true(packets() > 0);
    done();
}

static void test_errors(void **state)
{
    static uint8_t page[PAGE];
    const uint8_t *pages[1] = {page};
    size_t bytes;

    make(GW_PACKET_ZLIB, 6, false);
    inner.fails = -ENOMEM;
    assert_int_equal(p->pack(p, pages, 1, PAGE, page, PAGE, &bytes, NULL), -ENOMEM);
    assert_int_equal(inner.packs, 0);
    assert_int_equal(p->reset(p, NULL), 0);
    assert_int_equal(inner.resets, 1);
    done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_plain_peer), cmocka_unit_test(test_godwit_peer),
                                       cmocka_unit_test(test_agreed_later), cmocka_unit_test(test_errors)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
