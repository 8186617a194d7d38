/* SPDX-License-Identifier: MIT
 *
 * What a server has of a machine in each format: the machine, whatever was there before; and what has no room or no end
 * is refused before anything is written. The server is memory of this test.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "../shelf.h"
#include "image/files/far_out.h"

#define PAGES 1024u
#define RAM   (PAGES * 4096u)
#define SIZE  (RAM + (3u << 20) + 512)

static struct shelf shelf;
static struct gw_image *image;
static uint8_t *ram;
static struct gw_error err;

/* Pages with contents at both ends, and holes of many MiB. */
static int up(void **state)
{
    err = (struct gw_error)GW_ERROR_INIT;
    shelf_open(&shelf, SIZE, 0xee);
    if (gw_image_new(NULL, &image, NULL) < 0 || gw_memory_add_block(image, "ram", RAM, &ram, NULL) < 0)
        return -1;
    strcpy(image->machine, "pc");
    for (unsigned i = 0; i < PAGES; i += i == 40 ? 900 : 1)
        for (unsigned k = 0; k < 4096; k += 8)
            memcpy(ram + (size_t)i * 4096 + k, &(uint64_t){(i * 512ull + k) * 0x9e3779b97f4a7c15ull}, 8);
    return 0;
}

static int down(void **state)
{
    gw_image_free(image);
    shelf_close(&shelf);
    return 0;
}

static int write_far(const struct gw_image_write_options *o)
{
    for (unsigned i = 0; i < gw_image_format_count; i++)
        if (gw_image_formats[i].format == o->format)
            return gw_far_write(image, &gw_image_formats[i], o, &shelf.bytes, &err);
    return -ENOENT;
}

static void has_the_machine(void)
{
    int fd = memfd_create("shelf", MFD_CLOEXEC);
    uint8_t *got = malloc(RAM);
    struct gw_image *back = NULL;
    char path[64];

    assert_int_equal(write(fd, shelf.data, SIZE), SIZE);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (gw_image_open(path, &back, &err) < 0 || (back->ops->check && back->ops->check(back, &err) < 0))
        fail_msg("%s", err.text);
    assert_string_equal(back->machine, "pc");
    assert_int_equal(gw_image_pages(back, 0, 0, PAGES, got, &err), 0);
    assert_memory_equal(got, ram, RAM);
    gw_image_free(back);
    free(got);
    close(fd);
}

static const struct gw_image_write_options each[] = {
    {.format = GW_IMAGE_PARKED, .compress = "none"},
    {.format = GW_IMAGE_PARKED},
    {.format = GW_IMAGE_STREAM},
    {.format = GW_IMAGE_MAPPED_RAM},
    {.format = GW_IMAGE_STREAM, .compress = "raw"},
    {.format = GW_IMAGE_LIBVIRT, .libvirt_xml = "<domain/>"},
    {.format = GW_IMAGE_LIBVIRT, .libvirt_xml = "<domain/>", .compress = "sparse"},
};

static void test_each_format(void **state)
{
    for (unsigned i = 0; i < GW_ARRAY_LEN(each); i++) {
        memset(shelf.data, 0xee, SIZE);
        if (write_far(&each[i]) < 0)
            fail_msg("%u: %s", i, err.text);
        has_the_machine();
    }
    /* Where it ends is written, so that nothing behind it was touched. */
    memset(shelf.data, 0xee, SIZE);
    assert_int_equal(write_far(&each[0]), 0);
    assert_int_equal(shelf.data[SIZE - 1], 0xee);
    assert_int_equal(write_far(&each[2]), 0);
    assert_int_equal(shelf.data[SIZE - 1], 0);
}

/* Each write fails in turn: nobody is told that all is well. */
static void test_failures(void **state)
{
    for (unsigned i = 0; i < 3; i++) {
        int r = -1;

        for (unsigned at = 1; r < 0; at++) {
            shelf.did = 0;
            shelf.fails_at = at;
            shelf.fail_for = 1;
            err = (struct gw_error)GW_ERROR_INIT;
            r = write_far(&each[i]);
            assert_true(r >= 0 ? shelf.did < at : r == -EIO && strstr(err.text, "shelf: byte "));
        }
        has_the_machine();
    }
}

static void refused(const struct gw_image_write_options *o, int code, const char *text)
{
    shelf.did = 0;
    assert_int_equal(write_far(o), code);
    if (!strstr(err.text, text))
        fail_msg("'%s' is not in '%s'", text, err.text);
    assert_int_equal(shelf.did, 0);
}

static void test_refused(void **state)
{
    refused(&(struct gw_image_write_options){.format = GW_IMAGE_STREAM, .compress = "gzip"}, -EINVAL,
            "does not tell where it ends");
    refused(
        &(struct gw_image_write_options){.format = GW_IMAGE_LIBVIRT, .libvirt_xml = "<domain/>", .compress = "zstd"},
        -EINVAL, "libvirt");
    shelf.bytes.size = RAM - 512;
    refused(&each[3], -ENOSPC, "of RAM alone");
    refused(&each[6], -ENOSPC, "of RAM alone");
    shelf.bytes.size = 64 << 10;
    refused(&each[2], -ENOSPC, "it has 65536 bytes, too few for a file of ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_format, up, down),
        cmocka_unit_test_setup_teardown(test_failures, up, down),
        cmocka_unit_test_setup_teardown(test_refused, up, down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
