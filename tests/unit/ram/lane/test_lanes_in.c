/* SPDX-License-Identifier: MIT
 *
 * Lanes that receive: nobody reads past a mark before all have reached theirs and the session says so, and one that fails
 * ends all of them.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "ram/lane/lanes_in.h"

#define FAILING_COUNTDOWN
#include "../../../failing.h"

#define LANES 4u
#define MARK  0xff
#define BAD   0xfe

static _Atomic unsigned layouts, resets, blocks, told, losses;
static _Atomic(struct gw_store *) sinks[LANES]; /* that each lane was given last */
static struct gw_error why;

/* A layout whose records are bytes: a page each, until a mark. */
struct bytes {
    struct gw_layout_in layout;
    unsigned number;
    _Atomic unsigned sum;
};

static int get(struct gw_layout_in *layout, struct gw_reader *r, struct gw_store *store, struct gw_error *err)
{
    struct bytes *l = GW_CONTAINER(layout, struct bytes, layout);
    uint8_t byte;
    int e;

    sinks[l->number] = store;
    while ((e = gw_get_u8(r, &byte, err)) >= 0 && byte != MARK) {
        if (byte == BAD)
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "a bad record");
        if (layout->touched)
            *layout->touched = true;
        l->sum += byte;
        layout->pages[GW_FORM_PLAIN]++;
    }
    return e;
}

static int add(struct gw_layout_in *layout, struct gw_ram_block *b, struct gw_error *err)
{
    if (GW_CONTAINER(layout, struct bytes, layout)->number == 2 && b->index == 9)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "not this one");
    blocks++;
    return 0;
}

static void reset(struct gw_layout_in *layout)
{
    resets++;
}

static struct gw_layout_in *bytes_free(struct gw_layout_in *layout)
{
    layouts--;
    free(layout);
    return NULL;
}

static struct gw_layout_in *bytes_new(unsigned number)
{
    struct bytes *l = calloc(1, sizeof *l);

    layouts++;
    l->layout = (struct gw_layout_in){.add = add, .get = get, .reset = reset, .free = bytes_free};
    l->number = number;
    return &l->layout;
}

/* ---- four lanes over channels in memory --------------------------------------------------------------------------- */

static struct rig {
    struct gw_lanes_in *l;
    struct gw_layout_in *layout[LANES];
    struct gw_channel *here[LANES], *there[LANES];
    unsigned opened, fails_at; /* the n-th open fails */
    atomic_bool touched;
} rig;

static int open_one(void *opaque, unsigned i, struct gw_channel **ret, struct gw_error *err)
{
    assert_ptr_equal(opaque, &rig);
    assert_int_equal(i, rig.opened);
    if (++rig.opened == rig.fails_at)
        return gw_fail(err, -ECONNREFUSED, GW_BLAME_CHANNEL, "channel %u: told to fail", i);
    *ret = rig.here[i];
    return 0;
}

static void failed(void *opaque, const struct gw_error *error)
{
    assert_ptr_equal(opaque, &rig);
    why = *error;
    told++;
}

static void lost(void *opaque, const struct gw_error *error)
{
    failed(opaque, error);
    losses++;
}

static void channels(void)
{
    for (unsigned i = 0; i < LANES; i++) {
        gw_channel_free(rig.here[i]);
        gw_channel_free(rig.there[i]);
        assert_int_equal(gw_channel_memory_pair(100, &rig.here[i], &rig.there[i], NULL), 0);
    }
    rig.opened = 0;
}

static int up(void **state)
{
    struct gw_lanes_config config = {.open = open_one, .opaque = &rig, .failed = failed, .lost = lost};

    memset(&rig, 0, sizeof rig);
    resets = blocks = told = losses = 0;
    channels();
    assert_int_equal(gw_lanes_in_new(&config, &rig.l, NULL), 0);
    for (unsigned i = 0; i < LANES; i++) {
        rig.layout[i] = bytes_new(i);
        assert_int_equal(gw_lanes_in_add(rig.l, rig.layout[i], NULL), 0);
    }
    return 0;
}

static int down(void **state)
{
    rig.l = gw_lanes_in_free(rig.l);
    for (unsigned i = 0; i < LANES; i++) {
        gw_channel_free(rig.here[i]);
        gw_channel_free(rig.there[i]);
    }
    return layouts != 0;
}

static void say(unsigned i, const void *bytes, size_t n)
{
    struct gw_error err = GW_ERROR_INIT;

    if (gw_channel_write_full(rig.there[i], bytes, n, &err) < 0)
        fail_msg("%s", err.text);
}

static unsigned sum(unsigned i)
{
    return GW_CONTAINER(rig.layout[i], struct bytes, layout)->sum;
}

/* What stands behind a mark is read only when the barrier was passed: in every round, for every lane. */
static void test_barriers(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_progress p = {0};

    for (unsigned turn = 0; turn < 2; turn++) { /* begins anew after an end */
        unsigned before[LANES];

        for (unsigned i = 0; i < LANES; i++)
            before[i] = sum(i);
        assert_int_equal(gw_lanes_in_begin(rig.l, NULL, &rig.touched, &err), 0);
        for (unsigned round = 0; round < 20; round++) {
            for (unsigned i = 0; i < LANES; i++) {
                const uint8_t here[] = {1, 2, MARK, 100};

                /* From the second round on, the first byte came with the last one. */
                if (round == 0)
                    say(i, here, 4);
                else
                    say(i, here + 2, 2);
            }
            assert_int_equal(gw_lanes_in_barrier(rig.l, &err), 0);
            /* All up to here, nothing of behind the mark of the round that follows. */
            for (unsigned i = 0; i < LANES; i++) {
                unsigned now = sum(i) - before[i];

                assert_in_range(now, 3 + 100 * round, 3 + 100 * (round + 1));
            }
        }
        gw_lanes_in_end(rig.l);
        assert_int_equal(resets, LANES * (turn + 1));
        channels();
    }
    assert_true(rig.touched);
    gw_lanes_in_progress(rig.l, &p);
    for (unsigned i = 0; i < LANES; i++)
        p.plain_pages -= rig.layout[i]->pages[GW_FORM_PLAIN];
    assert_int_equal(p.plain_pages, 0);
    assert_int_equal(told, 0);
}

/* A lane that has reached its mark waits there, however much stands behind it. */
static void test_waits_at_mark(void **state)
{
    static const uint8_t bytes[] = {5, MARK, 7, MARK, 9};
    struct gw_error err = GW_ERROR_INIT;

    assert_int_equal(gw_lanes_in_begin(rig.l, NULL, NULL, &err), 0);
    say(0, bytes, sizeof bytes);
    say(1, bytes, sizeof bytes);
    say(2, bytes, sizeof bytes);
    while (sum(0) < 5 || sum(1) < 5 || sum(2) < 5)
        sched_yield();
    for (unsigned look = 0; look < 1000; look++) {
        assert_int_equal(sum(0) + sum(1) + sum(2), 15);
        sched_yield();
    }
    say(3, bytes, 2);
    assert_int_equal(gw_lanes_in_barrier(rig.l, &err), 0);
    say(3, "\7\xff", 2);
    assert_int_equal(gw_lanes_in_barrier(rig.l, &err), 0);
    for (unsigned i = 0; i < LANES; i++)
        assert_true(sum(i) == 12 || (i < 3 && sum(i) == 21));
    gw_lanes_in_end(rig.l);
    gw_lanes_in_end(rig.l);
}

/* What is wrong with the bytes is told at once, names its channel, and fails the barrier; the source's lane is cut off. */
static void test_bad_record(void **state)
{
    static const uint8_t good[] = {5, MARK}, bad[] = {5, BAD};
    struct gw_error err = GW_ERROR_INIT;

    assert_int_equal(gw_lanes_in_begin(rig.l, NULL, NULL, &err), 0);
    for (unsigned i = 0; i < LANES; i++)
        say(i, i == 2 ? bad : good, 2);
    assert_int_equal(gw_lanes_in_barrier(rig.l, &err), -EPROTO);
    assert_int_equal(err.blame, GW_BLAME_PEER);
    assert_string_equal(err.text, "page channel 2: a bad record");
    assert_int_equal(told, 1);
    assert_string_equal(why.text, err.text);
    while (!gw_channel_peer_gone(rig.there[2]))
        sched_yield();
    assert_false(gw_channel_peer_gone(rig.there[1]));
    /* It stays so. */
    assert_int_equal(gw_lanes_in_barrier(rig.l, &err), -EPROTO);
    gw_lanes_in_end(rig.l);
    /* And is forgotten with the next one. */
    channels();
    assert_int_equal(gw_lanes_in_begin(rig.l, NULL, NULL, &err), 0);
    for (unsigned i = 0; i < LANES; i++)
        say(i, good, 2);
    assert_int_equal(gw_lanes_in_barrier(rig.l, &err), 0);
}

/* A channel that ends may be the end of the migration: it fails the barrier, and nothing is told. */
static void test_channel_ends(void **state)
{
    static const uint8_t good[] = {5, MARK};
    struct gw_error err = GW_ERROR_INIT;

    assert_int_equal(gw_lanes_in_begin(rig.l, NULL, NULL, &err), 0);
    for (unsigned i = 0; i < LANES; i++)
        say(i, good, i == 1 ? 1 : 2);
    rig.there[1] = gw_channel_free(rig.there[1]);
    assert_int_equal(gw_lanes_in_barrier(rig.l, &err), -ENODATA);
    assert_int_equal(err.blame, GW_BLAME_CHANNEL);
    assert_non_null(strstr(err.text, "page channel 1: "));
    assert_int_equal(told, 0);
    assert_int_equal(gw_lanes_in_barrier(rig.l, NULL), -ENODATA);
}

/* ---- postcopy ------------------------------------------------------------------------------------------------------ */

static unsigned stores;
static unsigned stores_fail; /* the n-th; 0: none */

static struct gw_store *store_free(struct gw_store *s)
{
    stores--;
    free(s);
    return NULL;
}

static int lane_of(struct gw_store *s, struct gw_store **ret, struct gw_error *err)
{
    if (stores + 1 == stores_fail)
        return gw_fail(err, -ENOMEM, GW_BLAME_LOCAL, "no room");
    *ret = calloc(1, sizeof **ret);
    (*ret)->free = store_free;
    stores++;
    return 0;
}

static void begin_and_mark(struct gw_store *store)
{
    struct gw_error err = GW_ERROR_INIT;

    assert_int_equal(gw_lanes_in_begin(rig.l, store, NULL, &err), 0);
    for (unsigned i = 0; i < LANES; i++)
        say(i, "\5\xff", 2);
}

/* All that came before the mark was written; what comes behind it each lane places for itself. */
static void test_follow(void **state)
{
    struct gw_store all = {.lane = lane_of}, rests = {.lane = NULL};
    struct gw_error err = GW_ERROR_INIT;

    begin_and_mark(&all);
    assert_int_equal(gw_lanes_in_follow(rig.l, &err), 0);
    assert_int_equal(stores, LANES);
    for (unsigned i = 0; i < LANES; i++) {
        assert_int_equal(sum(i), 5);
        say(i, "\1\xff", 2);
    }
    assert_int_equal(gw_lanes_in_barrier(rig.l, &err), 0);
    for (unsigned i = 0; i < LANES; i++)
        for (unsigned k = 0; k <= i; k++)
            assert_true(sinks[i] != &all && (i == k || sinks[i] != sinks[k]));
    gw_lanes_in_end(rig.l);
    assert_int_equal(stores, 0);
    assert_int_equal(told, 0); /* it was ended, not lost */

    channels();
    begin_and_mark(&rests); /* nobody runs: they go where they went */
    assert_int_equal(gw_lanes_in_follow(rig.l, &err), 0);
    for (unsigned i = 0; i < LANES; i++)
        say(i, "\1\xff", 2);
    assert_int_equal(gw_lanes_in_barrier(rig.l, &err), 0);
    for (unsigned i = 0; i < LANES; i++)
        assert_ptr_equal(sinks[i], &rests);
    gw_lanes_in_end(rig.l);

    channels();
    stores_fail = 3;
    begin_and_mark(&all);
    assert_int_equal(gw_lanes_in_follow(rig.l, &err), -ENOMEM);
    stores_fail = 0;
    gw_lanes_in_end(rig.l);
    assert_int_equal(stores, 0);
}

/* Pages may be lost with a channel then, which is told, and ends whoever waits, also for those that have not come to their mark. */
static void test_lost(void **state)
{
    struct gw_store all = {.lane = lane_of};
    struct gw_error err = GW_ERROR_INIT;

    begin_and_mark(&all);
    assert_int_equal(gw_lanes_in_follow(rig.l, &err), 0);
    rig.there[1] = gw_channel_free(rig.there[1]);
    assert_int_equal(gw_lanes_in_barrier(rig.l, &err), -ENODATA);
    assert_int_equal(losses, 1);
    assert_int_equal(told, 1);
    assert_non_null(strstr(why.text, "page channel 1: "));
    gw_lanes_in_end(rig.l);
    assert_int_equal(losses, 1);
    assert_int_equal(stores, 0);
}

/* When no more pages come, the lanes still read, and neither a lost channel nor a bad record is told. */
static void test_over(void **state)
{
    struct gw_store all = {.lane = lane_of};
    struct gw_error err = GW_ERROR_INIT;
    const uint8_t bad = BAD;
    unsigned before;

    begin_and_mark(&all);
    assert_int_equal(gw_lanes_in_follow(rig.l, &err), 0);
    gw_lanes_in_over(rig.l);
    before = sum(0);
    say(0, "\7", 1);
    while (sum(0) == before)
        sched_yield();
    say(1, &bad, 1);
    rig.there[2] = gw_channel_free(rig.there[2]);
    while (!gw_channel_peer_gone(rig.there[1]))
        sched_yield();
    assert_false(gw_channel_peer_gone(rig.there[0]));
    assert_false(gw_channel_peer_gone(rig.there[3]));
    gw_lanes_in_end(rig.l);
    assert_int_equal(told, 0);
    assert_int_equal(losses, 0);
}

/* A channel that cannot be opened: those that are open end with the others. */
static void test_open_fails(void **state)
{
    for (rig.fails_at = 1; rig.fails_at <= LANES; rig.fails_at++) {
        struct gw_error err = GW_ERROR_INIT;

        channels();
        assert_int_equal(gw_lanes_in_begin(rig.l, NULL, NULL, &err), -ECONNREFUSED);
        assert_non_null(strstr(err.text, "told to fail"));
        assert_int_equal(rig.opened, rig.fails_at);
        gw_lanes_in_end(rig.l);
        for (unsigned i = 0; i < LANES; i++)
            assert_int_equal(gw_channel_peer_gone(rig.there[i]), i + 1 < rig.fails_at);
    }
}

static void test_blocks(void **state)
{
    struct gw_ram_block b = {.index = 1};
    struct gw_error err = GW_ERROR_INIT;

    assert_int_equal(gw_lanes_in_add_block(rig.l, &b, &err), 0);
    assert_int_equal(blocks, LANES);
    b.index = 9;
    assert_int_equal(gw_lanes_in_add_block(rig.l, &b, &err), -EPROTO);
    assert_int_equal(blocks, LANES + 2);
}

/* One more than there can be is refused, and freed. */
static void test_too_many(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    unsigned n = LANES;

    while (gw_lanes_in_add(rig.l, bytes_new(n), &err) >= 0)
        n++;
    assert_int_equal(n, GW_LANES_MAX);
    assert_int_equal(err.code, -ENOSPC);
    assert_int_equal(err.blame, GW_BLAME_LOCAL);
    assert_int_equal(layouts, GW_LANES_MAX);
}

static void test_nomem(void **state)
{
    const struct gw_lanes_config config = {.open = open_one};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_lanes_in *l = NULL;

    countdown = 1;
    assert_int_equal(gw_lanes_in_new(&config, &l, &err), -ENOMEM);
    countdown = 0;
    assert_string_equal(err.text, "out of memory (lanes)");
    assert_null(l);
    assert_null(gw_lanes_in_free(NULL));
    /* A reader that cannot be made. */
    countdown = 1;
    assert_int_equal(gw_lanes_in_begin(rig.l, NULL, NULL, &err), -ENOMEM);
    countdown = 0;
    gw_lanes_in_end(rig.l);
    channels();
    assert_int_equal(gw_lanes_in_begin(rig.l, NULL, NULL, &err), 0);
}

#define lanes_test(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        lanes_test(test_barriers),  lanes_test(test_waits_at_mark), lanes_test(test_bad_record), lanes_test(test_channel_ends),
        lanes_test(test_open_fails), lanes_test(test_blocks),       lanes_test(test_too_many),   lanes_test(test_nomem),
        lanes_test(test_follow),    lanes_test(test_lost),          lanes_test(test_over),
    };

    return cmocka_run_group_tests_name("lanes_in", tests, NULL, NULL);
}
