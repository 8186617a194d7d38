/* SPDX-License-Identifier: MIT
 *
 * Images become files: which formats can be written where, what is taken back, and what has no file. (Contents: ../test_write.c.)
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "image/image.h"

static struct gw_image *image;
static struct gw_error err;
static char folder[64], path[96];

static int up(void **state)
{
    uint8_t *host;

    err = (struct gw_error)GW_ERROR_INIT;
    strcpy(folder, "/tmp/gw-files-XXXXXX");
    if (!mkdtemp(folder) || gw_image_new(NULL, &image, NULL) < 0)
        return -1;
    snprintf(path, sizeof path, "%s/f", folder);
    strcpy(image->machine, "pc");
    return gw_memory_add_block(image, "ram", 64 * 4096, &host, NULL);
}

static unsigned names(void)
{
    DIR *dir = opendir(folder);
    struct dirent *e;
    unsigned n = 0;

    while ((e = readdir(dir)))
        n += e->d_name[0] != '.';
    closedir(dir);
    return n;
}

static int down(void **state)
{
    gw_image_free(image);
    unlink(path);
    return rmdir(folder);
}

static void fails(int r, int code, const char *text)
{
    assert_int_equal(r, code);
    if (!strstr(err.text, text))
        fail_msg("\"%s\" is not in \"%s\"", text, err.text);
}

static void test_formats(void **state)
{
    struct gw_image_write_options o = {.format = 99};

    fails(gw_image_check_options(&o, &err), -ENOTSUP, "files of the format ? cannot be written");
    fails(gw_image_write(image, path, &o, &err), -ENOTSUP, "/f: files of the format ? cannot be written");
    o.format = GW_IMAGE_MEMORY;
    assert_int_equal(gw_image_check_options(&o, &err), -ENOTSUP);
    o = (struct gw_image_write_options){.format = GW_IMAGE_PARKED, .compress = "rot13"};
    assert_int_equal(gw_image_check_options(&o, &err), -EINVAL);
    assert_int_equal(names(), 0);
}

/* What has places needs a file. */
static void test_standard_output(void **state)
{
    struct gw_image_write_options o = {.format = GW_IMAGE_MAPPED_RAM};

    fails(gw_image_write(image, "-", &o, &err), -EINVAL, " cannot go to standard output");
}

/* One that was there stays, unless it is to be replaced; a failure leaves nothing. */
static void test_replace(void **state)
{
    struct gw_image_write_options o = {.format = GW_IMAGE_STREAM};

    assert_int_equal(gw_image_write(image, path, &o, &err), 0);
    assert_int_equal(gw_image_write(image, path, &o, &err), -EEXIST);
    o.replace = true;
    assert_int_equal(gw_image_write(image, path, &o, &err), 0);
    assert_int_equal(names(), 1);
    unlink(path);
    o.compress = "rot13";
    fails(gw_image_write(image, path, &o, &err), -EINVAL, path);
    assert_int_equal(names(), 0);
}

static void test_revert(void **state)
{
    struct gw_image_write_options o = {.format = GW_IMAGE_STREAM};

    fails(gw_image_revert(image, NULL, &err), -EINVAL, "no file was written that could be taken back");
    assert_int_equal(gw_image_write(image, path, &o, &err), 0);
    assert_int_equal(gw_image_revert(image, NULL, &err), -EINVAL); /* it was not asked for */
    o.replace = o.revertible = true;
    assert_int_equal(gw_image_write(image, path, &o, &err), 0);
    assert_int_equal(gw_image_revert(image, NULL, &err), 0);
    assert_int_equal(names(), 1); /* what it had replaced is there again */
}

static void test_stage(void **state)
{
    struct gw_image_write_options o = {.format = GW_IMAGE_PARKED};

    fails(gw_image_stage_commit(image, &err), -EINVAL, "the image has no file");
    fails(gw_image_stage_pack(image, NULL, NULL, &err), -EINVAL, "the image has no file");
    fails(gw_image_stage(image, path, &o, &err), -EBUSY, "the image has a machine or a file already");
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_formats), T(test_standard_output), T(test_replace), T(test_revert), T(test_stage)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
