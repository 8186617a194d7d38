/* SPDX-License-Identifier: MIT
 *
 * Files that a stream is written to: guest memory, which nobody else may read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "channel/transport.h"

static char folder[64];

static int setup(void **state)
{
    strcpy(folder, "/tmp/gw-file-XXXXXX");
    umask(0);
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    char command[128];

    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static const char *path(const char *name)
{
    static char buf[128];

    snprintf(buf, sizeof buf, "%s/%s", folder, name);
    return buf;
}

static int write_to(const char *name, const char *more, struct gw_error *err)
{
    struct gw_channel *ch = NULL;
    struct gw_uri uri;
    char text[256];
    int r;

    snprintf(text, sizeof text, "file:%s%s", path(name), more);
    assert_int_equal(gw_uri_parse(text, &uri, err), 0);
    r = gw_file_open(&uri, true, &ch, err);
    if (r < 0)
        return r;
    assert_int_equal(gw_channel_write_full(ch, "new", 3, err), 0);
    assert_int_equal(gw_channel_close(ch, err), 0);
    gw_channel_free(ch);
    return 0;
}

static void make(const char *name, mode_t mode)
{
    int fd = open(path(name), O_WRONLY | O_CREAT, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "what was there", 14), 14);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static struct stat look(const char *name)
{
    struct stat st;

    assert_int_equal(stat(path(name), &st), 0);
    return st;
}

static void test_mode(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    assert_int_equal(write_to("new", "", &err), 0);
    assert_int_equal(look("new").st_mode & 07777, 0600);
    make("open", 0644);
    assert_int_equal(write_to("open", "", &err), 0);
    assert_int_equal(look("open").st_mode & 07777, 0600);
    assert_int_equal(look("open").st_size, 3);
    make("head", 0666);
    assert_int_equal(write_to("head", ",offset=4", &err), 0);
    assert_int_equal(look("head").st_mode & 07777, 0600);
    assert_int_equal(look("head").st_size, 7);
}

static void test_links(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct stat st;

    assert_int_equal(symlink("nowhere", path("dangling")), 0);
    assert_int_equal(write_to("dangling", "", &err), -EEXIST);
    assert_non_null(strstr(err.text, "a symbolic link that leads nowhere"));
    assert_int_equal(lstat(path("nowhere"), &st), -1);
    make("there", 0600);
    assert_int_equal(symlink("there", path("link")), 0);
    assert_int_equal(write_to("link", "", &err), 0);
    assert_int_equal(look("there").st_size, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_mode, setup, teardown),
                                       cmocka_unit_test_setup_teardown(test_links, setup, teardown)};

    return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
