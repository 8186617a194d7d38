/* SPDX-License-Identifier: MIT
 *
 * gw_output: a file that appears whole under its name, or not at all. On odd file systems: test_out.c.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "image/image.h"

#define FAILING_COUNTDOWN
#include "../../failing.h"

static char folder[64];

static int up(void **state)
{
    strcpy(folder, "/tmp/gw-output-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int down(void **state)
{
    char command[100];

    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static const char *path(const char *name)
{
    static char buf[128];

    snprintf(buf, sizeof buf, "%s/%s", folder, name);
    return buf;
}

static void holds(const char *name, const char *want)
{
    char got[100] = "";
    int fd = open(path(name), O_RDONLY);

    assert_true(fd >= 0);
    assert_int_equal(read(fd, got, sizeof got - 1), strlen(want));
    assert_string_equal(got, want);
    close(fd);
}

static void put(const char *name, const char *text)
{
    int fd = open(path(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void test_committed(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_output *o = NULL;
    struct stat st;

    assert_int_equal(gw_output_new(path("new"), false, &o, &err), 0);
    assert_int_equal(write(gw_output_fd(o), "whole", 5), 5);
    /* Nobody sees it before. */
    assert_int_equal(access(path("new"), F_OK), -1);
    assert_int_equal(gw_output_commit(o, &err), 0);
    holds("new", "whole");
    assert_null(gw_output_free(o));
    holds("new", "whole");
    assert_int_equal(stat(path("new"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(entries(folder), 3); /* with . and .. */
}

static void test_given_up(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_output *o = NULL;
    unsigned fds = entries("/proc/self/fd");

    assert_int_equal(gw_output_new(path("never"), false, &o, &err), 0);
    assert_int_equal(write(gw_output_fd(o), "half", 4), 4);
    gw_output_free(o);
    assert_int_equal(entries(folder), 2);
    assert_int_equal(entries("/proc/self/fd"), fds);
    assert_null(gw_output_free(NULL));
}

/* What is there is replaced only when told so, and not before the commit. */
static void test_there(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_output *o = NULL;

    put("there", "before");
    assert_int_equal(gw_output_new(path("there"), false, &o, &err), -EEXIST);
    assert_non_null(strstr(err.text, "there"));
    assert_null(o);
    assert_int_equal(gw_output_new(path("there"), true, &o, &err), 0);
    assert_int_equal(write(gw_output_fd(o), "after", 5), 5);
    holds("there", "before");
    assert_int_equal(gw_output_commit(o, &err), 0);
    holds("there", "after");
    gw_output_free(o);
    assert_int_equal(entries(folder), 3);
    /* One that comes meanwhile is not overwritten. */
    assert_int_equal(gw_output_new(path("late"), false, &o, &err), 0);
    put("late", "somebody's");
    assert_int_equal(gw_output_commit(o, &err), -EEXIST);
    gw_output_free(o);
    holds("late", "somebody's");
    assert_int_equal(entries(folder), 4);
}

static void test_refused(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_output *o = NULL;
    char name[5000];

    assert_int_equal(gw_output_new(path("no/such/folder"), false, &o, &err), -ENOENT);
    assert_int_equal(mkdir(path("folder"), 0700), 0);
    assert_true(gw_output_new(path("folder"), true, &o, &err) < 0 || gw_output_commit(o, &err) < 0);
    o = gw_output_free(o);
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    assert_true(gw_output_new(name, false, &o, &err) < 0);
    assert_true(err.code < 0 && err.text[0]);
    assert_null(o);
    assert_int_equal(entries(folder), 3);
}

static void test_nomem(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_output *o = NULL;

    countdown = 1;
    assert_int_equal(gw_output_new(path("x"), false, &o, &err), -ENOMEM);
    countdown = 0;
    assert_int_equal(err.blame, GW_BLAME_LOCAL);
    assert_null(o);
    assert_int_equal(entries(folder), 2);
}

#define output_test(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        output_test(test_committed), output_test(test_given_up), output_test(test_there),
        output_test(test_refused),   output_test(test_nomem),
    };

    return cmocka_run_group_tests_name("output", tests, NULL, NULL);
}
