/* SPDX-License-Identifier: MIT */
#include "property.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "calls.h"
#include "disk/node/probe.h"
#include "disk/node/raw.h"

#define MARK "QFI\xfb"

static char path[64];

/* /var/tmp is on a disk more often than /tmp, so that O_DIRECT and holes can be tried. */
static void make(uint64_t bytes)
{
    int fd;

    strcpy(path, "/var/tmp/gw-raw-XXXXXX");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
    close(fd);
}

static int up(void **state)
{
    memset(&calls, 0, sizeof calls);
    path[0] = 0;
    return 0;
}

static int down(void **state)
{
    memset(&calls, 0, sizeof calls);
    if (path[0])
        unlink(path);
    return 0;
}

static struct gw_node *opened(const struct gw_node_options *o, bool guarded)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_node *n = NULL;

    if (gw_raw_open(path, o, guarded, &n, &err) == -EINVAL && strstr(err.text, "page cache"))
        return NULL;
    ok(err.code, &err);
    return n;
}

static void property(const struct gw_node_options *o, uint64_t bytes, uint64_t seed, unsigned count)
{
    uint8_t *array = calloc(1, bytes + 1);
    struct gw_node *n;

    make(bytes);
    n = opened(o, false);
    if (n) {
        assert_int_equal(n->bytes, bytes);
        if (bytes > 16)
            node_refuses_what_is_not_in_it(n);
        node_property(n, array, seed, count);
        assert_int_equal(gw_node_free(n, NULL), 0);
    }
    unlink(path);
    free(array);
}

static void test_property(void **state)
{
    static const uint64_t sizes[] = {1, 513, 65536, 300001};

    for (unsigned cache = 0; cache <= GW_NODE_CACHE_UNSAFE; cache++)
        for (unsigned i = 0; i < GW_ARRAY_LEN(sizes); i++)
            property(&(struct gw_node_options){.cache = (enum gw_node_cache)cache}, sizes[i], cache * 4 + i,
                     cache == GW_NODE_CACHE_WRITETHROUGH || cache == GW_NODE_CACHE_DIRECTSYNC ? 40 : 150);
}

static void test_poor_file_systems(void **state)
{
    const struct gw_node_options o = {.cache = GW_NODE_CACHE_UNSAFE};

    calls.no_falloc = EOPNOTSUPP;
    property(&o, 100000, 1, 200);
    assert_in_range(calls.fallocs, 2, 4); /* each was tried once in each file */
    calls.no_seek = EINVAL;
    property(&o, 100000, 2, 200);
    calls.no_falloc = 0;
    calls.no_seek = 0;
    calls.nasty = true;
    calls.part_bytes = 512;
    property(&o, 100000, 3, 200);
}

static void test_holes(void **state)
{
    struct gw_node_run run;
    struct gw_error err = GW_ERROR_INIT;
    struct gw_node *n;

    make(4 << 20);
    n = opened(&(struct gw_node_options){0}, false);
    ok(gw_node_write(n, "x", 1, 2 << 20, 0, &err), &err);
    ok(gw_node_find(n, 4 << 20, 0, &run, &err), &err);
    if (run.kind == GW_DISK_DATA) {
        print_message("SKIP: this file system tells of no holes\n");
        skip();
    }
    assert_int_equal(run.kind, GW_DISK_ZERO);
    assert_int_equal(run.bytes, 2 << 20);
    ok(gw_node_find(n, 2 << 20, 2 << 20, &run, &err), &err);
    assert_int_equal(run.kind, GW_DISK_DATA);
    assert_true(run.bytes < 1 << 20 && run.fd >= 0 && run.file_offset == 2 << 20);
    ok(gw_node_zero(n, 4 << 20, 0, GW_NODE_UNMAP, &err), &err);
    ok(gw_node_find(n, 4 << 20, 0, &run, &err), &err);
    assert_true(run.kind == GW_DISK_ZERO && run.bytes == 4 << 20);
    gw_node_free(n, NULL);
}

/* The end of a run of data is not looked for again and again, and a hole in it is seen all the same. */
static void test_found_once(void **state)
{
    static uint8_t data[1 << 20];
    struct gw_node_run run;
    struct gw_error err = GW_ERROR_INIT;
    struct gw_node *n;
    unsigned seeks;

    make(4 << 20);
    n = opened(&(struct gw_node_options){0}, false);
    memset(data, 1, sizeof data);
    for (unsigned i = 0; i < 3; i++)
        ok(gw_node_write(n, data, sizeof data, i << 20, 0, &err), &err);
    ok(gw_node_find(n, 64 << 10, 0, &run, &err), &err);
    seeks = calls.seeks;
    for (unsigned at = 64 << 10; at < 3 << 20; at += 64 << 10) {
        ok(gw_node_find(n, 64 << 10, at, &run, &err), &err);
        assert_true(run.kind == GW_DISK_DATA && run.bytes == 64 << 10 && run.file_offset == at);
    }
    assert_int_equal(calls.seeks, seeks);
    ok(gw_node_zero(n, 1 << 20, 1 << 20, GW_NODE_UNMAP, &err), &err);
    ok(gw_node_find(n, 3 << 20, 0, &run, &err), &err);
    if (seeks && run.bytes != 3 << 20) /* else it tells of no holes */
        assert_int_equal(run.bytes, 1 << 20);
    ok(gw_node_find(n, 1 << 20, 1 << 20, &run, &err), &err);
    assert_true(run.kind == GW_DISK_ZERO || calls.seeks == seeks);
    gw_node_free(n, NULL);
}

static void test_disk_full(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_node *n;
    char zeros[100] = {0};

    make(100000);
    n = opened(&(struct gw_node_options){0}, false);
    calls.bad_errno = calls.no_falloc = ENOSPC;
    calls.bad_from = 50000;
    assert_int_equal(gw_node_write(n, zeros, 100, 49990, 0, &err), -ENOSPC);
    assert_non_null(strstr(err.text, path));
    assert_non_null(strstr(err.text, "90 bytes at offset 50000"));
    assert_int_equal(gw_node_zero(n, 100000, 0, 0, &err), -ENOSPC);
    assert_non_null(strstr(err.text, "at offset 50000"));
    assert_int_equal(gw_node_discard(n, 100000, 0, &err), 0); /* a hint */
    calls.bad_errno = EIO;
    assert_int_equal(gw_node_read(n, zeros, 1, 60000, &err), -EIO);
    calls.bad_sync = EIO;
    assert_int_equal(gw_node_flush(n, &err), -EIO);
    assert_non_null(strstr(err.text, "may not be on the disk"));
    assert_int_equal(gw_node_write(n, zeros, 1, 0, GW_NODE_DURABLE, &err), -EIO);
    gw_node_free(n, NULL);
}

static unsigned syncs_of(enum gw_node_cache cache, unsigned flags)
{
    struct gw_node *n = opened(&(struct gw_node_options){.cache = cache}, false);
    unsigned before = calls.syncs;

    gw_node_write(n, "x", 1, 0, flags, NULL);
    gw_node_flush(n, NULL);
    gw_node_free(n, NULL);
    return calls.syncs - before;
}

static void test_flushes(void **state)
{
    make(4096);
    assert_int_equal(syncs_of(GW_NODE_CACHE_WRITEBACK, 0), 1);
    assert_int_equal(syncs_of(GW_NODE_CACHE_WRITEBACK, GW_NODE_DURABLE), 2);
    assert_int_equal(syncs_of(GW_NODE_CACHE_UNSAFE, GW_NODE_DURABLE), 0);
}

static void test_head_is_guarded(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_node_run run;
    struct gw_node *n;

    make(8192);
    n = opened(&(struct gw_node_options){0}, true);
    assert_int_equal(gw_node_write(n, MARK, 4, 0, 0, &err), -EPERM);
    assert_non_null(strstr(err.text, "format raw"));
    ok(gw_node_write(n, MARK, 3, 0, 0, &err), &err);
    assert_int_equal(gw_node_write(n, &MARK[3], 1, 3, 0, &err), -EPERM); /* bit by bit neither */
    ok(gw_node_write(n, MARK, 4, 512, 0, &err), &err);
    ok(gw_node_find(n, 4096, 0, &run, &err), &err);
    assert_true(run.file_read_only);
    gw_node_free(n, NULL);
    n = opened(&(struct gw_node_options){0}, false);
    ok(gw_node_write(n, MARK, 4, 0, 0, &err), &err);
    gw_node_free(n, NULL);
}

static void test_handing_over(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_node *n, *other = NULL;
    char c;

    make(8192);
    n = opened(&(struct gw_node_options){0}, false);
    assert_int_equal(gw_raw_open(path, &(struct gw_node_options){0}, false, &other, &err), -EBUSY);
    assert_int_equal(gw_raw_open(path, &(struct gw_node_options){.read_only = true}, false, &other, &err), -EBUSY);
    other = opened(&(struct gw_node_options){.unlocked = true}, false);
    gw_node_free(other, NULL);
    other = opened(&(struct gw_node_options){.inactive = true}, false);
    assert_int_equal(gw_node_read(other, &c, 1, 0, &err), -EPERM);
    assert_int_equal(gw_node_write(other, &c, 1, 0, 0, &err), -EPERM);
    assert_int_equal(gw_node_activate(other, &err), -EBUSY);
    ok(gw_node_write(n, "x", 1, 0, 0, &err), &err);
    ok(gw_node_inactivate(n, &err), &err);
    assert_int_equal(gw_node_write(n, "x", 1, 0, 0, &err), -EPERM);
    ok(gw_node_activate(other, &err), &err);
    ok(gw_node_read(other, &c, 1, 0, &err), &err);
    assert_int_equal(c, 'x');
    assert_int_equal(gw_node_activate(n, &err), -EBUSY);
    gw_node_free(other, NULL);
    ok(gw_node_activate(n, &err), &err);
    ok(gw_node_write(n, "y", 1, 0, 0, &err), &err);
    gw_node_free(n, NULL);
}

static void test_what_is_no_disk(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_node *n = NULL;

    assert_int_equal(gw_raw_open("/nonexistent/x", &(struct gw_node_options){0}, false, &n, &err), -ENOENT);
    assert_non_null(strstr(err.text, "/nonexistent/x"));
    assert_int_equal(gw_raw_open("/", &(struct gw_node_options){.read_only = true}, false, &n, &err), -EINVAL);
    assert_true(gw_raw_open("/dev/null", &(struct gw_node_options){0}, false, &n, &err) < 0);
}

static void test_resize(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_node *n;
    struct stat st;

    make(8192);
    n = opened(&(struct gw_node_options){0}, false);
    ok(gw_node_resize(n, 100001, &err), &err);
    assert_int_equal(n->bytes, 100001);
    stat(path, &st);
    assert_int_equal(st.st_size, 100001);
    assert_int_equal(gw_node_resize(n, UINT64_MAX, &err), -EFBIG);
    assert_int_equal(n->bytes, 100001);
    gw_node_free(n, NULL);
}

#define raw_test(test) cmocka_unit_test_setup_teardown(test, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        raw_test(test_property),     raw_test(test_poor_file_systems), raw_test(test_holes),
        raw_test(test_found_once),
        raw_test(test_disk_full),    raw_test(test_flushes),           raw_test(test_head_is_guarded),
        raw_test(test_handing_over), raw_test(test_what_is_no_disk),   raw_test(test_resize),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
