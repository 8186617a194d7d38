/* SPDX-License-Identifier: MIT */
#include "channel/narrow.h"

#include "helpers.h"

static struct pair narrow_pair(enum pair_kind kind, struct gw_narrow_config config)
{
    struct gw_error err = GW_ERROR_INIT;
    struct pair p;

    assert_true(pair_open(kind, &p));
    assert_ok(gw_narrow_new(p.a, &config, &p.a, &err), err);
    return p;
}

/* Moves bytes from w to r; how long it took. */
static uint64_t time_to_move(struct gw_channel *w, struct gw_channel *r, size_t bytes)
{
    uint8_t *data = random_bytes(bytes, 4), *back = malloc(bytes);
    uint64_t at = gw_now_ns(&gw_clock_real);
    struct mover m[2] = {{.channel = w, .bytes = data, .count = bytes, .seed = 1, .write = true},
                         {.channel = r, .bytes = back, .count = bytes, .seed = 2}};

    mover_start(&m[0]);
    mover_start(&m[1]);
    assert_ok(mover_end(&m[0]), m[0].err);
    assert_ok(mover_end(&m[1]), m[1].err);
    assert_memory_equal(data, back, bytes);
    free(data);
    free(back);
    return m[1].ended_ns - at;
}

static void bandwidth(void **state)
{
    struct pair p;
    uint64_t ns;

    p = narrow_pair(PAIR_UNIX, (struct gw_narrow_config){.write_bytes_per_s = 10 * GW_MIB});
    ns = time_to_move(p.a, p.b, 5 * GW_MIB);
    assert_in_range(ns, 440 * MS, 500 * MS + AT_ONCE_NS);
    /* The other way is free. */
    ns = time_to_move(p.b, p.a, 5 * GW_MIB);
    assert_in_range(ns, 0, 300 * MS * SLOWER + AT_ONCE_NS);
    gw_narrow_set(p.a, 0, 20 * GW_MIB);
    ns = time_to_move(p.b, p.a, 5 * GW_MIB);
    assert_in_range(ns, 210 * MS, 250 * MS + AT_ONCE_NS);
    ns = time_to_move(p.a, p.b, 5 * GW_MIB);
    assert_in_range(ns, 0, 300 * MS * SLOWER + AT_ONCE_NS);
    pair_free(&p);
}

static void latency(void **state)
{
    struct gw_narrow_config far = {.latency_ns = 50 * MS};
    struct gw_error err = GW_ERROR_INIT;
    uint8_t byte = 'x';
    uint64_t at, ns;
    struct pair p;

    p = narrow_pair(PAIR_TCP4, far);
    assert_ok(gw_narrow_new(p.b, &far, &p.b, &err), err);
    for (int i = 0; i < 3; i++) {
        at = gw_now_ns(&gw_clock_real);
        assert_ok(gw_channel_write_full(p.a, &byte, 1, &err), err);
        assert_true(gw_now_ns(&gw_clock_real) - at < 40 * MS * SLOWER + 3 * late_most_ns());
        assert_ok(gw_channel_read_full(p.b, &byte, 1, &err), err);
        assert_ok(gw_channel_write_full(p.b, &byte, 1, &err), err);
        assert_ok(gw_channel_read_full(p.a, &byte, 1, &err), err);
        ns = gw_now_ns(&gw_clock_real) - at;
        assert_in_range(ns, 100 * MS, 100 * MS + 2 * AT_ONCE_NS);
    }
    /* Far away is not narrow: many bytes are under way at once. */
    ns = time_to_move(p.a, p.b, 20 * GW_MIB);
    assert_in_range(ns, 50 * MS, 900 * MS * SLOWER + AT_ONCE_NS);
    pair_free(&p);
}

static void far_and_narrow(void **state)
{
    struct pair p =
        narrow_pair(PAIR_MEMORY, (struct gw_narrow_config){.write_bytes_per_s = 10 * GW_MIB, .latency_ns = 100 * MS});
    uint64_t ns = time_to_move(p.a, p.b, 3 * GW_MIB);

    assert_in_range(ns, 350 * MS, 400 * MS + 2 * AT_ONCE_NS);
    pair_free(&p);
}

static void close_waits_for_what_is_under_way(void **state)
{
    struct pair p = narrow_pair(PAIR_UNIX, (struct gw_narrow_config){.latency_ns = 60 * MS});
    struct gw_error err = GW_ERROR_INIT;
    uint8_t back[100];
    uint64_t at = gw_now_ns(&gw_clock_real);

    assert_ok(gw_channel_write_full(p.a, "the last words", 14, &err), err);
    assert_true(gw_channel_queued(p.a) >= 14);
    assert_ok(gw_channel_close(p.a, &err), err);
    assert_true(gw_now_ns(&gw_clock_real) - at >= 60 * MS);
    p.a = gw_channel_free(p.a);
    assert_int_equal(gw_channel_read_full(p.b, back, 100, &err), -ENODATA);
    assert_text(err, "ended after 14 of");
    pair_free(&p);
}

static void waits_end(void **state)
{
    static const struct gw_narrow_config configs[] = {
        {.write_bytes_per_s = 1000},
        {.latency_ns = 3600 * GW_NS_PER_S, .buffer_bytes = 1000},
        {.latency_ns = 1, .buffer_bytes = 1000},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(configs); i++) {
        struct pair p = narrow_pair(PAIR_UNIX, configs[i]);
        uint8_t *data = calloc(1, 8 * GW_MIB);
        struct mover w = {.channel = p.a, .bytes = data, .count = 8 * GW_MIB, .write = true};
        uint64_t at;

        gw_channel_set_timeout(p.a, 0);
        mover_start(&w);
        pass_ns(30 * MS);
        at = gw_now_ns(&gw_clock_real);
        gw_channel_shutdown(p.a);
        assert_int_equal(mover_end(&w), -ECANCELED);
        assert_true(w.ended_ns - at < AT_ONCE_NS);
        assert_int_equal(gw_channel_close(p.a, NULL), -ECANCELED);
        pair_free(&p);
        free(data);
    }
}

/* The peer takes nothing: the time-out counts. The rate is slow: it does not. */
static void timeouts(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    uint8_t *data = calloc(1, 16 * GW_MIB);
    struct pair p;

    p = narrow_pair(PAIR_UNIX, (struct gw_narrow_config){.latency_ns = MS, .buffer_bytes = 10000});
    gw_channel_set_timeout(p.a, 50 * MS);
    assert_int_equal(gw_channel_write_full(p.a, data, 16 * GW_MIB, &err), -ETIMEDOUT);
    assert_text(err, "nothing moved for 50 ms");
    pair_free(&p);
    p = narrow_pair(PAIR_UNIX, (struct gw_narrow_config){.write_bytes_per_s = 1000});
    gw_channel_set_timeout(p.a, 5 * MS);
    assert_ok(gw_channel_write_full(p.a, data, 200, &err), err);
    pair_free(&p);
    free(data);
}

static void errors_come_back(void **state)
{
    struct pair p = narrow_pair(PAIR_MEMORY, (struct gw_narrow_config){.latency_ns = 5 * MS});
    struct gw_error err = GW_ERROR_INIT;
    int r = 0;

    p.b = gw_channel_free(p.b);
    for (int i = 0; i < 1000 && r == 0; i++) {
        r = gw_channel_write_full(p.a, "x", 1, &err);
        pass_ns(MS);
    }
    assert_int_equal(r, -EPIPE);
    assert_int_equal(gw_channel_close(p.a, &err), -EPIPE);
    pair_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bandwidth),        cmocka_unit_test(latency),
        cmocka_unit_test(far_and_narrow),   cmocka_unit_test(close_waits_for_what_is_under_way),
        cmocka_unit_test(waits_end),        cmocka_unit_test(timeouts),
        cmocka_unit_test(errors_come_back),
    };

    return cmocka_run_group_tests_name("narrow", tests, NULL, NULL);
}
