/* SPDX-License-Identifier: MIT
 *
 * Where the frames of zstd end in a file, for each way to write them; what is no frame is passed on for the program to refuse.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "image/feed.h"

#define MAGIC "\x28\xb5\x2f\xfd"
#define EMPTY "\x01\0\0" /* the last block, of no bytes */

static int file_of(const void *bytes, size_t n)
{
    int fd = memfd_create("file", MFD_CLOEXEC);

    assert_int_equal(write(fd, bytes, n), n);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

/* How much is given of a file. */
static size_t fed(const void *bytes, size_t n)
{
    GW_AUTOFREE uint8_t *got = malloc(n + 1);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_feed *f = NULL;
    int fd = file_of(bytes, n), ends[2];
    size_t have = 0;
    ssize_t some;

    assert_int_equal(pipe(ends), 0);
    assert_int_equal(gw_feed_start(fd, ends[1], &f, &err), 0);
    while ((some = read(ends[0], got + have, n + 1 - have)) > 0)
        have += (size_t)some;
    assert_int_equal(some, 0);
    assert_int_equal(gw_feed_end(f, &err), 0);
    assert_true(have <= n);
    assert_memory_equal(got, bytes, have);
    close(ends[0]);
    close(fd);
    return have;
}

static void test_heads(void **state)
{
    static const struct {
        const char *bytes;
        size_t n, frame;
    } rows[] = {
#define ROW(frame, behind) {frame behind, sizeof frame + sizeof behind - 2, sizeof frame - 1}
        ROW(MAGIC "\x00" "w" EMPTY, "garbage"),            /* a window and nothing else */
        ROW(MAGIC "\x20" "c" EMPTY, "\0\0\0\0\0"),         /* one segment, its size in a byte */
        ROW(MAGIC "\x24" "c" EMPTY "sum!", "garbage"),     /* with a checksum */
        ROW(MAGIC "\x03" "w" "idid" EMPTY, "garbage"),     /* a dictionary */
        ROW(MAGIC "\x41" "w" "i" "cc" EMPTY, "g"),         /* two bytes of size */
        ROW(MAGIC "\xe2" "ii" "cccccccc" EMPTY, MAGIC),    /* eight, and a frame that is cut */
        ROW(MAGIC "\x00" "w" "\x18\0\0" "raw\x03\0\0" "r", "x"), /* blocks: as they are, and one byte many times */
        ROW(MAGIC "\x00" "w" "\x1d\0\0" "zip", MAGIC "\x00"),    /* compressed */
        ROW(MAGIC "\x00" "w" EMPTY MAGIC "\x20" "c" EMPTY, "rest"),
        ROW("\x50\x2a\x4d\x18\x03\0\0\0" "abc" MAGIC "\x00" "w" EMPTY "\x5f\x2a\x4d\x18\0\0\0\0", "rest"), /* skippable ones */
        ROW("no frame at all", ""),
        ROW("QEV", ""),
        ROW("", ""),
        ROW(MAGIC "\x00" "w" "\x07\0\0" "such a block is none", ""),
        ROW(MAGIC "\x00" "w" "\x19\0\0" "ra", ""), /* cut */
        ROW(MAGIC "\x00" "w" "\x19", ""),
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        size_t cut = !strncmp(rows[i].bytes + rows[i].frame, MAGIC, 4) && rows[i].n - rows[i].frame == 5 ? 5 : 0;
        size_t got = fed(rows[i].bytes, rows[i].n);

        if (got != rows[i].frame + cut) /* a frame that begins is one: it is for the program to say that it has no end */
            fail_msg("row %zu: %zu bytes, not %zu", i, got, rows[i].frame + cut);
    }
}

/* Frames that are longer than any buffer; blocks at every place of it. */
static void test_long(void **state)
{
    const size_t block = 100003, blocks = 30, frame = 6 + blocks * (block + 3);
    uint8_t *bytes = calloc(1, 2 * frame + 1000), *p = bytes;

    for (int k = 0; k < 2; k++) {
        memcpy(p, MAGIC "\0w", 6);
        p += 6;
        for (size_t i = 0; i < blocks; i++, p += block + 3) {
            uint32_t head = (uint32_t)block << 3 | (i + 1 == blocks);

            memcpy(p, (uint8_t[]){(uint8_t)head, (uint8_t)(head >> 8), (uint8_t)(head >> 16)}, 3);
            memset(p + 3, (int)i + 1, block);
        }
    }
    assert_int_equal(fed(bytes, 2 * frame + 1000), 2 * frame);
    free(bytes);
}

/* Who reads may end early, without a signal for us; a file that cannot be read is said to be so. */
static void test_ends(void **state)
{
    uint8_t *bytes = calloc(1, 4 << 20);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_feed *f = NULL;
    int fd = file_of(bytes, 4 << 20), ends[2];

    assert_int_equal(pipe(ends), 0);
    assert_int_equal(gw_feed_start(fd, ends[1], &f, &err), 0);
    close(ends[0]);
    assert_int_equal(gw_feed_end(f, &err), 0);
    close(fd);
    free(bytes);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(gw_feed_start(-1, ends[1], &f, &err), 0);
    assert_int_equal(gw_feed_end(f, &err), -EIO);
    assert_string_equal(err.text, "reading: Bad file descriptor");
    assert_int_equal(read(ends[0], &fd, 1), 0);
    close(ends[0]);
    assert_int_equal(gw_feed_end(NULL, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_heads), cmocka_unit_test(test_long), cmocka_unit_test(test_ends)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
