/* SPDX-License-Identifier: MIT
 *
 * Device state in files: what is written, what is read, and what is said of a file that is none.
 */
#include "rig.h"

#include <fcntl.h>
#include <sys/stat.h>

static char path[64];

static int up(void **state)
{
    snprintf(path, sizeof path, "/tmp/gw-state-%d", (int)getpid());
    unlink(path);
    return rig_up(state);
}

static int down(void **state)
{
    unlink(path);
    return rig_down(state);
}

static const char *command(const char *name, const char *file)
{
    static char text[512];

    snprintf(text, sizeof text, "{\"execute\":\"%s\",\"arguments\":{\"filename\":\"%s\"}}", name, file);
    return text;
}

static void write_file(const char *data, size_t bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_int_equal(write(fd, data, bytes), bytes);
    close(fd);
}

/* A machine that runs stands for that moment, which is told. What was in the file before is gone. */
static void test_saved(void **state)
{
    struct client *cl = ready(*state);
    struct stat st;

    write_file("something longer", 16);
    say(cl, command("xen-save-devices-state", path));
    check_event(cl, "STOP", NULL);
    check_event(cl, "RESUME", NULL);
    check_next(cl, "save", OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 1);
    ask(cl, command("xen-load-devices-state", path), OK);
    bye(cl);
}

/* One that stands: nothing is told. */
static void test_stands(void **state)
{
    struct rig *rig = *state;
    struct client *cl = ready(rig);

    rig->run_state = "paused";
    ask(cl, command("xen-save-devices-state", path), OK);
    bye(cl);
}

static void test_no_file(void **state)
{
    struct client *cl = ready(*state);

    ask(cl, command("xen-load-devices-state", "/nonexistent/x"), E("/nonexistent/x cannot be opened: No such file or directory"));
    say(cl, command("xen-save-devices-state", "/nonexistent/x"));
    check_event(cl, "STOP", NULL);
    check_event(cl, "RESUME", NULL);
    check_next(cl, "save", E("/nonexistent/x cannot be opened: No such file or directory"));
    ask(cl, command("xen-load-devices-state", "/"), E("reading '/': Is a directory"));
    bye(cl);
}

/* All of it is read, however long it is. */
static void test_long(void **state)
{
    static char data[200000];
    struct client *cl = ready(*state);

    write_file("s", 1);
    ask(cl, command("xen-load-devices-state", path), OK);
    data[0] = 's';
    write_file(data, sizeof data);
    ask(cl, command("xen-load-devices-state", path), E("no state of the fake"));
    write_file("", 0);
    ask(cl, command("xen-load-devices-state", path), E("no state of the fake"));
    bye(cl);
}

static void test_arguments(void **state)
{
    struct client *cl = ready(*state);

    ask(cl, "{\"execute\":\"xen-save-devices-state\"}", E("argument 'filename' is missing"));
    bye(cl);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_saved), T(test_stands), T(test_no_file), T(test_long), T(test_arguments)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
