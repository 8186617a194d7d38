/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "channel/account.h"
#include "channel/writer.h"

#define WRITERS 4
#define ROUNDS  2000

static uint64_t tick(void *opaque)
{
    return ++*(uint64_t *)opaque;
}

struct lane {
    struct gw_account *account;
    unsigned number;
    pthread_t thread;
    uint64_t by[GW_CAUSE_COUNT];
};

static void *lane_main(void *opaque)
{
    struct lane *lane = opaque;
    struct gw_writer w;

    gw_writer_init_memory(&w, NULL);
    w.account = lane->account;
    for (unsigned i = 0; i < ROUNDS; i++) {
        enum gw_cause cause = (enum gw_cause)((i * 7 + lane->number) % GW_CAUSE_COUNT);

        gw_writer_cause(&w, cause);
        gw_put_u32(&w, i);
        if (i % 3 == 0)
            gw_put_u64(&w, i);
        lane->by[cause] += i % 3 == 0 ? 12 : 4;
        if (i % 5 == 0)
            gw_writer_flush(&w, NULL);
    }
    gw_writer_flush(&w, NULL);
    gw_writer_flush(&w, NULL); /* books nothing twice */
    gw_writer_close(&w);
    return NULL;
}

/* Writers of several threads and one who looks on: sums only grow, and are exact in the end. */
static void test_many_writers(void **state)
{
    struct gw_account_sums sums = {0}, last = {0};
    uint64_t time = 0, want[GW_CAUSE_COUNT] = {0}, total = 0;
    const struct gw_clock clock = {.now_ns = tick, .opaque = &time};
    struct gw_account a;
    struct lane lanes[WRITERS];

    gw_account_init(&a, &clock);
    for (unsigned i = 0; i < WRITERS; i++) {
        lanes[i] = (struct lane){.account = &a, .number = i};
        assert_int_equal(pthread_create(&lanes[i].thread, NULL, lane_main, &lanes[i]), 0);
    }
    for (unsigned i = 0; i < 1000; i++, last = sums) {
        uint64_t sum = 0;

        gw_account_read(&a, &sums);
        assert_int_equal(sums.at_ns, last.at_ns + 1);
        assert_true(sums.bytes >= last.bytes);
        for (unsigned c = 0; c < GW_CAUSE_COUNT; c++) {
            assert_true(sums.by[c] >= last.by[c]);
            sum += sums.by[c];
        }
        assert_int_equal(sum, sums.bytes);
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        pthread_join(lanes[i].thread, NULL);
        for (unsigned c = 0; c < GW_CAUSE_COUNT; c++)
            want[c] += lanes[i].by[c];
    }
    gw_account_read(&a, &sums);
    for (unsigned c = 0; c < GW_CAUSE_COUNT; c++) {
        assert_int_equal(sums.by[c], want[c]);
        total += want[c];
    }
    assert_int_equal(sums.bytes, total);
    assert_int_equal(gw_account_bytes(&a), total);
}

/* Over a channel: what waits in the writer is not booked; a flush books it, also one that fails, or that the writer
 * makes by itself. */
static void test_flushes(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *a, *b;
    struct gw_account account;
    struct gw_writer w;

    gw_account_init(&account, NULL);
    assert_int_equal(gw_channel_memory_pair(1 << 20, &a, &b, &err), 0);
    assert_int_equal(gw_writer_init(&w, a, &err), 0);
    w.account = &account;
    gw_writer_cause(&w, GW_CAUSE_DEVICE);
    gw_put_u64(&w, 1);
    assert_int_equal(gw_account_bytes(&account), 0);
    assert_int_equal(gw_writer_flush(&w, &err), 0);
    assert_int_equal(gw_account_bytes(&account), 8);
    w.flush_bytes = 100;
    for (unsigned i = 0; i < 100; i++)
        gw_put_u64(&w, i);
    assert_in_range(gw_account_bytes(&account), 8 + 700, 8 + 800);
    gw_channel_shutdown(a);
    assert_int_equal(gw_writer_flush(&w, &err), -ECANCELED);
    assert_int_equal(gw_account_bytes(&account), 808);
    gw_put_u64(&w, 1); /* is not put any more */
    assert_int_equal(gw_writer_flush(&w, &err), -ECANCELED);
    assert_int_equal(gw_account_bytes(&account), 808);
    gw_writer_close(&w);
    gw_channel_free(a);
    gw_channel_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_writers),
        cmocka_unit_test(test_flushes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
