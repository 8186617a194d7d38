/* SPDX-License-Identifier: MIT */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "ram/lane/pool.h"

#define BATCHES 3u
#define TAKES   200u /* of each thread */
#define THREADS 5u

struct source {
    struct gw_source source;
    _Atomic unsigned sent;
};

static void sent(struct gw_source *source, struct gw_batch *batch)
{
    atomic_fetch_add(&GW_CONTAINER(source, struct source, source)->sent, 1);
    (void)batch;
}

/* Nothing of the batch's last use is left in it, except the room, and only batches with pages are told of. */
static void test_use(void **state)
{
    struct source s = {.source.sent = sent};
    struct gw_pool p;
    struct gw_batch *b;

    (void)state;
    gw_pool_init(&p);
    assert_true(gw_pool_empty(&p));
    assert_int_equal(gw_pool_fill(&p, 1, NULL), 0);
    b = gw_pool_take(&p, &s.source);
    assert_true(gw_pool_empty(&p));
    assert_ptr_equal(b->from, &s.source);
    assert_non_null(gw_batch_room(b, 0, 4096));
    b->count = 2;
    b->urgent = true;
    b->held = &s;
    gw_pool_give_back(&p, b);
    assert_int_equal(s.sent, 1);
    assert_false(gw_pool_empty(&p));

    assert_ptr_equal(gw_pool_take(&p, NULL), b);
    assert_int_equal(b->count, 0);
    assert_false(b->urgent);
    assert_null(b->held);
    assert_null(b->from);
    b->count = 1; /* of no source */
    gw_pool_give_back(&p, b);
    assert_ptr_equal(gw_pool_take(&p, &s.source), b);
    gw_pool_give_back(&p, b); /* without pages */
    assert_int_equal(s.sent, 1);
    gw_pool_drain(&p);
    assert_true(gw_pool_empty(&p));
    assert_int_equal(gw_pool_fill(&p, 2, NULL), 0); /* can be filled again */
    gw_pool_destroy(&p);
}

struct user {
    struct gw_pool *pool;
    struct source *source;
    _Atomic unsigned *busy;
};

static void *use(void *arg)
{
    struct user *u = arg;
    uintptr_t most = 0;

    for (unsigned i = 0; i < TAKES; i++) {
        struct gw_batch *b = gw_pool_take(u->pool, &u->source->source);
        unsigned busy = atomic_fetch_add(u->busy, 1) + 1;

        most = GW_MAX(most, busy);
        b->count = 1;
        sched_yield(); /* the others come meanwhile, and find none */
        atomic_fetch_sub(u->busy, 1);
        gw_pool_give_back(u->pool, b);
    }
    return (void *)most;
}

/* More threads than batches: those that find none wait, and never do two have the same one. */
static void test_threads(void **state)
{
    struct source s = {.source.sent = sent};
    _Atomic unsigned busy = 0;
    struct gw_pool p;
    struct user u = {&p, &s, &busy};
    pthread_t thread[THREADS];

    (void)state;
    gw_pool_init(&p);
    assert_int_equal(gw_pool_fill(&p, BATCHES, NULL), 0);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, use, &u), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        void *most;

        pthread_join(thread[i], &most);
        assert_in_range((uintptr_t)most, 1, BATCHES);
    }
    assert_int_equal(s.sent, THREADS * TAKES);
    gw_pool_destroy(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_use),
        cmocka_unit_test(test_threads),
    };

    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
