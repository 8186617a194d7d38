/* SPDX-License-Identifier: MIT
 *
 * What is in a file is found wherever it lies: plain, behind an offset, in a libvirt file; and what is said where there is none.
 */
#include "report.h"

#include <fcntl.h>
#include <unistd.h>

#include "../image/built.h"
#include "../image/disks.h"
#include "examine/inspect.h"

static struct built b;
static char path[64];
static struct gw_error err;
static struct gw_inspect *in;

static int up(void **state)
{
    err = (struct gw_error)GW_ERROR_INIT;
    snprintf(path, sizeof path, "/tmp/gw-inspect-%d", (int)getpid());
    built_begin(&b, 4096);
    built_ram_start(&b);
    built_ram(&b, GW_ELEMENT_END, 0, BUILT_PAGES, BUILT_MIXED);
    built_end(&b, 8);
    return gw_inspect_new(&in, NULL);
}

static int down(void **state)
{
    gw_out_free(&b.out);
    gw_inspect_free(in);
    unlink(path);
    return 0;
}

static void write_file(size_t before, size_t cut)
{
    size_t n;
    const uint8_t *data = gw_out_data(&b.out, &n);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_int_equal(ftruncate(fd, (off_t)before), 0);
    assert_int_equal(pwrite(fd, data, n - cut, (off_t)before), n - cut);
    close(fd);
}

static void test_plain(void **state)
{
    write_file(0, 0);
    assert_int_equal(gw_inspect_file(in, path, NULL, &err), 0);
    assert_null(in->container.kind);
    assert_int_equal(in->container.head_bytes, 0);
    /* One object looks at one stream. */
    assert_int_equal(gw_inspect_file(in, path, NULL, &err), -EINVAL);
    assert_string_equal(err.text, "a stream was inspected with this object already");
}

/* The caller says where the machine begins. */
static void test_offset(void **state)
{
    char name[96];

    write_file(8192, 0);
    snprintf(name, sizeof name, "%s,offset=8192", path);
    assert_int_equal(gw_inspect_file(in, name, NULL, &err), 0);
    assert_int_equal(in->container.head_bytes, 8192);
}

static void fails(const char *name, int code, const char *text)
{
    assert_int_equal(gw_inspect_file(in, name, NULL, &err), code);
    if (!strstr(err.text, text))
        fail_msg("\"%s\" is not in \"%s\"", text, err.text);
    assert_int_equal(in->error.code, code); /* what is shown says it too */
}

static void test_no_file(void **state)
{
    fails("/nonexistent/x", -ENOENT, "No such file or directory");
}

static void test_folder(void **state)
{
    fails("/tmp", -EISDIR, "Is a directory");
}

static void test_cut(void **state)
{
    write_file(0, 10);
    fails(path, -ENODATA, "stream ended at byte");
}

static void test_nothing(void **state)
{
    write_file(0, 0);
    assert_int_equal(truncate(path, 0), 0);
    assert_true(gw_inspect_file(in, path, NULL, &err) < 0);
}

/* The state in a snapshot of a disk image. */
static void test_snapshot(void **state)
{
    const uint8_t *data;
    size_t n;

    assert_int_equal(disk_up(NULL), 0);
    data = gw_out_data(&b.out, &n);
    disk_snapshot("one", data, n);
    disk_snapshot("two", "", 0);
    assert_int_equal(gw_inspect_snapshot(in, disk_path, "two", disk_folder, &err), -ENOENT);
    assert_non_null(strstr(err.text, "snapshot two has no machine state"));
    disk_ok(gw_inspect_snapshot(in, disk_path, "one", disk_folder, &err));
    assert_int_equal(in->bytes, n);
    assert_int_equal(gw_inspect_snapshot(in, disk_path, "one", disk_folder, &err), -EINVAL);
    disk_down(NULL);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_plain),  T(test_offset), T(test_no_file),
                                       T(test_folder), T(test_cut),    T(test_nothing), T(test_snapshot)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
