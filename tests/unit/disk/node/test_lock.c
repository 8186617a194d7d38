/* SPDX-License-Identifier: MIT
 *
 * Two descriptions of one file stand for two programs. With QEMU itself: tests/interop/test_disk_locks.py.
 */
#include "property.h"

#include <fcntl.h>
#include <stdio.h>

#include "disk/node/lock.h"

static char path[64];
static int a, b;
static int refuse; /* an errno: this file system has no locks */

int __real_fcntl64(int fd, int command, void *arg);
int __wrap_fcntl64(int fd, int command, void *arg);
int __wrap_fcntl64(int fd, int command, void *arg)
{
    if (!refuse)
        return __real_fcntl64(fd, command, arg);
    errno = refuse;
    return -1;
}

static int up(void **state)
{
    strcpy(path, "/tmp/gw-lock-XXXXXX");
    a = mkstemp(path);
    b = open(path, O_RDWR | O_CLOEXEC);
    return a < 0 || b < 0 ? -1 : 0;
}

static int down(void **state)
{
    refuse = 0;
    close(a);
    close(b);
    return unlink(path);
}

static void expect(int fd, unsigned used, unsigned kept, const char *word)
{
    struct gw_error err = GW_ERROR_INIT;
    int r = gw_node_lock(fd, used, kept, "it.raw", &err);

    if (!word) {
        ok(r, &err);
        return;
    }
    assert_int_equal(r, -EBUSY);
    if (strncmp(err.text, "it.raw: ", 8) || !strstr(err.text, word))
        fail_msg("%s", err.text);
}

static void test_two_writers(void **state)
{
    expect(a, GW_LOCK_READ | GW_LOCK_WRITE, GW_LOCK_WRITE | GW_LOCK_RESIZE, NULL);
    expect(b, GW_LOCK_READ | GW_LOCK_WRITE, GW_LOCK_WRITE, "does not share");
    expect(b, GW_LOCK_READ | GW_LOCK_WRITE, 0, "does not share");
    expect(b, GW_LOCK_READ, GW_LOCK_WRITE, "writes to it");
    expect(b, GW_LOCK_READ, 0, NULL); /* who lets others write may read beside */
    gw_node_unlock(b);
    gw_node_unlock(a);
    expect(b, GW_LOCK_READ | GW_LOCK_WRITE, GW_LOCK_WRITE, NULL);
}

static void test_readers(void **state)
{
    expect(a, GW_LOCK_READ, GW_LOCK_WRITE | GW_LOCK_RESIZE, NULL);
    expect(b, GW_LOCK_READ, GW_LOCK_WRITE | GW_LOCK_RESIZE, NULL);
    gw_node_unlock(b);
    expect(b, GW_LOCK_RESIZE, 0, "does not share");
    expect(b, GW_LOCK_WRITE, 0, "does not share");
}

/* One that was refused has left nothing behind. */
static void test_a_refused_one_holds_nothing(void **state)
{
    expect(a, GW_LOCK_WRITE, GW_LOCK_WRITE, NULL);
    expect(b, GW_LOCK_READ | GW_LOCK_WRITE, GW_LOCK_READ | GW_LOCK_WRITE, "does not share");
    gw_node_unlock(a);
    expect(a, GW_LOCK_READ | GW_LOCK_WRITE, GW_LOCK_READ | GW_LOCK_WRITE, NULL);
    expect(b, GW_LOCK_READ, 0, "does not share");
    close(a);
    a = -1;
    expect(b, GW_LOCK_READ, GW_LOCK_READ, NULL); /* a closed file is not locked */
    a = open(path, O_RDONLY);
    expect(a, 0, GW_LOCK_READ, "reads it");
}

static void test_no_such_locks(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    refuse = EINVAL;
    expect(a, GW_LOCK_WRITE, GW_LOCK_WRITE, NULL);
    refuse = ENOLCK;
    assert_int_equal(gw_node_lock(a, GW_LOCK_WRITE, 0, "it.raw", &err), -ENOLCK);
    assert_non_null(strstr(err.text, "locking"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_two_writers, up, down),
        cmocka_unit_test_setup_teardown(test_readers, up, down),
        cmocka_unit_test_setup_teardown(test_a_refused_one_holds_nothing, up, down),
        cmocka_unit_test_setup_teardown(test_no_such_locks, up, down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
