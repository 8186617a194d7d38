/* SPDX-License-Identifier: MIT */
#include <poll.h>

#include "channel/cancel.h"
#include "helpers.h"

static void one_trigger_lasts(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_cancel *c;

    assert_ok(gw_cancel_new(&c, &err), err);
    struct pollfd p = {.fd = gw_cancel_fd(c), .events = POLLIN};
    assert_false(gw_cancel_triggered(c));
    assert_int_equal(poll(&p, 1, 0), 0);
    assert_int_equal(gw_wait_ready(-1, 0, c, NULL, gw_deadline(5 * MS)), -ETIMEDOUT);
    gw_cancel_trigger(c);
    gw_cancel_trigger(c);
    assert_true(gw_cancel_triggered(c));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(poll(&p, 1, 0), 1);
        assert_int_equal(gw_wait_ready(-1, 0, c, NULL, 0), -ECANCELED);
        assert_int_equal(gw_wait_ready(-1, 0, NULL, c, 0), -ECANCELED);
    }
    assert_null(gw_cancel_free(c));
    assert_null(gw_cancel_free(NULL));
}

static void *trigger_later(void *opaque)
{
    pass_ns(20 * MS);
    gw_cancel_trigger(opaque);
    return NULL;
}

static void wakes_all_who_wait(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_cancel *c;
    pthread_t t;

    assert_ok(gw_cancel_new(&c, &err), err);
    pthread_create(&t, NULL, trigger_later, c);
    assert_int_equal(gw_wait_ready(-1, 0, NULL, c, gw_deadline(PATIENCE_NS)), -ECANCELED);
    assert_int_equal(gw_wait_ready(-1, 0, NULL, c, gw_deadline(PATIENCE_NS)), -ECANCELED);
    pthread_join(t, NULL);
    gw_cancel_free(c);
}

static void deadlines(void **state)
{
    uint64_t at = gw_now_ns(&gw_clock_real);

    assert_int_equal(gw_deadline(0), 0);
    assert_int_equal(gw_deadline(UINT64_MAX), 0);
    assert_true(gw_deadline(GW_NS_PER_S) >= at + GW_NS_PER_S);
    /* A deadline in the past is a look without waiting. */
    assert_int_equal(gw_wait_ready(-1, 0, NULL, NULL, 1), -ETIMEDOUT);
}

static void durations(void **state)
{
    char buf[GW_DURATION_TEXT];

    assert_string_equal(gw_duration_text(buf, 5 * GW_NS_PER_S), "5 s");
    assert_string_equal(gw_duration_text(buf, 1500 * MS), "1.5 s");
    assert_string_equal(gw_duration_text(buf, 250 * MS), "250 ms");
    assert_string_equal(gw_duration_text(buf, 40000), "40 us");
    assert_string_equal(gw_duration_text(buf, 7), "7 ns");
    assert_string_equal(gw_duration_text(buf, 0), "0 ns");
    gw_duration_text(buf, UINT64_MAX);
    assert_string_equal(buf, "18446744073.7 s");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_trigger_lasts),
        cmocka_unit_test(wakes_all_who_wait),
        cmocka_unit_test(deadlines),
        cmocka_unit_test(durations),
    };

    return cmocka_run_group_tests_name("cancel", tests, NULL, NULL);
}
