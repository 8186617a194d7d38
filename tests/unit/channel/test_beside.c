/* SPDX-License-Identifier: MIT
 *
 * A channel beside a file's: the same bytes, a life of its own. Several that write at once: test_file.c.
 */
#include <fcntl.h>

#include "channel/beside.h"
#include "helpers.h"

#define FAILING_COUNTDOWN
#include "../../failing.h"

static struct gw_channel *open_file(char path[64], int flags)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *ch = NULL;
    int fd;

    temporary_path(path, "f");
    close(open(path, O_CREAT | O_WRONLY, 0600));
    fd = open(path, flags);
    assert_true(fd >= 0);
    assert_ok(gw_channel_from_fd(fd, "the file", &ch, &err), err);
    return ch;
}

static void positions(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *of, *b = NULL;
    uint64_t in, out, at = 99;
    char path[64], got[8];

    of = open_file(path, O_RDWR);
    assert_ok(gw_channel_write_full(of, "head", 4, &err), err);
    assert_ok(gw_channel_beside(of, false, &b, &err), err);
    assert_string_equal(b->name, "the file");
    assert_string_equal(b->ops->kind, "beside");
    assert_int_equal(b->features, GW_CHANNEL_SEEKABLE);
    assert_ok(gw_channel_pwrite_full(b, "beside", 6, 100, &err), err);
    /* The stream goes on where it was. */
    assert_ok(gw_channel_tell(of, &at, &err), err);
    assert_int_equal(at, 4);
    assert_ok(gw_channel_write_full(of, "tail", 4, &err), err);
    assert_ok(gw_channel_pread_full(b, got, 8, 0, &err), err);
    assert_memory_equal(got, "headtail", 8);
    assert_ok(gw_channel_pread_full(of, got, 6, 100, &err), err);
    assert_memory_equal(got, "beside", 6);
    /* Each counts its own. */
    gw_channel_bytes(b, &in, &out);
    assert_int_equal(in, 8);
    assert_int_equal(out, 6);
    gw_channel_bytes(of, &in, &out);
    assert_int_equal(in, 6);
    assert_int_equal(out, 8);
    assert_int_equal(gw_channel_pread_full(b, got, 8, 104, &err), -ENODATA);
    assert_text(err, "the file: ends at byte 106, 6 more bytes needed");
    gw_channel_free(b);
    gw_channel_free(of);
    remove_temporary(path);
}

static void no_stream(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *of, *b = NULL;
    char path[64], byte;

    of = open_file(path, O_RDWR);
    assert_ok(gw_channel_beside(of, false, &b, &err), err);
    assert_int_equal(gw_channel_write_full(b, "x", 1, &err), -ENOTSUP);
    assert_int_equal(err.blame, GW_BLAME_CALLER);
    assert_string_equal(err.text, "the file: only positioned I/O is possible here");
    assert_int_equal(gw_channel_read_full(b, &byte, 1, &err), -ENOTSUP);
    assert_int_equal(gw_channel_peek(b, &byte, 1, &err), -ENOTSUP);
    gw_channel_free(b);
    gw_channel_free(of);
    remove_temporary(path);
}

/* A shutdown of one leaves the others alone; one of the file ends them all. */
static void shutdowns(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *of, *b = NULL, *c = NULL;
    char path[64], got[3];

    of = open_file(path, O_RDWR);
    assert_ok(gw_channel_beside(of, false, &b, &err), err);
    assert_ok(gw_channel_beside(of, false, &c, &err), err);
    gw_channel_shutdown(b);
    gw_channel_shutdown(b);
    assert_int_equal(gw_channel_pwrite_full(b, "xyz", 3, 0, &err), -ECANCELED);
    assert_int_equal(gw_channel_pread_full(b, got, 3, 0, &err), -ECANCELED);
    assert_ok(gw_channel_write_full(of, "abc", 3, &err), err);
    assert_ok(gw_channel_pread_full(c, got, 3, 0, &err), err);
    assert_memory_equal(got, "abc", 3);
    gw_channel_free(b);
    assert_ok(gw_channel_pwrite_full(c, "d", 1, 3, &err), err);
    gw_channel_shutdown(of);
    assert_int_equal(gw_channel_pread_full(c, got, 3, 0, &err), -ECANCELED);
    assert_int_equal(gw_channel_pwrite_full(c, "e", 1, 4, &err), -ECANCELED);
    gw_channel_free(c);
    gw_channel_free(of);
    remove_temporary(path);
}

/* What the file refuses is refused beside it. */
static void one_direction(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *of, *b = NULL;
    char path[64], byte;

    of = open_file(path, O_WRONLY);
    assert_ok(gw_channel_beside(of, false, &b, &err), err);
    assert_ok(gw_channel_pwrite_full(b, "x", 1, 0, &err), err);
    assert_int_equal(gw_channel_pread_full(b, &byte, 1, 0, &err), -EBADF);
    gw_channel_free(b);
    gw_channel_free(of);
    remove_temporary(path);
    of = open_file(path, O_RDONLY);
    assert_ok(gw_channel_beside(of, false, &b, &err), err);
    assert_int_equal(gw_channel_pwrite_full(b, "x", 1, 0, &err), -EBADF);
    gw_channel_free(b);
    gw_channel_free(of);
    remove_temporary(path);
}

/* With and without direct I/O: -ENOMEM, nothing is given, no descriptor is left, and the file goes on. */
static void out_of_memory(void **state)
{
    for (int direct = 0; direct < 2; direct++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_channel *of;
        unsigned fds, failed = 0;
        char path[64];

        of = open_file(path, O_RDWR);
        fds = entries("/proc/self/fd");
        for (unsigned n = 1;; n++) {
            struct gw_channel *b = NULL;
            bool hit;
            int r;

            countdown = n;
            r = gw_channel_beside(of, direct, &b, &err);
            hit = countdown == 0;
            countdown = 0;
            if (!hit) {
                assert_ok(r, err);
                gw_channel_free(b);
                break;
            }
            failed++;
            assert_int_equal(r, -ENOMEM);
            assert_int_equal(err.blame, GW_BLAME_LOCAL);
            assert_null(b);
            assert_int_equal(entries("/proc/self/fd"), fds);
            assert_ok(gw_channel_write_full(of, "x", 1, &err), err);
        }
        assert_true(failed > 0);
        assert_int_equal(entries("/proc/self/fd"), fds);
        gw_channel_free(of);
        remove_temporary(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(positions),     cmocka_unit_test(no_stream),     cmocka_unit_test(shutdowns),
        cmocka_unit_test(one_direction), cmocka_unit_test(out_of_memory),
    };

    return cmocka_run_group_tests_name("beside", tests, NULL, NULL);
}
