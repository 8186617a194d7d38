/* SPDX-License-Identifier: MIT
 *
 * An image as a stream or a mapped-ram file: which options there are, and where it begins.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "image/image.h"
#include "image/stream/file.h"
#include "image/stream/outline.h"

static struct gw_image *image;
static struct gw_error err;
static const struct gw_image_write_options plain = {.format = GW_IMAGE_STREAM};

static int up(void **state)
{
    uint8_t *host;

    err = (struct gw_error)GW_ERROR_INIT;
    if (gw_image_new(NULL, &image, NULL) < 0 || gw_memory_add_block(image, "ram", 64 * 4096, &host, NULL) < 0)
        return -1;
    memset(host + 3 * 4096, 7, 4096);
    strcpy(image->machine, "pc");
    image->footers = true;
    return 0;
}

static int down(void **state)
{
    gw_image_free(image);
    return 0;
}

static int file(void)
{
    int fd = memfd_create("out", MFD_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static off_t size_of(int fd)
{
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    return st.st_size;
}

/* It goes on where the descriptor stands, which stays the caller's. */
static void test_where_it_stands(void **state)
{
    int fd = file();
    char magic[4];

    assert_int_equal(write(fd, "before", 6), 6);
    assert_int_equal(gw_stream_write(image, &plain, fd, &err), 0);
    assert_int_equal(pread(fd, magic, 4, 6), 4);
    assert_memory_equal(magic, "QEVM", 4);
    assert_true(size_of(fd) > 6 + 4096 && size_of(fd) < 6 + 4096 + 64 * 20 + 1000); /* zeros take no page */
    assert_int_equal(close(fd), 0);
}

/* An outline has no pages. */
static void test_outline(void **state)
{
    int fd = file();

    assert_int_equal(gw_stream_write_outline(image, fd, &err), 0);
    assert_true(size_of(fd) > 50 && size_of(fd) < 1000);
    close(fd);
}

/* Of a mapped-ram file the caller says where it begins. */
static void test_mapped(void **state)
{
    int fd = file();
    char magic[4];

    assert_int_equal(gw_mapped_write_at(image, &plain, fd, 8192, &err), 0);
    assert_int_equal(pread(fd, magic, 4, 8192), 4);
    assert_memory_equal(magic, "QEVM", 4);
    image->machine[0] = 0;
    assert_int_equal(gw_mapped_write(image, &plain, fd, &err), -EINVAL);
    assert_string_equal(err.text, "a mapped-ram file needs a machine type's name, and there is none");
    close(fd);
}

static void test_options(void **state)
{
    struct gw_image_write_options o = plain;

    assert_int_equal(gw_stream_check_options(&o, &err), 0);
    o.compress = "raw";
    assert_int_equal(gw_stream_check_options(&o, &err) | gw_mapped_check_options(&o, &err), 0);
    o.compress = "rot13";
    assert_int_equal(gw_stream_check_options(&o, &err), -EINVAL);
    assert_string_equal(err.text, "a stream cannot be compressed with rot13, but with gzip, bzip2, xz, lzop or zstd");
    assert_int_equal(gw_stream_write(image, &o, 1, &err), -EINVAL);
    o.compress = "gzip";
    assert_int_equal(gw_mapped_check_options(&o, &err), -EINVAL);
    assert_string_equal(err.text, "a mapped-ram file cannot be compressed");
    assert_int_equal(gw_mapped_write(image, &o, 1, &err), -EINVAL);
}

/* What could not be written is an error, and the descriptor stays open. */
static void test_full(void **state)
{
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

    if (fd < 0) {
        print_message("SKIP: there is no /dev/full\n");
        skip();
    }
    assert_int_equal(gw_stream_write(image, &plain, fd, &err), -ENOSPC);
    assert_int_equal(close(fd), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_where_it_stands), T(test_outline), T(test_mapped), T(test_options), T(test_full)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
