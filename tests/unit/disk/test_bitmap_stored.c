/* SPDX-License-Identifier: MIT
 *
 * Persistent bitmaps of a disk in its image: there when it is opened again, in use meanwhile, left to the destination, kept where they
 * are not understood.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/bitmap.h"
#include "disk/bitmap.h"
#include "disk/bitmap_stored.h"
#include "disk/node/qcow2.h"

#define DISK_BYTES (1u << 20)

static struct gw_node *file;

static int disk_read(void *opaque, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    return gw_node_read(opaque, to, bytes, offset, err);
}

static int disk_write(void *opaque, const void *from, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    return gw_node_write(opaque, from, bytes, offset, 0, err);
}

static int activate(void *opaque, struct gw_error *err)
{
    return gw_node_activate(opaque, err);
}

static int inactivate(void *opaque, struct gw_error *err)
{
    return gw_node_inactivate(opaque, err);
}

static const struct gw_disk_ops ops = {
    GW_SIZED(struct gw_disk_ops), .read = disk_read, .write = disk_write, .activate = activate, .inactivate = inactivate};

static void ok(int r, const struct gw_error *err)
{
    if (r < 0)
        fail_msg("%s", err->text);
}

static struct gw_node *open_node(unsigned flags)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_node *n = NULL, *copy = gw_node_memory(file->bytes, 4096);
    GW_AUTOFREE uint8_t *room = malloc(file->bytes);

    ok(gw_node_read(file, room, file->bytes, 0, &err), &err);
    ok(gw_node_write(copy, room, file->bytes, 0, 0, &err), &err);
    gw_node_free(file, NULL);
    file = copy;
    ok(gw_qcow2_open(copy, NULL, flags, &n, &err), &err);
    return n;
}

/* The bytes of the file stay. */
static void close_node(struct gw_node *n)
{
    GW_AUTOFREE uint8_t *room = NULL;
    struct gw_error err = GW_ERROR_INIT;
    struct gw_node *copy;
    uint64_t bytes;

    ok(gw_node_flush(n, &err), &err);
    bytes = file->bytes;
    room = malloc(bytes);
    ok(gw_node_read(file, room, bytes, 0, &err), &err);
    copy = gw_node_memory(bytes, 4096);
    ok(gw_node_write(copy, room, bytes, 0, 0, &err), &err);
    gw_node_free(n, NULL);
    file = copy;
}

static struct gw_disk *disk_on(struct gw_node *n)
{
    const struct gw_disk_desc desc = {.device = "d", .bytes = DISK_BYTES, .ops = &ops, .opaque = n, .image = n};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_disk *d = NULL;

    ok(gw_disk_new(&desc, &d, &err), &err);
    return d;
}

static int up_as(unsigned version)
{
    const struct gw_qcow2_config config = {.bytes = DISK_BYTES, .cluster_bits = 12, .version = version};

    file = gw_node_memory(0, 4096);
    return gw_qcow2_create(file, &config, NULL);
}

static int up(void **state)
{
    return up_as(3);
}

static int down(void **state)
{
    gw_node_free(file, NULL);
    return 0;
}

static void add(struct gw_disk *d, const char *name, uint64_t granularity, bool disabled)
{
    const struct gw_bitmap_config config = {.name = name, .granularity = granularity, .persistent = true, .disabled = disabled};
    struct gw_error err = GW_ERROR_INIT;

    ok(gw_disk_bitmap_add(d, &config, &err), &err);
}

static struct gw_bitmap_info info(struct gw_disk *d, const char *name)
{
    struct gw_bitmap_info i;

    for (unsigned k = 0; gw_disk_bitmap_at(d, k, &i) >= 0; k++)
        if (!strcmp(i.name, name))
            return i;
    fail_msg("no bitmap %s", name);
    return i;
}

static void write_at(struct gw_disk *d, uint64_t offset)
{
    struct gw_error err = GW_ERROR_INIT;

    ok(gw_disk_write(d, "x", 1, offset, &err), &err);
}

static bool dirty(struct gw_disk *d, const char *name, uint64_t offset)
{
    struct gw_error err = GW_ERROR_INIT;
    uint64_t at, bytes;

    ok(gw_disk_bitmap_next(d, name, offset, &at, &bytes, &err), &err);
    return bytes && at == offset;
}

static void test_opened_again(void **state)
{
    struct gw_node *n = open_node(0);
    struct gw_disk *d = disk_on(n);
    struct gw_bitmap_info i;

    add(d, "auto", 4096, false);
    add(d, "off", 65536, true);
    write_at(d, 70000);
    write_at(d, DISK_BYTES - 1);
    gw_disk_free(d);
    close_node(n);
    for (unsigned round = 0; round < 2; round++) {
        n = open_node(0);
        d = disk_on(n);
        i = info(d, "auto");
        assert_true(i.recording && i.persistent && !i.inconsistent);
        assert_int_equal(i.granularity, 4096);
        assert_int_equal(i.dirty_bytes, (2 + round) * 4096);
        assert_true(dirty(d, "auto", 70000 / 4096 * 4096) && dirty(d, "auto", DISK_BYTES - 4096));
        assert_false(info(d, "off").recording);
        assert_int_equal(info(d, "off").granularity, 65536);
        write_at(d, 500000);
        gw_disk_free(d);
        close_node(n);
    }
    n = open_node(0);
    d = disk_on(n);
    assert_int_equal(gw_disk_bitmap_remove(d, "auto", NULL), 0);
    assert_int_equal(gw_disk_bitmap_remove(d, "off", NULL), 0);
    gw_disk_free(d);
    assert_false(gw_qcow2_has_bitmaps(n));
    close_node(n);
}

/* The process ended without a word: they say nothing, can be removed, and stay so when they are stored again. */
static void test_killed(void **state)
{
    struct gw_node *n = open_node(0);
    struct gw_disk *d = disk_on(n);

    add(d, "b", 4096, false);
    gw_disk_free(d);
    close_node(n);
    n = open_node(0);
    d = disk_on(n);
    d->active = false; /* nothing is stored at its end */
    gw_disk_free(d);
    close_node(n);
    for (unsigned round = 0; round < 2; round++) {
        n = open_node(0);
        d = disk_on(n);
        assert_true(info(d, "b").inconsistent);
        assert_int_equal(gw_disk_bitmap_clear(d, "b", NULL), -ESTALE);
        if (round)
            assert_int_equal(gw_disk_bitmap_remove(d, "b", NULL), 0);
        gw_disk_free(d);
        assert_int_equal(gw_qcow2_has_bitmaps(n), !round);
        close_node(n);
    }
}

/* It goes to another host and comes back, with what that host has stored; the one that migrated is left to that host. */
static void test_given(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_node *n = open_node(0);
    struct gw_disk *d = disk_on(n);
    struct gw_bitmap_info i;

    add(d, "stays", 4096, false);
    add(d, "goes", 4096, false);
    write_at(d, 4096);
    ok(gw_disk_bitmap_select(d, "goes", &i, &err), &err);
    gw_disk_bitmap_set_stored(d, "goes", false);
    ok(gw_disk_inactivate(d, &err), &err);
    assert_int_equal(gw_disk_bitmap_at(d, 1, &i), -ENOENT);
    assert_int_equal(gw_disk_bitmap_at(d, 0, &i), 0);
    assert_string_equal(i.name, "goes");
    /* The migration fails. */
    ok(gw_disk_activate(d, &err), &err);
    gw_disk_bitmap_set_stored(d, "goes", true);
    gw_disk_bitmap_release(d, "goes");
    assert_true(dirty(d, "stays", 4096) && dirty(d, "goes", 4096));
    write_at(d, 40960);
    gw_disk_free(d);
    close_node(n);
    n = open_node(0);
    d = disk_on(n);
    assert_true(dirty(d, "stays", 40960) && dirty(d, "goes", 40960));
    gw_disk_free(d);
    close_node(n);
}

/* A backup that did not end: what was written meanwhile is dirty too. */
static void test_split(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_node *n = open_node(0);
    struct gw_disk *d = disk_on(n);

    add(d, "b", 4096, false);
    write_at(d, 4096);
    ok(gw_disk_bitmap_split(d, "b", &err), &err);
    write_at(d, 40960);
    gw_disk_free(d);
    close_node(n);
    n = open_node(0);
    d = disk_on(n);
    assert_true(dirty(d, "b", 4096) && dirty(d, "b", 40960));
    gw_disk_free(d);
    close_node(n);
}

/* Flags that nobody knows: it stays as it was, unless it should have seen the writes. */
static void test_not_understood(void **state)
{
    uint64_t bits[4] = {7};
    const struct gw_qcow2_bitmap made = {.name = (char[]){"odd"}, .granularity_bits = 12, .bit_count = 256, .bits = bits, .flags = 64};
    struct gw_qcow2_bitmap *found = NULL;
    struct gw_error err = GW_ERROR_INIT;
    struct gw_node *n = open_node(0);
    struct gw_bitmap_info i;
    struct gw_disk *d;
    unsigned count;

    ok(gw_qcow2_bitmaps_store(n, &made, 1, &err), &err);
    close_node(n);
    n = open_node(0);
    d = disk_on(n);
    assert_int_equal(gw_disk_bitmap_at(d, 0, &i), -ENOENT);
    add(d, "b", 4096, false);
    gw_disk_free(d);
    ok(gw_qcow2_bitmaps_load(n, &found, &count, &err), &err);
    assert_int_equal(count, 2);
    assert_string_equal(found[0].name, "odd");
    assert_int_equal(found[0].flags, 64);
    gw_qcow2_bitmaps_free(found, count);
    close_node(n);
}

static void test_refused(void **state)
{
    const struct gw_bitmap_config config = {.name = "b", .persistent = true};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_node *n = gw_node_memory(DISK_BYTES, 4096);
    struct gw_disk *d = disk_on(n);

    assert_int_equal(gw_disk_bitmap_add(d, &config, &err), -ENOTSUP);
    assert_string_equal(err.text, "disk d can have no persistent bitmaps: it is memory");
    gw_disk_free(d);
    gw_node_free(n, NULL);
    gw_node_free(file, NULL);
    assert_int_equal(up_as(2), 0);
    n = open_node(0);
    d = disk_on(n);
    assert_int_equal(gw_disk_bitmap_add(d, &config, &err), -ENOTSUP);
    gw_disk_free(d);
    close_node(n);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_opened_again), T(test_killed),         T(test_given),
                                       T(test_split),        T(test_not_understood), T(test_refused)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
