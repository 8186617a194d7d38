/* SPDX-License-Identifier: MIT
 *
 * Two ends in one process: the ring at its limits, who may go first, who is told what. What it has in common with other
 * transports (time-outs, shutdowns, peeking): test_transports.c.
 */
#include "helpers.h"

static void pair_of(size_t bytes, struct pair **ret)
{
    struct gw_error err = GW_ERROR_INIT;
    struct pair *p = calloc(1, sizeof *p);

    assert_non_null(p);
    p->next = pairs;
    pairs = p;
    assert_ok(gw_channel_memory_pair(bytes, &p->a, &p->b, &err), err);
    *ret = p;
}

static void sizes(void **state)
{
    static const size_t wrong[] = {0, SIZE_MAX / 4 + 1, SIZE_MAX};
    struct gw_channel *a = (void *)1, *b = (void *)1;
    struct gw_error err = GW_ERROR_INIT;

    for (size_t i = 0; i < GW_ARRAY_LEN(wrong); i++) {
        assert_int_equal(gw_channel_memory_pair(wrong[i], &a, &b, &err), -EINVAL);
        assert_int_equal(err.blame, GW_BLAME_CALLER);
        assert_text(err, "a memory channel cannot have a buffer of ");
        assert_ptr_equal(a, (void *)1);
        assert_ptr_equal(b, (void *)1);
    }
}

static void names(void **state)
{
    struct pair *p;

    pair_of(1, &p);
    assert_string_equal(p->a->name, "memory:a");
    assert_string_equal(p->b->name, "memory:b");
    assert_int_equal(p->a->features, GW_CHANNEL_DUPLEX | GW_CHANNEL_PEEK);
    assert_int_equal(p->b->features, p->a->features);
}

/* Every size of buffer, written full and read in every cut, around and around: each byte once and in order. */
static void rings(void **state)
{
    for (size_t bytes = 1; bytes <= 9; bytes++) {
        struct gw_error err = GW_ERROR_INIT;
        uint64_t seed = bytes;
        uint8_t sent = 0, seen = 0;
        struct pair *p;

        pair_of(bytes, &p);
        for (unsigned i = 0; i < 500; i++) {
            uint64_t queued = gw_channel_queued(p->a);
            uint8_t from[20], to[20];
            struct iovec iov[3] = {{from, 1 + chance(&seed) % 4}, {from + 5, chance(&seed) % 4}, {from + 9, 7}};
            struct iovec into[2] = {{to, 1 + chance(&seed) % 6}, {to + 10, chance(&seed) % 6}};
            ssize_t n;

            assert_int_equal(queued, (uint8_t)(sent - seen));
            if (queued < bytes) {
                uint8_t next = sent;

                for (int k = 0; k < 3; k++)
                    for (size_t j = 0; j < iov[k].iov_len; j++)
                        ((uint8_t *)iov[k].iov_base)[j] = next++;
                n = gw_channel_writev(p->a, iov, 3, &err);
                assert_true(n >= 1 && (size_t)n <= bytes - queued);
                /* As much as fits. */
                assert_int_equal(n, GW_MIN(bytes - queued, gw_iov_bytes(iov, 3)));
                sent = (uint8_t)(sent + n);
            }
            n = gw_channel_readv(p->b, into, 2, &err);
            assert_true(n >= 1);
            for (ssize_t k = 0; k < n; k++) {
                size_t first = into[0].iov_len;

                assert_int_equal((size_t)k < first ? to[k] : to[10 + (size_t)k - first], seen);
                seen++;
            }
        }
    }
}

/* The two directions have a buffer each. */
static void directions(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct pair *p;
    char got[4];

    pair_of(4, &p);
    assert_ok(gw_channel_write_full(p->a, "abcd", 4, &err), err);
    assert_ok(gw_channel_write_full(p->b, "efgh", 4, &err), err);
    assert_int_equal(gw_channel_queued(p->a), 4);
    assert_ok(gw_channel_read_full(p->a, got, 4, &err), err);
    assert_memory_equal(got, "efgh", 4);
    assert_ok(gw_channel_read_full(p->b, got, 4, &err), err);
    assert_memory_equal(got, "abcd", 4);
}

/* One end goes: what it wrote can still be read, then there is an end; nothing can be written. */
static void one_goes(void **state)
{
    for (int how = 0; how < 3; how++) { /* freed; shut down; closed and freed */
        struct gw_error err = GW_ERROR_INIT;
        struct iovec iov = {&(char){0}, 1};
        struct pair *p;
        char got[3];

        pair_of(10, &p);
        assert_ok(gw_channel_write_full(p->a, "abc", 3, &err), err);
        assert_false(gw_channel_peer_gone(p->b));
        if (how == 1)
            gw_channel_shutdown(p->a);
        if (how == 2)
            assert_ok(gw_channel_close(p->a, &err), err);
        if (how != 1)
            p->a = gw_channel_free(p->a);
        assert_true(gw_channel_peer_gone(p->b));
        assert_int_equal(gw_channel_write_full(p->b, "x", 1, &err), -EPIPE);
        assert_int_equal(err.blame, GW_BLAME_CHANNEL);
        assert_text(err, "memory:b: the other side has closed the connection");
        assert_int_equal(gw_channel_peek(p->b, got, 3, &err), 3);
        assert_ok(gw_channel_read_full(p->b, got, 3, &err), err);
        assert_memory_equal(got, "abc", 3);
        assert_int_equal(gw_channel_peek(p->b, got, 3, &err), 0);
        assert_int_equal(gw_channel_readv(p->b, &iov, 1, &err), 0);
        assert_int_equal(gw_channel_readv(p->b, &iov, 1, &err), 0);
        pair_free(p);
    }
}

/* A close ends one direction: the other side still answers. */
static void half_closed(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct iovec iov = {&(char){0}, 1};
    struct pair *p;
    char got[2];

    pair_of(10, &p);
    assert_ok(gw_channel_close(p->a, &err), err);
    assert_int_equal(gw_channel_readv(p->b, &iov, 1, &err), 0);
    assert_ok(gw_channel_write_full(p->b, "ok", 2, &err), err);
    assert_ok(gw_channel_read_full(p->a, got, 2, &err), err);
    assert_memory_equal(got, "ok", 2);
}

/* After a shutdown of one's own everything is cancelled, also what is there to be read. */
static void own_shutdown(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct pair *p;
    char got[2];

    pair_of(10, &p);
    assert_ok(gw_channel_write_full(p->b, "ab", 2, &err), err);
    gw_channel_shutdown(p->a);
    gw_channel_shutdown(p->a);
    assert_int_equal(gw_channel_read_full(p->a, got, 2, &err), -ECANCELED);
    assert_int_equal(gw_channel_peek(p->a, got, 2, &err), -ECANCELED);
    assert_int_equal(gw_channel_write_full(p->a, "x", 1, &err), -ECANCELED);
    assert_int_equal(gw_channel_close(p->a, &err), -ECANCELED);
    gw_channel_free(p->b);
    p->b = NULL;
    /* It is our doing, not the other's. */
    assert_false(gw_channel_peer_gone(p->a));
}

/* Time-outs of nothing there and of no room, with what was given up on. */
static void time_outs(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct pair *p;
    char byte;

    pair_of(1, &p);
    gw_channel_set_timeout(p->a, 2 * MS);
    assert_int_equal(gw_channel_read_full(p->a, &byte, 1, &err), -ETIMEDOUT);
    assert_int_equal(err.blame, GW_BLAME_CHANNEL);
    assert_text(err, "2 ms");
    assert_int_equal(gw_channel_write_full(p->a, "xy", 2, &err), -ETIMEDOUT);
    /* What went through before is the other's. */
    assert_ok(gw_channel_read_full(p->b, &byte, 1, &err), err);
    assert_int_equal(byte, 'x');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        channel_test(sizes),    channel_test(names),       channel_test(rings),        channel_test(directions),
        channel_test(one_goes), channel_test(half_closed), channel_test(own_shutdown), channel_test(time_outs),
    };

    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
