/* SPDX-License-Identifier: MIT
 *
 * What every duplex transport must do alike.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "channel/stream.h"
#include "helpers.h"

static const char *const kind_names[PAIR_KINDS] = {"tcp4", "tcp6", "unix", "vsock", "fd", "memory"};

static enum pair_kind kind_of(void **state)
{
    return (enum pair_kind)(uintptr_t)*state;
}

#define OPEN(p)                                                                                                        \
    struct pair *p = pair_open(kind_of(state));                                                                        \
    if (!p) {                                                                                                          \
        print_message("skipped: this host has no %s\n", kind_names[kind_of(state)]);                                   \
        skip();                                                                                                        \
    }

static void both_directions_at_once(void **state)
{
    OPEN(p);
    const size_t bytes = 6 * GW_MIB + 12345;
    uint8_t *out[2] = {random_bytes(bytes, 1), random_bytes(bytes, 2)}, *in[2] = {malloc(bytes), malloc(bytes)};
    uint64_t n_in, n_out;
    struct mover m[4] = {
        {.channel = p->a, .bytes = out[0], .count = bytes, .seed = 11, .write = true},
        {.channel = p->b, .bytes = in[0], .count = bytes, .seed = 12},
        {.channel = p->b, .bytes = out[1], .count = bytes, .seed = 13, .write = true},
        {.channel = p->a, .bytes = in[1], .count = bytes, .seed = 14},
    };
    assert_true(p->a->features & GW_CHANNEL_DUPLEX);
    for (int i = 0; i < 4; i++)
        mover_start(&m[i]);
    for (int i = 0; i < 4; i++)
        assert_ok(mover_end(&m[i]), m[i].err);
    assert_memory_equal(out[0], in[0], bytes);
    assert_memory_equal(out[1], in[1], bytes);
    gw_channel_bytes(p->a, &n_in, &n_out);
    assert_int_equal(n_in, bytes);
    assert_int_equal(n_out, bytes);
    for (int i = 0; i < 2; i++) {
        free(out[i]);
        free(in[i]);
    }
    pair_free(p);
}

/* These waits have no time-out: a shutdown that does not end one never ends the test, which check.py notices. */
static void shutdown_ends_a_waiting_read(void **state)
{
    OPEN(p);
    uint8_t byte = 0;
    struct mover m = {.channel = p->a, .bytes = &byte, .count = 1};

    gw_channel_set_timeout(p->a, 0);
    mover_start(&m);
    mover_waits(&m);
    gw_channel_shutdown(p->a);
    gw_channel_shutdown(p->a);
    assert_int_equal(mover_end(&m), -ECANCELED);
    assert_int_equal(m.err.blame, GW_BLAME_CHANNEL);
    assert_text(m.err, "shut down");
    /* And what comes after. */
    assert_int_equal(gw_channel_read_full(p->a, &byte, 1, NULL), -ECANCELED);
    assert_int_equal(gw_channel_write_full(p->a, &byte, 1, NULL), -ECANCELED);
    assert_int_equal(gw_channel_peek(p->a, &byte, 1, NULL), -ECANCELED);
    assert_int_equal(gw_channel_close(p->a, NULL), -ECANCELED);
    /* The other side learns of it. */
    assert_int_equal(gw_channel_read_full(p->b, &byte, 1, NULL), -ENODATA);
    pair_free(p);
}

static void shutdown_ends_a_waiting_write(void **state)
{
    const size_t bytes = 64 * GW_MIB; /* more than any socket buffers */

    OPEN(p);
    uint8_t *data = calloc(1, bytes);
    struct mover m = {.channel = p->a, .bytes = data, .count = bytes, .write = true};

    gw_channel_set_timeout(p->a, 0);
    mover_start(&m);
    mover_waits(&m);
    gw_channel_shutdown(p->a);
    assert_int_equal(mover_end(&m), -ECANCELED);
    assert_int_equal(gw_channel_write_full(p->a, data, 1, NULL), -ECANCELED);
    pair_free(p);
    free(data);
}

/* A shutdown of one side, while the other waits: it sees the end. */
static void shutdown_is_seen_by_the_peer(void **state)
{
    OPEN(p);
    uint8_t byte = 0;
    struct mover m = {.channel = p->b, .bytes = &byte, .count = 1};

    gw_channel_set_timeout(p->b, 0);
    mover_start(&m);
    mover_waits(&m);
    gw_channel_shutdown(p->a);
    assert_int_equal(mover_end(&m), -ENODATA);
    pair_free(p);
}

static void read_times_out(void **state)
{
    OPEN(p);
    struct gw_error err = GW_ERROR_INIT;
    uint64_t at;
    uint8_t byte;

    gw_channel_set_timeout(p->a, 60 * MS);
    at = gw_now_ns(&gw_clock_real);
    assert_int_equal(gw_channel_read_full(p->a, &byte, 1, &err), -ETIMEDOUT);
    assert_true(gw_now_ns(&gw_clock_real) - at >= 60 * MS);
    assert_text(err, "nothing moved for 60 ms");
    assert_text(err, p->a->name);
    assert_int_equal(err.blame, GW_BLAME_CHANNEL);
    assert_int_equal(gw_channel_peek(p->a, &byte, 1, &err), -ETIMEDOUT);
    /* A time-out ends the call, not the channel. */
    gw_channel_set_timeout(p->a, PATIENCE_NS);
    assert_ok(gw_channel_write_full(p->b, "x", 1, &err), err);
    assert_ok(gw_channel_read_full(p->a, &byte, 1, &err), err);
    assert_int_equal(byte, 'x');
    pair_free(p);
}

static void write_times_out(void **state)
{
    OPEN(p);
    const size_t bytes = 64 * GW_MIB;
    struct gw_error err = GW_ERROR_INIT;
    uint8_t *data = calloc(1, bytes);
    uint64_t in, out;

    gw_channel_set_timeout(p->a, 60 * MS);
    assert_int_equal(gw_channel_write_full(p->a, data, bytes, &err), -ETIMEDOUT);
    assert_text(err, "nothing moved for 60 ms");
    gw_channel_bytes(p->a, &in, &out);
    assert_in_range(out, 1, bytes - 1);
    free(data);
    pair_free(p);
}

/* Bytes that come late one by one are no time-out, although they take longer together. When this machine did not let us
 * write in time, that says nothing: again, with twice the time. */
static void slow_is_not_silent(void **state)
{
    uint64_t timeout_ns = GW_NS_PER_S;

    for (bool in_time = false; !in_time; timeout_ns *= 2) {
        OPEN(p);
        struct gw_error err = GW_ERROR_INIT;
        uint8_t in[8];
        struct mover m = {.channel = p->b, .bytes = in, .count = sizeof in};
        uint64_t last_ns = gw_now_ns(&gw_clock_real), longest_ns = 0;

        gw_channel_set_timeout(p->b, timeout_ns);
        mover_start(&m);
        for (int i = 0; i < 8; i++) {
            uint64_t at_ns;

            pass_ns(timeout_ns / 20 * 3);
            at_ns = gw_now_ns(&gw_clock_real);
            assert_ok(gw_channel_write_full(p->a, "z", 1, &err), err);
            /* From before the last write to after this one: no shorter than the reader's wait. */
            longest_ns = GW_MAX(longest_ns, gw_now_ns(&gw_clock_real) - last_ns);
            last_ns = at_ns;
        }
        mover_end(&m);
        longest_ns = GW_MAX(longest_ns, gw_now_ns(&gw_clock_real) - last_ns);
        in_time = longest_ns < timeout_ns;
        if (m.result == -ETIMEDOUT && !in_time)
            print_message("%llu ms between two bytes, again\n", (unsigned long long)(longest_ns / MS));
        else
            assert_ok(m.result, m.err);
        pair_free(p);
    }
}

static void end_is_orderly(void **state)
{
    OPEN(p);
    struct gw_error err = GW_ERROR_INIT;
    uint8_t in[16];

    assert_ok(gw_channel_write_full(p->a, "last words", 10, &err), err);
    assert_ok(gw_channel_close(p->a, &err), err);
    gw_channel_free(p->a);
    p->a = NULL;
    assert_int_equal(gw_channel_read_full(p->b, in, sizeof in, &err), -ENODATA);
    assert_text(err, "ended after 10 of 16 bytes");
    assert_memory_equal(in, "last words", 10);
    assert_int_equal(gw_channel_peek(p->b, in, 1, &err), 0);
    struct iovec iov = {in, sizeof in};
    assert_int_equal(gw_channel_readv(p->b, &iov, 1, &err), 0);
    pair_free(p);
}

static void what_was_sent_survives_unread_answers(void **state)
{
    OPEN(p);
    const size_t bytes = 90000;
    uint8_t *out = random_bytes(bytes, 5), *in = malloc(bytes);
    struct gw_error err = GW_ERROR_INIT;

    assert_ok(gw_channel_write_full(p->b, "no process reads this", 17, &err), err);
    assert_ok(gw_channel_write_full(p->a, out, bytes, &err), err);
    pass_ns(5 * MS);
    assert_ok(gw_channel_close(p->a, &err), err);
    p->a = gw_channel_free(p->a);
    assert_ok(gw_channel_read_full(p->b, in, bytes, &err), err);
    assert_memory_equal(in, out, bytes);
    free(out);
    free(in);
    pair_free(p);
}

static void writing_to_nobody(void **state)
{
    OPEN(p);
    struct gw_error err = GW_ERROR_INIT;
    uint8_t *data = calloc(1, GW_MIB);
    int r = 0;

    p->b = gw_channel_free(p->b);
    while (r == 0) {
        r = gw_channel_write_full(p->a, data, GW_MIB, &err);
        pass_ns(MS);
    }
    assert_true(r == -EPIPE || r == -ECONNRESET);
    assert_int_equal(err.blame, GW_BLAME_CHANNEL);
    assert_int_equal(gw_channel_write_full(p->a, data, 1, &err), -EPIPE);
    assert_text(err, "the other side has closed the connection");
    free(data);
    pair_free(p);
}

/* What the peer has not got is known, roughly, by who wrote it. */
static void queue_is_seen(void **state)
{
    OPEN(p);
    const size_t bytes = 64 * 1024;
    struct gw_error err = GW_ERROR_INIT;
    uint8_t *data = calloc(1, bytes);

    assert_int_equal(gw_channel_queued(p->a), 0);
    assert_ok(gw_channel_write_full(p->a, data, bytes, &err), err);
    /* TCP only counts what the other host has not taken, and that may be nothing. */
    assert_in_range(gw_channel_queued(p->a), kind_of(state) == PAIR_TCP4 || kind_of(state) == PAIR_TCP6 ? 0 : bytes,
                    3 * bytes);
    assert_ok(gw_channel_read_full(p->b, data, bytes, &err), err);
    while (gw_channel_queued(p->a))
        pass_ns(MS);
    free(data);
    pair_free(p);
}

/* Without reading, and while there still is something to read. */
static void a_close_is_seen(void **state)
{
    OPEN(p);
    struct gw_error err = GW_ERROR_INIT;
    uint8_t in[4];

    assert_false(gw_channel_peer_gone(p->a));
    assert_false(gw_channel_peer_gone(p->b));
    assert_ok(gw_channel_write_full(p->a, "QEVM", 4, &err), err);
    assert_false(gw_channel_peer_gone(p->b));
    assert_ok(gw_channel_close(p->a, &err), err);
    p->a = gw_channel_free(p->a);
    while (!gw_channel_peer_gone(p->b))
        pass_ns(MS);
    assert_ok(gw_channel_read_full(p->b, in, 4, &err), err);
    assert_memory_equal(in, "QEVM", 4);
    gw_channel_shutdown(p->b);
    assert_false(gw_channel_peer_gone(p->b));
    pair_free(p);
}

static void peek_takes_nothing(void **state)
{
    OPEN(p);
    struct gw_error err = GW_ERROR_INIT;
    uint8_t in[8];
    uint64_t n_in, n_out;

    assert_true(p->b->features & GW_CHANNEL_PEEK);
    assert_ok(gw_channel_write_full(p->a, "QEVM", 4, &err), err);
    while (gw_channel_peek(p->b, in, 8, &err) < 4) /* some of them may still be on their way */
        pass_ns(MS);
    assert_int_equal(gw_channel_peek(p->b, in, 8, &err), 4);
    assert_int_equal(gw_channel_peek(p->b, in, 2, &err), 2);
    gw_channel_bytes(p->b, &n_in, &n_out);
    assert_int_equal(n_in, 0);
    assert_ok(gw_channel_read_full(p->b, in, 4, &err), err);
    assert_memory_equal(in, "QEVM", 4);
    pair_free(p);
}

static int option(struct gw_channel *ch, int level, int name)
{
    int value = -1;
    socklen_t size = sizeof value;

    assert_int_equal(getsockopt(((struct gw_stream *)ch)->fd, level, name, &value, &size), 0);
    return value;
}

/* A host that is gone says nothing: both sides ask. */
static void a_dead_host_is_noticed(void **state)
{
    OPEN(p);

    for (int i = 0; i < 2 && (kind_of(state) == PAIR_TCP4 || kind_of(state) == PAIR_TCP6); i++) {
        struct gw_channel *ch = i ? p->a : p->b;

        assert_int_equal(option(ch, SOL_SOCKET, SO_KEEPALIVE), 1);
        assert_in_range(option(ch, IPPROTO_TCP, TCP_KEEPIDLE) +
                            option(ch, IPPROTO_TCP, TCP_KEEPINTVL) * option(ch, IPPROTO_TCP, TCP_KEEPCNT),
                        30, 300);
        assert_in_range(option(ch, IPPROTO_TCP, TCP_USER_TIMEOUT), 30000, 300000);
    }
    pair_free(p);
}

static void not_seekable(void **state)
{
    OPEN(p);
    struct gw_error err = GW_ERROR_INIT;
    uint8_t byte = 0;

    assert_int_equal(gw_channel_seek(p->a, 0, &err), -ESPIPE);
    assert_int_equal(gw_channel_pread_full(p->a, &byte, 1, 0, &err), -ESPIPE);
    assert_int_equal(gw_channel_pwrite_full(p->a, &byte, 1, 0, &err), -ESPIPE);
    assert_int_equal(err.blame, GW_BLAME_CALLER);
    assert_ok(gw_channel_sync(p->a, &err), err);
    pair_free(p);
}

int main(void)
{
#define T(f)                                                                                                           \
    {                                                                                                                  \
#f, f                                                                                                          \
    }
    static const struct {
        const char *name;
        void (*run)(void **state);
    } tests[] = {T(both_directions_at_once),
                 T(shutdown_ends_a_waiting_read),
                 T(shutdown_ends_a_waiting_write),
                 T(shutdown_is_seen_by_the_peer),
                 T(read_times_out),
                 T(write_times_out),
                 T(slow_is_not_silent),
                 T(end_is_orderly),
                 T(what_was_sent_survives_unread_answers),
                 T(writing_to_nobody),
                 T(queue_is_seen),
                 T(a_close_is_seen),
                 T(peek_takes_nothing),
                 T(a_dead_host_is_noticed),
                 T(not_seekable)};
    struct CMUnitTest all[PAIR_KINDS * GW_ARRAY_LEN(tests)];
    char names[PAIR_KINDS * GW_ARRAY_LEN(tests)][80];
    size_t n = 0;

    for (int kind = 0; kind < PAIR_KINDS; kind++) {
        for (size_t i = 0; i < GW_ARRAY_LEN(tests); i++, n++) {
            snprintf(names[n], sizeof names[n], "%s: %s", kind_names[kind], tests[i].name);
            all[n] = (struct CMUnitTest){names[n], tests[i].run, NULL, clean_up, (void *)(uintptr_t)kind};
        }
    }
    return cmocka_run_group_tests_name("transports", all, NULL, NULL);
}
