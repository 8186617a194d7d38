/* SPDX-License-Identifier: MIT
 *
 * A disk around the embedder's calls: what is checked before each, what listeners hear, who owns it, what blocks it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "disk_rig.h"

struct heard {
    struct gw_disk_listener listener;
    char log[500];
};

static void wrote(struct gw_disk_listener *l, uint64_t offset, uint64_t bytes)
{
    struct heard *h = GW_CONTAINER(l, struct heard, listener);
    size_t n = strlen(h->log);

    snprintf(h->log + n, sizeof h->log - n, "%" PRIu64 "@%" PRIu64 " ", bytes, offset);
}

static struct rig_disk m;

static struct gw_disk_desc desc(void)
{
    m = (struct rig_disk){0};
    return (struct gw_disk_desc){
        .device = "drive0", .node = "node0", .bytes = RIG_BYTES, .ops = &rig_ops, .opaque = &m, .request_bytes = 512};
}

static struct gw_disk *new (void)
{
    struct gw_disk_desc d = desc();

    assert_int_equal(gw_disk_new(&d, &m.disk, NULL), 0);
    return m.disk;
}

static void refused(const struct gw_disk_desc *d, int code, const char *text)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_disk *disk = NULL;

    assert_int_equal(gw_disk_new(d, &disk, &err), code);
    assert_null(disk);
    if (!strstr(err.text, text))
        fail_msg("%s", err.text);
}

static void test_new(void **state)
{
    struct gw_disk_ops no_read = {GW_SIZED(struct gw_disk_ops)};
    struct gw_disk_desc d = desc();
    char name[300];

    memset(name, 'a', sizeof name);
    name[256] = 0;
    d.device = name;
    refused(&d, -EINVAL, "1 to 255 bytes, not 256");
    d.device = "";
    refused(&d, -EINVAL, "1 to 255 bytes, not 0");
    d.device = d.node = NULL;
    refused(&d, -EINVAL, "needs a device name or a node name");
    d.node = name + 1;
    d.ops = &no_read;
    refused(&d, -EINVAL, "needs the call read");
    d.ops = &rig_ops;
    d.request_bytes = 513;
    refused(&d, -EINVAL, "not of 513 bytes");
    d.request_bytes = 4096;
    refused(&d, -EINVAL, "are not a multiple of 4096");
    d.request_bytes = 0;
    d.bytes = 1ull << 63;
    refused(&d, -EINVAL, "up to 2^63");
    d.bytes--;
    assert_int_equal(gw_disk_new(&d, &m.disk, NULL), 0);
    assert_string_equal(gw_disk_name(m.disk), name + 1);
    gw_disk_free(m.disk);
    gw_disk_free(NULL);
}

static void test_calls(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_disk *d = new ();
    struct heard h = {.listener.wrote = wrote};
    struct gw_disk_run run;
    uint8_t buffer[1024] = {1, 2, 3};

    gw_disk_listen(d, &h.listener);
    m.run = (struct gw_disk_run){GW_DISK_ZERO, 512};
    assert_int_equal(gw_disk_write(d, buffer, 1024, 512, NULL), 0);
    assert_int_equal(gw_disk_read(d, buffer, 512, 1024, NULL), 0);
    assert_int_equal(gw_disk_zero(d, 512, 0, true, NULL), 0);
    assert_int_equal(gw_disk_discard(d, 512, 1024, NULL), 0);
    assert_int_equal(gw_disk_find(d, 1024, 0, &run, NULL), 0);
    assert_int_equal(run.bytes, 512);
    assert_int_equal(gw_disk_flush(d, NULL), 0);
    assert_string_equal(m.log,
                        "write 1024@512, read 512@1024, unmap 512@0, discard 512@1024, find 1024@0, flush 0@0, ");
    assert_string_equal(h.log, "1024@512 512@0 512@1024 ");

    assert_int_equal(gw_disk_write(d, buffer, 512, 1, &err), -EINVAL);
    assert_non_null(strstr(err.text, "disk drive0: 512 bytes at 1 are not multiples of its 512"));
    assert_int_equal(gw_disk_read(d, buffer, 1024, RIG_BYTES - 512, &err), -EINVAL);
    assert_non_null(strstr(err.text, "beyond its end"));
    assert_int_equal(gw_disk_read(d, buffer, 512, UINT64_MAX - 511, &err), -EINVAL);
    assert_int_equal(gw_disk_find(d, 0, 0, &run, &err), -EINVAL);
    m.run.bytes = 1025;
    err = (struct gw_error)GW_ERROR_INIT;
    assert_int_equal(gw_disk_find(d, 1024, 0, &run, &err), -EINVAL);
    assert_int_equal(err.blame, GW_BLAME_EMBEDDER);
    gw_disk_unlisten(d, &h.listener);
    gw_disk_unlisten(d, &h.listener);
    assert_int_equal(atomic_load(&d->listening), 0);
    gw_disk_free(d);
}

static void test_failures(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_disk *d = new ();
    struct heard h = {.listener.wrote = wrote};

    gw_disk_listen(d, &h.listener);
    m.fail = -EIO;
    assert_int_equal(gw_disk_write(d, m.log, 512, 1024, &err), -EIO);
    assert_non_null(strstr(err.text, "disk drive0: writing at byte 1024"));
    assert_int_equal(err.blame, GW_BLAME_EMBEDDER);
    assert_string_equal(h.log, "512@1024 "); /* a part may have been written */
    m.say = true;
    err = (struct gw_error)GW_ERROR_INIT;
    assert_int_equal(gw_disk_read(d, m.log, 512, 0, &err), -EIO);
    assert_non_null(strstr(err.text, "said so"));
    assert_int_equal(err.blame, GW_BLAME_LOCAL);
    assert_int_equal(gw_disk_inactivate(d, &err), -EIO);
    m.fail = 0;
    assert_int_equal(gw_disk_write(d, m.data, 512, 0, NULL), 0); /* it is still ours */
    gw_disk_unlisten(d, &h.listener);
    gw_disk_free(d);
}

/* Without the optional calls: zeros are written, all is data, nothing is discarded. */
static void test_least(void **state)
{
    struct gw_disk_ops ops = {GW_SIZED(struct gw_disk_ops), .read = rig_read, .write = rig_write};
    struct gw_disk_desc given = desc();
    struct gw_disk_run run;
    struct gw_disk *d;

    given.ops = &ops;
    assert_int_equal(gw_disk_new(&given, &d, NULL), 0);
    memset(m.data, 7, sizeof m.data);
    assert_int_equal(gw_disk_zero(d, RIG_BYTES, 0, false, NULL), 0);
    assert_string_equal(m.log, "write 65536@0, write 512@65536, ");
    for (unsigned i = 0; i < RIG_BYTES; i++)
        assert_int_equal(m.data[i], 0);
    assert_int_equal(gw_disk_find(d, 1024, 512, &run, NULL), 0);
    assert_int_equal(run.kind, GW_DISK_DATA);
    assert_int_equal(run.bytes, 1024);
    assert_int_equal(gw_disk_discard(d, 512, 0, NULL), 0);
    assert_int_equal(gw_disk_flush(d, NULL), 0);
    assert_int_equal(gw_disk_activate(d, NULL), 0);
    gw_disk_free(d);
    ops.write = NULL;
    assert_int_equal(gw_disk_new(&given, &d, NULL), 0);
    assert_int_equal(gw_disk_write(d, m.data, 512, 0, NULL), -EROFS);
    gw_disk_free(d);
}

static void test_owner(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_disk *d = new ();

    assert_int_equal(gw_disk_activate(d, NULL), 0); /* it is ours */
    assert_int_equal(gw_disk_inactivate(d, NULL), 0);
    assert_int_equal(gw_disk_inactivate(d, NULL), 0);
    assert_int_equal(gw_disk_zero(d, 512, 0, false, &err), -EPERM);
    assert_non_null(strstr(err.text, "another host"));
    assert_int_equal(gw_disk_activate(d, NULL), 0);
    assert_int_equal(gw_disk_zero(d, 512, 0, false, NULL), 0);
    assert_string_equal(m.log, "inactivate 0@0, activate 0@0, zero 512@0, ");
    gw_disk_free(d);
}

static void test_blockers(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_disk *d = new ();

    assert_int_equal(gw_disk_block(d, "a backup reads it", NULL), 0);
    assert_int_equal(gw_disk_block(d, "a backup reads it", NULL), 0);
    gw_disk_unblock(d, "a backup reads it");
    gw_disk_unblock(d, "something else");
    assert_int_equal(gw_disk_check_unblocked(d, "cannot be removed", &err), -EBUSY);
    assert_string_equal(err.text, "disk drive0 cannot be removed: a backup reads it");
    assert_int_equal(gw_disk_resized(d, 1024, &err), -EBUSY);
    gw_disk_unblock(d, "a backup reads it");
    assert_int_equal(gw_disk_resized(d, 1024, NULL), 0);
    assert_int_equal(gw_disk_read(d, m.log, 512, 1024, NULL), -EINVAL);
    assert_int_equal(gw_disk_resized(d, 1000, &err), -EINVAL);
    for (unsigned i = 0; i < GW_DISK_BLOCKERS; i++)
        assert_int_equal(gw_disk_block(d, "x", NULL), 0);
    assert_int_equal(gw_disk_block(d, "x", &err), -ENOSPC);
    gw_disk_free(d);
}

static void test_wrote(void **state)
{
    struct gw_disk *d = new ();
    struct heard h = {.listener.wrote = wrote}, other = {.listener.wrote = wrote};

    gw_disk_wrote(d, 0, 512);
    gw_disk_listen(d, &h.listener);
    gw_disk_listen(d, &other.listener);
    gw_disk_wrote(d, 100, 1);
    gw_disk_wrote(d, RIG_BYTES - 1, 100);
    gw_disk_unlisten(d, &other.listener);
    gw_disk_wrote(d, RIG_BYTES, 1);
    gw_disk_wrote(d, 0, 0);
    gw_disk_wrote(d, 1, UINT64_MAX);
    assert_string_equal(h.log, "1@100 1@66047 66047@1 ");
    assert_string_equal(other.log, "1@100 1@66047 ");
    gw_disk_unlisten(d, &h.listener);
    gw_disk_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new),   cmocka_unit_test(test_calls), cmocka_unit_test(test_failures),
        cmocka_unit_test(test_least), cmocka_unit_test(test_owner), cmocka_unit_test(test_blockers),
        cmocka_unit_test(test_wrote),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
