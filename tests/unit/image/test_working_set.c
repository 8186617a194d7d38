/* SPDX-License-Identifier: MIT
 *
 * The file of a working set: there and back, what is no such file, and what stands in its place.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "ram/source/working_set.h"

static char folder[] = "/var/tmp/godwit-set-XXXXXX", path[64], beside[64];
static struct gw_working_set *set;

static int up(void **state)
{
    strcpy(folder + sizeof folder - 7, "XXXXXX");
    if (!mkdtemp(folder) || gw_working_set_new(&set, NULL) || gw_working_set_add(set, 4096, "r", 100, false, 7, 3, NULL))
        return -1;
    snprintf(path, sizeof path, "%s/set", folder);
    snprintf(beside, sizeof beside, "%s/beside", folder);
    return 0;
}

static int down(void **state)
{
    set = gw_working_set_free(set);
    unlink(path);
    unlink(beside);
    return rmdir(folder); /* nothing temporary is left in it */
}

static void write_set(bool replace)
{
    struct gw_error err = GW_ERROR_INIT;

    if (gw_working_set_write(set, path, replace, &err) < 0)
        fail_msg("%s", err.text);
}

/* The set that is read into has a run already, and has it still, alone. */
static void refused(const char *name, int code, const char *why)
{
    struct gw_error err = GW_ERROR_INIT;
    char text[300];

    assert_int_equal(gw_working_set_read(set, name, &err), code);
    snprintf(text, sizeof text, "%s: ", name);
    if (strncmp(err.text, text, strlen(text)) || !strstr(err.text, why))
        fail_msg("%s", err.text);
    assert_int_equal(set->run_count, 1);
    assert_int_equal(set->runs[0].first, 7);
}

static void test_there_and_back(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_working_set *got = NULL;

    write_set(false);
    assert_int_equal(gw_working_set_new(&got, &err), 0);
    assert_int_equal(gw_working_set_add(got, 4096, "other", 10, true, 1, 1, &err), 0);
    assert_int_equal(gw_working_set_read(got, path, &err), 0); /* behind what there is */
    assert_int_equal(got->run_count, 2);
    assert_string_equal(got->blocks[got->runs[0].block].name, "other");
    assert_string_equal(got->blocks[got->runs[1].block].name, "r");
    assert_int_equal(got->runs[1].first, 7);
    assert_int_equal(got->runs[1].count, 3);
    gw_working_set_free(got);
}

/* What is there stays, unless it is to be replaced. */
static void test_replace(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct stat before, after;

    write_set(false);
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(gw_working_set_add(set, 4096, "s", 100, false, 50, 1, &err), 0);
    assert_int_equal(gw_working_set_write(set, path, false, &err), -EEXIST);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(before.st_size, after.st_size);
    write_set(true);
    assert_int_equal(stat(path, &after), 0);
    assert_true(after.st_size > before.st_size);
}

static void test_cannot_be_written(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    char nowhere[100];

    snprintf(nowhere, sizeof nowhere, "%s/no/set", folder);
    assert_int_equal(gw_working_set_write(set, nowhere, true, &err), -ENOENT);
    assert_non_null(strstr(err.text, nowhere));
}

/* A pipe that nobody writes to is not waited for. */
static void test_no_file(void **state)
{
    refused(path, -ENOENT, "No such file");
    refused(folder, -EPROTO, "not a working set");
    assert_int_equal(mkfifo(beside, 0600), 0);
    refused(beside, -EPROTO, "not a working set");
}

/* One that is larger than any is not read; one that was cut or damaged changes nothing. */
static void test_no_working_set(void **state)
{
    struct stat st;
    uint8_t byte;
    int fd;

    write_set(false);
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(pread(fd, &byte, 1, st.st_size - 6), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, st.st_size - 6), 1);
    refused(path, -EPROTO, "checksum");
    assert_int_equal(ftruncate(fd, 3), 0);
    refused(path, -EPROTO, "");
    assert_int_equal(ftruncate(fd, 0), 0);
    refused(path, -EPROTO, "");
    assert_int_equal(ftruncate(fd, (off_t)GW_WORKING_SET_BYTES_MAX + 1), 0);
    refused(path, -EPROTO, "not a file of at most");
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_there_and_back, up, down),    cmocka_unit_test_setup_teardown(test_replace, up, down),
        cmocka_unit_test_setup_teardown(test_cannot_be_written, up, down), cmocka_unit_test_setup_teardown(test_no_file, up, down),
        cmocka_unit_test_setup_teardown(test_no_working_set, up, down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
