/* SPDX-License-Identifier: MIT
 *
 * A job that waits for a reader who takes nothing, and is asked meanwhile.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "image/asking.h"

#define FAILING_COUNTDOWN
#include "../../failing.h"

struct asked {
    unsigned count, stop_at;
    uint64_t done, total;
    int drain; /* what is read from when it is asked; -1: nothing */
};

static bool progress(void *opaque, uint64_t done_bytes, uint64_t total_bytes)
{
    struct asked *a = opaque;
    static char taken[1 << 20];

    a->done = done_bytes;
    a->total = total_bytes;
    if (a->drain >= 0)
        assert_true(read(a->drain, taken, sizeof taken) > 0);
    return ++a->count == a->stop_at;
}

static struct gw_channel *channel_to(int fd, struct gw_asking *asking)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *pipe = NULL, *channel = NULL;

    assert_int_equal(gw_channel_from_fd(fd, "pipe", &pipe, &err), 0);
    assert_int_equal(gw_asking_channel(asking, pipe, &channel, &err), 0);
    return channel;
}

/* Nobody reads: the write ends when it is told to, and is told again what was told last. */
static void test_stop(void **state)
{
    static const uint8_t bytes[1 << 20];
    struct asked asked = {.stop_at = 4, .drain = -1};
    struct gw_asking asking = {.progress = progress, .opaque = &asked};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *channel;
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    channel = channel_to(ends[1], &asking);
    assert_false(gw_asking_step(&asking, 7, 9));
    assert_int_equal(gw_channel_write_full(channel, bytes, sizeof bytes, &err), -ECANCELED);
    assert_int_equal(asked.count, 4);
    assert_int_equal(asked.done, 7);
    assert_int_equal(asked.total, 9);
    gw_channel_free(channel);
    close(ends[0]);
}

/* A slow reader: all of it goes out. */
static void test_goes_on(void **state)
{
    static const uint8_t bytes[150 << 10];
    struct asked asked = {0};
    struct gw_asking asking = {.progress = progress, .opaque = &asked};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *channel;
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    asked.drain = ends[0];
    channel = channel_to(ends[1], &asking);
    assert_int_equal(gw_channel_write_full(channel, bytes, sizeof bytes, &err), 0);
    assert_true(asked.count > 0);
    assert_int_equal(gw_channel_close(channel, &err), 0);
    gw_channel_free(channel);
    close(ends[0]);
}

/* Nobody asks, nobody listens: the error is the pipe's. And no memory. */
static void test_errors(void **state)
{
    struct gw_asking asking = {0};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *channel, *pipe;
    int ends[2];

    assert_false(gw_asking_step(&asking, 1, 2));
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    channel = channel_to(ends[1], &asking);
    close(ends[0]);
    assert_int_equal(gw_channel_write_full(channel, "x", 1, &err), -EPIPE);
    gw_channel_shutdown(channel);
    assert_int_equal(gw_channel_write_full(channel, "x", 1, &err), -ECANCELED);
    gw_channel_free(channel);

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(gw_channel_from_fd(ends[1], "pipe", &pipe, &err), 0);
    countdown = 1;
    assert_int_equal(gw_asking_channel(&asking, pipe, &channel, &err), -ENOMEM);
    countdown = 0;
    assert_int_equal(fcntl(ends[1], F_GETFD), -1); /* it was taken */
    close(ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_stop), cmocka_unit_test(test_goes_on), cmocka_unit_test(test_errors)};

    return cmocka_run_group_tests_name("asking", tests, NULL, NULL);
}
