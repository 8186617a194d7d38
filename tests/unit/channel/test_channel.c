/* SPDX-License-Identifier: MIT
 *
 * What channel.c does for every transport, seen with one that moves as little and fails as told.
 */
#include <limits.h>

#include "helpers.h"

struct mean {
    struct gw_channel channel;
    uint8_t store[8192];
    size_t at;
    ssize_t move; /* per call: at most so many bytes, or an error, or 0 */
    int last_n;
    unsigned calls, freed;
};

static ssize_t mean_move(struct gw_channel *ch, const struct iovec *iov, int n, uint64_t at, bool write,
                         struct gw_error *err)
{
    struct mean *m = (struct mean *)ch;
    size_t done = 0;

    m->calls++;
    m->last_n = n;
    assert_true(iov[0].iov_len > 0);
    if (m->move < 0)
        return gw_fail(err, (int)m->move, GW_BLAME_CHANNEL, "told to fail");
    for (int i = 0; i < n && done < (size_t)m->move; i++) {
        size_t part = GW_MIN(iov[i].iov_len, (size_t)m->move - done);

        part = GW_MIN(part, sizeof m->store - at - done);
        if (write)
            memcpy(m->store + at + done, iov[i].iov_base, part);
        else
            memcpy(iov[i].iov_base, m->store + at + done, part);
        done += part;
    }
    return (ssize_t)done;
}

static ssize_t mean_readv(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    struct mean *m = (struct mean *)ch;
    ssize_t r = mean_move(ch, iov, n, m->at, false, err);

    m->at += r > 0 ? (size_t)r : 0;
    return r;
}

static ssize_t mean_writev(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    struct mean *m = (struct mean *)ch;
    ssize_t r = mean_move(ch, iov, n, m->at, true, err);

    m->at += r > 0 ? (size_t)r : 0;
    return r;
}

static ssize_t mean_preadv(struct gw_channel *ch, const struct iovec *iov, int n, uint64_t at, struct gw_error *err)
{
    return mean_move(ch, iov, n, at, false, err);
}

static ssize_t mean_pwritev(struct gw_channel *ch, const struct iovec *iov, int n, uint64_t at, struct gw_error *err)
{
    return mean_move(ch, iov, n, at, true, err);
}

static int mean_seek(struct gw_channel *ch, uint64_t offset, struct gw_error *err)
{
    ((struct mean *)ch)->at = (size_t)offset;
    return offset > 8192 ? gw_fail(err, -EINVAL, GW_BLAME_CALLER, "too far") : 0;
}

static void mean_free(struct gw_channel *ch)
{
    ((struct mean *)ch)->freed++;
}

static const struct gw_channel_ops mean_ops = {
    .kind = "mean",
    .readv = mean_readv,
    .writev = mean_writev,
    .preadv = mean_preadv,
    .pwritev = mean_pwritev,
    .seek = mean_seek,
    .free = mean_free,
};

static void mean_init(struct mean *m, ssize_t move)
{
    memset(m, 0, sizeof *m);
    m->move = move;
    gw_channel_init(&m->channel, &mean_ops, GW_CHANNEL_SEEKABLE, "mean:1");
}

static void full_means_full(void **state)
{
    for (ssize_t move = 1; move < 40; move++) {
        struct gw_error err = GW_ERROR_INIT;
        uint8_t *data = random_bytes(2000, (uint64_t)move), back[2000];
        uint64_t seed = (uint64_t)move, in, out;
        struct iovec iov[300];
        struct mean m;
        int n;

        mean_init(&m, move);
        n = odd_vectors(data, 2000, iov, 300, &seed);
        assert_ok(gw_channel_writev_full(&m.channel, iov, n, &err), err);
        assert_ok(gw_channel_seek(&m.channel, 0, &err), err);
        n = odd_vectors(back, 2000, iov, 300, &seed);
        assert_ok(gw_channel_readv_full(&m.channel, iov, n, &err), err);
        assert_memory_equal(data, back, 2000);
        memset(back, 0, sizeof back);
        assert_ok(gw_channel_pwrite_full(&m.channel, data, 2000, 100, &err), err);
        assert_ok(gw_channel_pread_full(&m.channel, back, 2000, 100, &err), err);
        assert_memory_equal(data, back, 2000);
        assert_int_equal(m.at, 2000);
        gw_channel_bytes(&m.channel, &in, &out);
        assert_int_equal(in, 4000);
        assert_int_equal(out, 4000);
        free(data);
    }
}

static void no_more_than_1024_vectors(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct iovec iov[3000];
    uint8_t data[3000];
    struct mean m;

    mean_init(&m, SSIZE_MAX);
    for (int i = 0; i < 3000; i++)
        iov[i] = (struct iovec){data + i, 1};
    assert_ok(gw_channel_writev_full(&m.channel, iov, 3000, &err), err);
    assert_int_equal(m.calls, 3);
    assert_int_equal(m.last_n, 3000 - 2048);
    assert_int_equal(m.at, 3000);
}

static void empty_vectors(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct iovec iov[4] = {{NULL, 0}, {(void *)"ab", 2}, {NULL, 0}, {NULL, 0}};
    struct mean m;

    mean_init(&m, 1);
    assert_ok(gw_channel_writev_full(&m.channel, iov, 4, &err), err);
    assert_int_equal(m.at, 2);
    assert_ok(gw_channel_writev_full(&m.channel, NULL, 0, &err), err);
    assert_ok(gw_channel_write_full(&m.channel, NULL, 0, &err), err);
    assert_ok(gw_channel_read_full(&m.channel, NULL, 0, &err), err);
    assert_int_equal(m.calls, 2);
}

static void ends_and_errors(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    uint8_t data[8000] = {0};
    struct mean m;

    mean_init(&m, 0);
    assert_int_equal(gw_channel_read_full(&m.channel, data, 10, &err), -ENODATA);
    assert_text(err, "mean:1: ended after 0 of 10 bytes");
    assert_int_equal(gw_channel_pread_full(&m.channel, data, 10, 77, &err), -ENODATA);
    assert_text(err, "ends at byte 77, 10 more bytes needed");
    /* A transport that takes nothing, for ever. */
    assert_int_equal(gw_channel_write_full(&m.channel, data, 10, &err), -EIO);
    assert_text(err, "accepts no more bytes");
    assert_int_equal(gw_channel_pwrite_full(&m.channel, data, 10, 0, &err), -EIO);
    m.move = 5000;
    m.at = 4192;
    assert_int_equal(gw_channel_read_full(&m.channel, data, 8000, &err), -ENODATA);
    assert_text(err, "ended after 4000 of 8000 bytes");
    m.move = -ENETDOWN;
    assert_int_equal(gw_channel_read_full(&m.channel, data, 10, &err), -ENETDOWN);
    assert_string_equal(err.text, "mean:1: told to fail");
    assert_int_equal(gw_channel_write_full(&m.channel, data, 10, NULL), -ENETDOWN);
    assert_int_equal(gw_channel_seek(&m.channel, 9000, &err), -EINVAL);
    assert_string_equal(err.text, "mean:1: too far");
    assert_int_equal(gw_channel_peek(&m.channel, data, 1, &err), -ENOTSUP);
    m.channel.features = 0;
    assert_int_equal(gw_channel_seek(&m.channel, 1, &err), -ESPIPE);
    assert_int_equal(gw_channel_pread_full(&m.channel, data, 1, 0, &err), -ESPIPE);
}

static void optional_ops(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct mean m;
    char name[300];

    mean_init(&m, 1);
    assert_ok(gw_channel_close(&m.channel, &err), err);
    assert_ok(gw_channel_sync(&m.channel, &err), err);
    assert_null(gw_channel_free(&m.channel));
    assert_int_equal(m.freed, 1);
    assert_null(gw_channel_free(NULL));
    memset(name, 'n', sizeof name);
    name[299] = 0;
    gw_channel_init(&m.channel, &mean_ops, 0, name);
    assert_int_equal(strlen(m.channel.name), sizeof m.channel.name - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_means_full), cmocka_unit_test(no_more_than_1024_vectors),
        cmocka_unit_test(empty_vectors),   cmocka_unit_test(ends_and_errors),
        cmocka_unit_test(optional_ops),
    };

    return cmocka_run_group_tests_name("channel", tests, NULL, NULL);
}
