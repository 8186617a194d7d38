/* SPDX-License-Identifier: MIT
 *
 * Files that must be made readable first: which program, what it made or why it did not, and temporary files with holes.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "image/unpack.h"

#define FAILING_COUNTDOWN
#include "../../failing.h"

static bool have(const char *program)
{
    char path[64];

    snprintf(path, sizeof path, "/usr/bin/%s", program);
    if (!access(path, X_OK))
        return true;
    snprintf(path, sizeof path, "/bin/%s", program);
    if (!access(path, X_OK))
        return true;
    print_message("%s is not installed\n", program);
    return false;
}

static int file_of(const void *bytes, size_t n)
{
    int fd = memfd_create("file", MFD_CLOEXEC);

    assert_int_equal(write(fd, bytes, n), n);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

static void holds(int fd, const void *want, size_t n)
{
    uint8_t *got = malloc(n + 1);

    assert_int_equal(pread(fd, got, n + 1, 0), n);
    assert_memory_equal(got, want, n);
    free(got);
}

/* As many bytes as each begins with, and not one fewer. */
static void test_magics(void **state)
{
    static const struct {
        const char *bytes, *program;
        size_t n;
    } rows[] = {{"\x1f\x8b", "gzip", 2},
                {"BZh", "bzip2", 3},
                {"\xfd" "7zXZ\0", "xz", 6},
                {"\x89LZO\0\r\n\x1a\n", "lzop", 9},
                {"\x28\xb5\x2f\xfd", "zstd", 4}};

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        for (size_t n = 0; n <= rows[i].n; n++) {
            uint8_t *copy = malloc(n + !n);
            const char *program;

            memcpy(copy, rows[i].bytes, n);
            program = gw_compression(copy, n);
            if (n < rows[i].n)
                assert_null(program);
            else
                assert_string_equal(program, rows[i].program);
            free(copy);
        }
        assert_true(gw_compression_known(rows[i].program));
    }
    assert_null(gw_compression((const uint8_t *)"QEVM............", 16));
    assert_false(gw_compression_known("cat"));
    assert_false(gw_compression_known(""));
}

static void test_levels(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    assert_int_equal(gw_filter_try("gzip", 10, &err), -EINVAL);
    assert_int_equal(err.blame, GW_BLAME_CALLER);
    assert_string_equal(err.text, "the level of gzip is 1 to 9, not 10");
    assert_int_equal(gw_filter_try("zstd", -1, &err), -EINVAL);
    assert_string_equal(err.text, "the level of zstd is 1 to 19, not -1");
    assert_int_equal(gw_filter_try("no-such-program", 0, &err), -ENOENT);
    assert_int_equal(err.blame, GW_BLAME_LOCAL);
    assert_string_equal(err.text, "no-such-program is needed to read or write it, but is not in /usr/bin or /bin");
    if (have("gzip")) {
        assert_int_equal(gw_filter_try("gzip", 0, &err), 0);
        assert_int_equal(gw_filter_try("gzip", 9, &err), 0);
    }
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

/* Packed by a program and unpacked by it: the same bytes, in a file that can be read in any order. */
static void test_there_and_back(void **state)
{
    static const char *const programs[] = {"gzip", "bzip2", "xz", "lzop", "zstd"};
    static uint8_t bytes[300000];
    unsigned fds = entries("/proc/self/fd"), tried = 0;

    for (size_t i = 100000; i < 200000; i++)
        bytes[i] = (uint8_t)(i * 40503 >> 7);
    for (size_t i = 0; i < GW_ARRAY_LEN(programs); i++) {
        struct gw_error err = GW_ERROR_INIT;
        int packed = memfd_create("packed", MFD_CLOEXEC), plain = -1;
        struct gw_filter f;

        if (!have(programs[i])) {
            close(packed);
            continue;
        }
        tried++;
        assert_int_equal(gw_filter_compress(&f, programs[i], 1, packed, &err), 0);
        for (size_t at = 0; at < sizeof bytes; at += 50000)
            assert_int_equal(write(f.pipe, bytes + at, 50000), 50000);
        if (gw_filter_end(&f, 0, &err) < 0)
            fail_msg("%s: %s", programs[i], err.text);
        if (gw_image_unpack(packed, "packed", NULL, &plain, &err) < 0)
            fail_msg("%s: %s", programs[i], err.text);
        holds(plain, bytes, sizeof bytes);
        close(plain);
        assert_int_equal(entries("/proc/self/fd"), fds);
    }
    if (!tried) {
        print_message("none of the programs is there\n");
        skip();
    }
}

/* What lies behind a packed file in a volume: zeros, noise, the rest of a longer one that was there before. */
static int volume(const char *program, const uint8_t *bytes, size_t n, unsigned behind)
{
    struct gw_error err = GW_ERROR_INIT;
    int fd = memfd_create("volume", MFD_CLOEXEC);
    const off_t from = 21; /* behind some head */
    struct gw_filter f;
    off_t end;

    for (unsigned i = 0; i < 2; i++) { /* the second one is written over the first, which is longer */
        lseek(fd, from, SEEK_SET);
        assert_int_equal(gw_filter_compress(&f, program, 1, fd, &err), 0);
        for (size_t at = 0, to = i ? n : n + 90000; at < to; at += 30000)
            assert_int_equal(write(f.pipe, bytes + (i ? at : at % n), 30000), 30000);
        assert_int_equal(gw_filter_end(&f, 0, &err), 0);
    }
    end = lseek(fd, 0, SEEK_CUR);
    assert_true(lseek(fd, 0, SEEK_END) > end);
    if (behind < 2)
        assert_int_equal(ftruncate(fd, end), 0);
    assert_int_equal(ftruncate(fd, behind == 2 ? lseek(fd, 0, SEEK_END) : end + 70001), 0);
    for (off_t at = end; behind == 1 && at < end + 70001 - 8; at += 8) {
        uint64_t noise = (uint64_t)at * 0x9e3779b97f4a7c15u | 1;

        assert_int_equal(pwrite(fd, &noise, 8, at), 8);
    }
    lseek(fd, from, SEEK_SET);
    return fd;
}

static void test_volumes(void **state)
{
    static const char *const programs[] = {"gzip", "bzip2", "xz", "lzop", "zstd"};
    uint8_t *bytes = malloc(300000);
    unsigned fds = entries("/proc/self/fd"), tried = 0;

    for (size_t i = 0; i < 300000; i++)
        bytes[i] = (uint8_t)(i * i * 40503 >> 9);
    for (size_t i = 0; i < GW_ARRAY_LEN(programs); i++)
        for (unsigned behind = 0; behind < 3 && have(programs[i]); behind++, tried++) {
            struct gw_error err = GW_ERROR_INIT;
            int plain = -1;

            if (gw_image_unpack_with(volume(programs[i], bytes, 300000, behind), programs[i], NULL, &plain, &err) < 0)
                fail_msg("%s, %u: %s", programs[i], behind, err.text);
            holds(plain, bytes, 300000);
            close(plain);
            assert_int_equal(entries("/proc/self/fd"), fds);
        }
    free(bytes);
    if (!tried) {
        print_message("none of the programs is there\n");
        skip();
    }
}

/* What lies behind a stream does not hide that the stream is damaged. */
static void test_damaged_volumes(void **state)
{
    static const char *const programs[] = {"gzip", "bzip2", "xz", "lzop", "zstd"};
    uint8_t *bytes = calloc(1, 300000), byte;

    for (size_t i = 0; i < 300000; i++)
        bytes[i] = (uint8_t)(i * i * 40503 >> 9);
    for (size_t i = 0; i < GW_ARRAY_LEN(programs); i++)
        for (unsigned behind = 0; behind < 2 && have(programs[i]); behind++) {
            struct gw_error err = GW_ERROR_INIT;
            int plain = -1, fd = volume(programs[i], bytes, 300000, behind);

            assert_int_equal(pread(fd, &byte, 1, 3000), 1);
            byte ^= 0x40;
            assert_int_equal(pwrite(fd, &byte, 1, 3000), 1);
            assert_int_equal(gw_image_unpack_with(fd, programs[i], NULL, &plain, &err), -EPROTO);
            assert_non_null(strstr(err.text, " failed: "));
            assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        }
    free(bytes);
}

/* What is no packed file stays the file that it is; what comes through a pipe is stored. */
static void test_plain(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    int fd = file_of("plain text", 10), ends[2], out = -1;

    assert_int_equal(gw_image_unpack(fd, "f", NULL, &out, &err), 0);
    assert_int_equal(out, fd);
    close(fd);
    fd = file_of("", 0);
    assert_int_equal(gw_image_unpack(fd, "f", NULL, &out, &err), 0);
    assert_int_equal(out, fd);
    close(fd);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "through", 7), 7);
    close(ends[1]);
    assert_int_equal(gw_image_unpack(ends[0], "f", NULL, &out, &err), 0);
    holds(out, "through", 7);
    assert_true(lseek(out, 0, SEEK_SET) == 0);
    close(out);
}

/* A damaged file: whose it is, in the program's own words, and no descriptor or process is left. */
static void test_damaged(void **state)
{
    static const uint8_t bytes[] = "\x1f\x8b\x08\x00 and then nothing that gzip wrote";
    unsigned fds = entries("/proc/self/fd");
    struct gw_error err = GW_ERROR_INIT;
    int out = -1;

    if (!have("gzip")) {
        print_message("there is no gzip\n");
        skip();
    }
    assert_int_equal(gw_image_unpack(file_of(bytes, sizeof bytes), "the file", NULL, &out, &err), -EPROTO);
    assert_int_equal(err.blame, GW_BLAME_PEER);
    assert_int_equal(strncmp(err.text, "the file: gzip failed: ", 23), 0);
    assert_null(strchr(err.text, '\n'));
    assert_null(strstr(err.text, "failed: gzip: ")); /* its name once */
    assert_int_equal(out, -1);
    assert_int_equal(entries("/proc/self/fd"), fds);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    /* What its user came to is what counts, where that was first. */
    struct gw_filter f;
    int packed = file_of(bytes, sizeof bytes);
    assert_int_equal(gw_filter_decompress(&f, "gzip", packed, &err), 0);
    assert_int_equal(gw_filter_end(&f, -ENOSPC, &err), -ENOSPC);
    close(packed);
    assert_int_equal(entries("/proc/self/fd"), fds);
}

static void test_folder(void **state)
{
    unsigned fds = entries("/proc/self/fd");
    struct gw_error err = GW_ERROR_INIT;
    int fd = -1, ends[2];

    assert_int_equal(gw_temporary("/tmp", &fd, &err), 0);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_nlink, 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    close(fd);
    fd = -1;
    assert_int_equal(gw_temporary("/no/such/folder", &fd, &err), -ENOENT);
    assert_int_equal(err.blame, GW_BLAME_LOCAL);
    assert_string_equal(err.text, "a temporary file in /no/such/folder: No such file or directory");
    assert_int_equal(fd, -1);
    /* What was to be stored there is closed all the same. */
    assert_int_equal(pipe(ends), 0);
    close(ends[1]);
    assert_int_equal(gw_image_unpack(ends[0], "pipe", "/no/such/folder", &fd, &err), -ENOENT);
    assert_non_null(strstr(err.text, "pipe: a temporary file in /no/such/folder"));
    assert_int_equal(entries("/proc/self/fd"), fds);
}

/* Zeros become holes, at any place of what comes; the file ends where the bytes do. */
static void test_sparse(void **state)
{
    static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 20000, (1 << 20) + 5000};

    for (size_t i = 0; i < GW_ARRAY_LEN(sizes); i++)
        for (int zeros = 0; zeros < 3; zeros++) { /* none, every second stretch, all */
            struct gw_error err = GW_ERROR_INIT;
            uint8_t *bytes = calloc(1, sizes[i] + 1);
            int from, to = memfd_create("to", MFD_CLOEXEC);
            struct stat st;

            for (size_t k = 0; k < sizes[i]; k++)
                bytes[k] = zeros == 2 || (zeros == 1 && k / 5000 % 2) ? 0 : (uint8_t)(k | 1);
            from = file_of(bytes, sizes[i]);
            assert_int_equal(write(to, "head", 4), 4);
            assert_int_equal(gw_copy_sparse(from, to, 8192, &err), 0);
            assert_int_equal(fstat(to, &st), 0);
            assert_int_equal(st.st_size, 8192 + sizes[i]);
            uint8_t *got = malloc(sizes[i] + 1);
            assert_int_equal(pread(to, got, sizes[i] + 1, 8192), sizes[i]);
            assert_memory_equal(got, bytes, sizes[i]);
            assert_int_equal(pread(to, got, sizes[i] > 4 ? 4 : 0, 0), sizes[i] > 4 ? 4 : 0);
            if (zeros == 2)
                assert_true(st.st_blocks <= 8); /* the page of the head */
            free(got);
            free(bytes);
            close(from);
            close(to);
        }
    struct gw_error err = GW_ERROR_INIT;
    countdown = 1;
    assert_int_equal(gw_copy_sparse(-1, -1, 0, &err), -ENOMEM);
    countdown = 0;
    assert_int_equal(gw_copy_sparse(-1, -1, 0, &err), -EBADF);
}

static void *drip(void *opaque)
{
    int fd = *(int *)opaque;

    for (unsigned i = 0; i < 100; i++)
        if (write(fd, "0123456789", 10) != 10)
            return NULL;
    close(fd);
    return NULL;
}

/* As much as there is, piece by piece, also where a read does not wait. */
static void test_read_full(void **state)
{
    static int ends[2]; /* a thread may outlive a failed test */
    struct gw_error err = GW_ERROR_INIT;
    pthread_t thread;
    char got[1100];

    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    assert_int_equal(fcntl(ends[1], F_SETFL, 0), 0);
    assert_int_equal(pthread_create(&thread, NULL, drip, &ends[1]), 0);
    assert_int_equal(gw_read_full(ends[0], got, 995, &err), 995);
    assert_memory_equal(got + 985, "5678901234", 5);
    assert_int_equal(gw_read_full(ends[0], got, sizeof got, &err), 5);
    assert_memory_equal(got, "56789", 5);
    assert_int_equal(gw_read_full(ends[0], got, sizeof got, &err), 0);
    pthread_join(thread, NULL);
    close(ends[0]);
    assert_int_equal(gw_read_full(-1, got, 1, &err), -EBADF);
    assert_string_equal(err.text, "reading: Bad file descriptor");
    assert_int_equal(gw_pwrite_all(-1, got, 1, 77, &err), -EBADF);
    assert_string_equal(err.text, "writing at byte 77: Bad file descriptor");
    assert_int_equal(gw_pwrite_all(-1, got, 0, 77, &err), 0);
}

static bool third_time(void *opaque)
{
    return ++*(unsigned *)opaque == 3;
}

/* A program that has nobody to write to never ends: it is ended when its result is not wanted any more, or when it is asked to stop. */
static void test_stopped(void **state)
{
    static const uint8_t noise[256 << 10];
    unsigned fds = entries("/proc/self/fd");

    if (!have("gzip"))
        skip();
    for (int asked = 0; asked < 2; asked++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_filter f;
        unsigned asks = 0;
        int ends[2];

        assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
        while (write(ends[1], noise, sizeof noise) > 0) /* full */
            ;
        assert_int_equal(fcntl(ends[1], F_SETFL, 0), 0);
        assert_int_equal(gw_filter_compress(&f, "gzip", 0, ends[1], &err), 0);
        assert_int_equal(write(f.pipe, "x", 1), 1);
        f.stop = asked ? third_time : NULL;
        f.opaque = &asks;
        assert_int_equal(gw_filter_end(&f, asked ? 0 : -ECANCELED, &err), -ECANCELED);
        assert_int_equal(asks, asked ? 3 : 0);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        close(ends[0]);
        close(ends[1]);
    }
    assert_int_equal(entries("/proc/self/fd"), fds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_magics),  cmocka_unit_test(test_levels), cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_volumes),
        cmocka_unit_test(test_damaged_volumes),
        cmocka_unit_test(test_plain),   cmocka_unit_test(test_damaged), cmocka_unit_test(test_folder),
        cmocka_unit_test(test_sparse),  cmocka_unit_test(test_read_full), cmocka_unit_test(test_stopped),
    };

    return cmocka_run_group_tests_name("unpack", tests, NULL, NULL);
}
