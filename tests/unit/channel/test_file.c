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
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "channel/beside.h"
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
    assert_non_null(strstr(err.text, "a symbolic link whose target does not exist"));
    assert_int_equal(lstat(path("nowhere"), &st), -1);
    make("there", 0600);
    assert_int_equal(symlink("there", path("link")), 0);
    assert_int_equal(write_to("link", "", &err), 0);
    assert_int_equal(look("there").st_size, 3);
}

#define WRITERS 8
#define EACH 64
#define ODD 700 /* bytes: no multiple of any sector */

struct beside {
    struct gw_channel *ch;
    int i, r;
};

static void *write_beside(void *arg)
{
    struct beside *b = arg;
    struct gw_error err = GW_ERROR_INIT;
    char what[ODD];

    memset(what, 'a' + b->i, ODD);
    for (int k = 0; k < EACH && !b->r; k++)
        b->r = gw_channel_pwrite_full(b->ch, what, ODD, (uint64_t)(k * WRITERS + b->i) * ODD, &err);
    return NULL;
}

/* Threads write to their places of one file, all at once, through the page cache and past it, where none of what they give is
 * aligned. Nothing is refused, and every byte is in the file. */
static void test_writers_beside_each_other(void **state)
{
    for (int direct = 0; direct < 2; direct++) {
        struct gw_error err = GW_ERROR_INIT;
        struct beside b[WRITERS] = {0};
        struct gw_channel *ch = NULL;
        pthread_t t[WRITERS];
        char text[256], got[ODD];
        struct gw_uri uri;
        int fd;

        snprintf(text, sizeof text, "file:%s", path("many"));
        assert_int_equal(gw_uri_parse(text, &uri, &err), 0);
        assert_int_equal(gw_file_open(&uri, true, &ch, &err), 0);
        for (int i = 0; i < WRITERS; i++) {
            b[i].i = i;
            assert_true(gw_channel_beside(ch, direct, &b[i].ch, &err) >= 0);
        }
        for (int i = 0; i < WRITERS; i++)
            assert_int_equal(pthread_create(&t[i], NULL, write_beside, &b[i]), 0);
        for (int i = 0; i < WRITERS; i++)
            pthread_join(t[i], NULL);
        for (int i = 0; i < WRITERS; i++) {
            assert_int_equal(b[i].r, 0);
            gw_channel_free(b[i].ch);
        }
        assert_int_equal(gw_channel_close(ch, &err), 0);
        gw_channel_free(ch);

        fd = open(path("many"), O_RDONLY | O_CLOEXEC);
        for (int k = 0; k < EACH * WRITERS; k++) {
            assert_int_equal(read(fd, got, ODD), ODD);
            for (int j = 0; j < ODD; j++)
                assert_int_equal(got[j], 'a' + k % WRITERS);
        }
        close(fd);
        unlink(path("many"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_mode, setup, teardown),
                                       cmocka_unit_test_setup_teardown(test_links, setup, teardown),
                                       cmocka_unit_test_setup_teardown(test_writers_beside_each_other, setup, teardown)};

    return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
