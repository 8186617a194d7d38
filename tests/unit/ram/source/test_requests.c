/* SPDX-License-Identifier: MIT
 *
 * Pages that are asked for, in front of all others; each once, and host pages whole.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>

#define LARGE (10 * PER + 3) /* its last host page is cut */
#include "asked.h"

static int open_rig(void **state)
{
    struct rig *t = rig_new();
    struct gw_error err = GW_ERROR_INIT;
    struct gw_source *dirty;

    must(gw_source_dirty_new(&t->ram, t->tracker, false, &dirty, &err), &err);
    must(gw_source_requests_new(dirty, &t->ram, &t->source, &t->requests, &err), &err);
    rig_begin(t);
    *state = t;
    return 0;
}

static int close_rig(void **state)
{
    rig_free(*state);
    return 0;
}

/* Before it is opened nothing is given out of its order. */
static void test_closed(void **state)
{
    struct rig *t = *state;

    ask(t, "small", 100, 1);
    expect(t, 5, "small", 0, 5);
    assert_false(gw_requests_urgent(t->requests));
    assert_true(gw_requests_waiting(t->requests));
}

static void test_order(void **state)
{
    struct rig *t = *state;

    gw_requests_open(t->requests);
    expect(t, 4, "small", 0, 4);
    ask(t, "small", 300, 1);
    ask(t, NULL, 200, 2);
    ask(t, "small", 2, 1); /* it has gone */
    assert_int_equal(gw_requests_count(t->requests), 3);
    expect(t, 4, "small", 300, 1);
    assert_true(gw_requests_urgent(t->requests));
    expect(t, 4, "small", 200, 2);
    assert_true(gw_requests_urgent(t->requests));
    /* What lies behind the last one that was still due, then where it was. */
    expect(t, 4, "small", 202, GW_REQUESTS_NEIGHBOURS);
    assert_false(gw_requests_urgent(t->requests));
    assert_false(gw_requests_waiting(t->requests));
    expect(t, 4, "small", 4, 4);
    all_came(t, 7);
}

/* What is held back is everything but what was asked for. */
static void test_hold(void **state)
{
    struct rig *t = *state;

    gw_requests_open(t->requests);
    gw_requests_hold(t->requests, true);
    assert_int_equal(take(t, 4), 0);
    ask(t, "small", 9, 1);
    expect(t, 4, "small", 9, 1);
    assert_int_equal(take(t, 4), 0);
    gw_requests_hold(t->requests, false);
    expect(t, 4, "small", 10, GW_REQUESTS_NEIGHBOURS);
    all_came(t, 7);
}

/* A large host page goes whole and in one piece: the one that was begun before the one that is asked for. */
static void test_host_pages(void **state)
{
    struct rig *t = *state;

    gw_requests_open(t->requests);
    while (take(t, 512) && t->batch.block == t->ram.blocks[0])
        ;
    assert_int_equal(t->batch.page[0], 0); /* the first batch of "large": as much as its chunk has */
    memset(t->given, 0, sizeof t->given);
    t->source->end(t->source);
    must(t->source->begin(t->source, (bool[]){false, true}, &(struct gw_error)GW_ERROR_INIT), NULL);
    gw_requests_open(t->requests);
    expect(t, 3, "large", 0, 3);
    assert_false(t->batch.goes_on);
    ask(t, "large", 5 * PER, PER);
    expect(t, 3, "large", 3, PER - 3);
    assert_true(t->batch.goes_on && !t->batch.urgent); /* the same way */
    expect(t, 3, "large", 5 * PER, PER);
    assert_false(t->batch.goes_on);
    assert_true(gw_requests_urgent(t->requests));
    ask(t, "large", 10 * PER, PER); /* the last one, which is cut */
    expect(t, 3, "large", 10 * PER, LARGE - 10 * PER);
    while (take(t, 7))
        for (unsigned i = 1; i < t->batch.count; i++)
            assert_int_equal(t->batch.page[i], t->batch.page[i - 1] + 1);
    for (unsigned i = 0; i < LARGE; i++)
        assert_true(t->given[1][i]);
}

/* Where all went already, the first host page of what goes is due again; where something is due, nothing becomes so. */
static void test_one_is_owed(void **state)
{
    struct rig *t = *state;
    uint64_t due = t->source->pending(t->source);

    gw_requests_owe_one(t->requests);
    assert_int_equal(t->source->pending(t->source), due);
    while (take(t, 512))
        ;
    assert_int_equal(t->source->pending(t->source), 0);
    gw_requests_owe_one(t->requests);
    assert_int_equal(t->source->pending(t->source), 1);
    gw_requests_open(t->requests);
    memset(t->given, 0, sizeof t->given);
    expect(t, 512, "small", 0, 1);
    assert_int_equal(take(t, 512), 0);

    t->source->end(t->source);
    must(t->source->begin(t->source, (bool[]){false, true}, &(struct gw_error)GW_ERROR_INIT), NULL);
    while (take(t, 512))
        ;
    gw_requests_owe_one(t->requests);
    assert_int_equal(t->source->pending(t->source), PER);
    memset(t->given, 0, sizeof t->given);
    expect(t, 512, "large", 0, PER);
}

/* A host page of which a part went before is due again as a whole. */
static void test_parts_become_whole(void **state)
{
    struct rig *t = *state;
    uint64_t first, end;

    t->source->end(t->source);
    must(t->source->begin(t->source, (bool[]){false, true}, &(struct gw_error)GW_ERROR_INIT), NULL);
    expect(t, PER + 3, "large", 0, PER + 3);
    gw_requests_open(t->requests);
    assert_true(t->source->due(t->source, t->ram.blocks[1], 0, &first, &end));
    assert_int_equal(first, PER);
    assert_int_equal(end, LARGE);
    memset(t->given, 0, sizeof t->given);
    while (take(t, PER))
        ;
    for (unsigned i = 0; i < LARGE; i++)
        assert_int_equal(t->given[1][i], i >= PER);
    assert_false(t->source->due(t->source, t->ram.blocks[0], 0, &first, &end));
}

static void test_bad_requests(void **state)
{
    static const struct {
        const char *block;
        uint64_t offset, bytes;
        const char *why;
    } bad[] = {
        {NULL, 0, PAGE, "no request before it has named a block"},
        {"none", 0, PAGE, "block none, which is not sent"},
        {"small", 0, 0, "whose pages have 4096 bytes"},
        {"small", 1, PAGE, "whose pages have 4096 bytes"},
        {"small", 0, PAGE + 1, "whose pages have 4096 bytes"},
        {"large", PAGE, HOST, "whose pages have 65536 bytes"},
        {"large", 0, PAGE, "whose pages have 65536 bytes"},
        {"small", (uint64_t)SMALL * PAGE, PAGE, "which has 0x258000"},
        {"small", (uint64_t)(SMALL - 1) * PAGE, 2 * PAGE, "which has 0x258000"},
        {"small", UINT64_MAX - PAGE + 1, PAGE, "which has 0x258000"},
        {"large", (uint64_t)(LARGE + 20) / PER * HOST, HOST, "which has 0xa3000"},
    };
    struct rig *t = *state;

    gw_requests_open(t->requests);
    for (size_t i = 0; i < GW_ARRAY_LEN(bad); i++) {
        struct gw_error err = GW_ERROR_INIT;

        assert_int_equal(gw_requests_ask(t->requests, bad[i].block, bad[i].offset, bad[i].bytes, &err), -EPROTO);
        assert_int_equal(err.blame, GW_BLAME_PEER);
        if (!strstr(err.text, bad[i].why))
            print_error("%s: not %s\n", err.text, bad[i].why);
        assert_non_null(strstr(err.text, bad[i].why));
    }
    assert_false(gw_requests_waiting(t->requests));
    assert_int_equal(gw_requests_count(t->requests), 0);
}

static void *flood(void *arg)
{
    struct rig *t = arg;
    int r = 0;

    for (unsigned i = 0; r >= 0; i++)
        r = gw_requests_ask(t->requests, "small", (uint64_t)(i % SMALL) * PAGE, PAGE, NULL);
    return (void *)(intptr_t)r;
}

/* Who asks for more than there is room for waits until some was served, or nobody serves any more. */
static void test_flood(void **state)
{
    struct rig *t = *state;
    pthread_t thread;
    void *r;

    gw_requests_open(t->requests);
    assert_int_equal(pthread_create(&thread, NULL, flood, t), 0);
    while (gw_requests_count(t->requests) < GW_REQUESTS_MAX)
        sched_yield();
    assert_int_equal(gw_requests_count(t->requests), GW_REQUESTS_MAX);
    while (gw_requests_count(t->requests) < 2 * GW_REQUESTS_MAX)
        take(t, 7);
    gw_requests_close(t->requests);
    pthread_join(thread, &r);
    assert_int_equal((intptr_t)r, -ECANCELED);
    assert_false(gw_requests_waiting(t->requests));
    all_came(t, 7);
}

/* All has been given: requests that come late, in whatever number, wait for nothing. */
static void test_late(void **state)
{
    struct rig *t = *state;

    gw_requests_open(t->requests);
    all_came(t, 7);
    ask(t, "small", 1, 1);
    gw_requests_finish(t->requests);
    assert_false(gw_requests_waiting(t->requests));
    for (unsigned i = 0; i < 3 * GW_REQUESTS_MAX; i++)
        ask(t, "small", i % SMALL, 1);
    assert_false(gw_requests_waiting(t->requests));
    assert_int_equal(take(t, 7), 0);
    assert_int_equal(gw_requests_count(t->requests), 1 + 3 * GW_REQUESTS_MAX);
}

/* A source that gives pages in its own order only cannot serve. */
static struct gw_source *free_it(struct gw_source *s)
{
    free(s);
    return NULL;
}

static void test_needs_take(void **state)
{
    struct rig *t = *state;
    struct gw_source *plain = calloc(1, sizeof *plain), *source = NULL;
    struct gw_requests *requests = NULL;
    struct gw_error err = GW_ERROR_INIT;

    plain->free = free_it;
    assert_int_equal(gw_source_requests_new(plain, &t->ram, &source, &requests, &err), -ENOTSUP);
    assert_non_null(strstr(err.text, "postcopy-ram"));
    assert_null(source);
}

/* ---- served apart ------------------------------------------------------------------------------------------------ */

static void count_wakes(void *opaque)
{
    ++*(unsigned *)opaque;
}

/* What is served next; each page of it for the first time. */
static unsigned serve(struct rig *t)
{
    struct gw_batch *b = &t->batch;
    int r = gw_requests_serve(t->requests, b, NULL);

    assert_int_equal(r, b->count > 0);
    for (unsigned i = 0; i < b->count; i++) {
        assert_false(t->given[b->block->index][b->page[i]]);
        t->given[b->block->index][b->page[i]] = true;
    }
    return b->count;
}

static void serves(struct rig *t, const char *block, uint64_t first, unsigned count)
{
    assert_int_equal(serve(t), count);
    assert_string_equal(t->batch.block->name, block);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(t->batch.page[i], first + i);
}

/* Host page by host page; the source has the rest, with the neighbours first. */
static void test_apart(void **state)
{
    struct rig *t = *state;
    unsigned wakes = 0;

    gw_requests_open(t->requests);
    gw_requests_serve_apart(t->requests, count_wakes, &wakes);
    ask(t, "small", 100, 2);
    ask(t, "large", 2 * PER, 2 * PER);
    assert_false(gw_requests_waiting(t->requests)); /* for the source */
    serves(t, "small", 100, 1);
    serves(t, "small", 101, 1);
    serves(t, "large", 2 * PER, PER);
    serves(t, "large", 3 * PER, PER);
    expect(t, 8, "large", 4 * PER, LARGE - 4 * PER);
    ask(t, "large", 2 * PER, PER); /* it went */
    gw_requests_finish(t->requests);
    assert_int_equal(serve(t), 0);
    all_came(t, 7);
    assert_int_equal(wakes, 0);
}

/* Of a host page that the source has begun it gives the rest, at once and also while it is held; another goes the other way. */
static void test_collision(void **state)
{
    struct rig *t = *state;
    unsigned wakes = 0;

    gw_requests_open(t->requests);
    gw_requests_serve_apart(t->requests, count_wakes, &wakes);
    while (strcmp(t->batch.block ? t->batch.block->name : "", "large"))
        assert_true(take(t, 4) > 0);
    assert_int_equal(t->batch.page[0], 0);
    gw_requests_hold(t->requests, true);
    ask(t, "large", 0, 2 * PER);
    serves(t, "large", PER, PER);
    assert_int_equal(wakes, 1);
    assert_true(gw_requests_waiting(t->requests));
    for (unsigned at = 4; at < PER; at += t->batch.count) {
        assert_true(take(t, 4) > 0);
        assert_string_equal(t->batch.block->name, "large");
        assert_int_equal(t->batch.page[0], at);
    }
    assert_int_equal(take(t, 4), 0); /* held */
    assert_false(gw_requests_waiting(t->requests));
    gw_requests_hold(t->requests, false);
    gw_requests_finish(t->requests);
    assert_int_equal(serve(t), 0);
    all_came(t, 7);
}

struct server {
    struct rig *rig;
    struct gw_batch batch;
    bool got[2][SMALL];
};

static void *serve_all(void *arg)
{
    struct server *v = arg;

    while (gw_requests_serve(v->rig->requests, &v->batch, NULL) > 0)
        for (unsigned i = 0; i < v->batch.count; i++)
            v->got[v->batch.block->index][v->batch.page[i]] = true;
    return NULL;
}

static void nothing(void *opaque)
{
}

/* Both at once: each page goes one way, and each host page whole. */
static void test_both_at_once(void **state)
{
    struct rig *t = *state;
    struct server *v = calloc(1, sizeof *v);
    pthread_t thread;

    v->rig = t;
    gw_requests_open(t->requests);
    gw_requests_serve_apart(t->requests, nothing, NULL);
    assert_int_equal(pthread_create(&thread, NULL, serve_all, v), 0);
    for (unsigned i = 0; i < 200; i++) {
        ask(t, "small", i * 7 % SMALL, 1);
        ask(t, "large", i * 3 % 10 * PER, PER);
        take(t, 5);
    }
    while (take(t, 5))
        ;
    gw_requests_finish(t->requests);
    pthread_join(thread, NULL);
    while (take(t, 5))
        ;
    assert_int_equal(t->source->pending(t->source), 0);
    for (unsigned i = 0; i < SMALL; i++)
        assert_int_equal(t->given[0][i] + v->got[0][i], 1);
    for (unsigned i = 0; i < LARGE; i++) {
        assert_int_equal(t->given[1][i] + v->got[1][i], 1);
        assert_int_equal(v->got[1][i], v->got[1][i / PER * PER]);
    }
    free(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_closed, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_order, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_hold, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_host_pages, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_one_is_owed, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_parts_become_whole, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_bad_requests, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_flood, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_late, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_needs_take, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_apart, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_collision, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_both_at_once, open_rig, close_rig),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
