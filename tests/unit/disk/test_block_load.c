/* SPDX-License-Identifier: MIT
 *
 * The destination's half of the section: what is stored, what is refused and why, and that nothing else is touched.
 */
#include "disk/block.h"

#include "block_rig.h"

struct load {
    struct block_rig *a, *read_only;
    struct gw_disk *disks[2];
    struct gw_live *live;
    struct gw_out out;
};

static void begin(struct load *l)
{
    struct gw_block_config config = {.disks = l->disks, .count = 2};

    l->a = block_rig_new("a", 2 * MIB + 512, 0x5a, false);
    l->read_only = block_rig_new("r", MIB, 0x5a, true);
    l->disks[0] = l->a->disk;
    l->disks[1] = l->read_only->disk;
    assert_int_equal(gw_block_load_new(&config, &l->live, NULL), 0);
    assert_int_equal(l->live->ops->load_setup(l->live, NULL), 0);
    gw_out_memory(&l->out);
}

static void chunk(struct load *l, const char *name, uint64_t offset, int byte)
{
    static uint8_t data[MIB];

    memset(data, byte, sizeof data);
    gw_block_put_chunk(&l->out, name, offset, byte < 0);
    if (byte >= 0)
        gw_put_bytes(&l->out, data, sizeof data);
}

static int feed(struct load *l, enum gw_section_kind kind, struct gw_error *err)
{
    struct gw_reader r;
    size_t bytes;
    const uint8_t *data;
    int e;

    gw_block_put_end(&l->out);
    data = gw_out_data(&l->out, &bytes);
    gw_reader_init_memory(&r, data, bytes, 500);
    e = l->live->ops->load(l->live, kind, &r, err);
    gw_reader_close(&r);
    gw_out_free(&l->out);
    gw_out_memory(&l->out);
    return e;
}

static void end(struct load *l, bool ok)
{
    l->live->ops->load_cleanup(l->live, ok);
    l->live->ops->free(l->live);
    gw_out_free(&l->out);
    block_rig_free(l->a);
    block_rig_free(l->read_only);
}

static void test_stored(void **state)
{
    struct load l;
    struct gw_progress sum = {0};

    begin(&l);
    assert_int_equal(feed(&l, GW_SECTION_START, NULL), 0);
    assert_false(l.live->touched);
    gw_block_put_progress(&l.out, 50);
    chunk(&l, "a", 0, 1);
    chunk(&l, "a", MIB, -1);
    chunk(&l, "a", 2 * MIB, 3);
    chunk(&l, "a", 0, 4);
    assert_int_equal(feed(&l, GW_SECTION_PART, NULL), 0);
    assert_true(l.live->touched);
    assert_int_equal(gw_disk_resized(l.a->disk, MIB, NULL), -EBUSY);
    l.live->ops->progress(l.live, &sum);
    assert_int_equal(sum.disk.total_bytes, 2 * MIB + 512);
    assert_int_equal(sum.disk.transferred_bytes, MIB + 256);
    gw_block_put_progress(&l.out, 100);
    assert_int_equal(feed(&l, GW_SECTION_END, NULL), 0);
    for (uint64_t i = 0; i < l.a->bytes; i++)
        if (l.a->data[i] != (i < MIB ? 4 : i < 2 * MIB ? 0 : 3))
            fail_msg("byte %" PRIu64 " is %u", i, l.a->data[i]);
    assert_true(atomic_load(&l.a->flushes) >= 2); /* in the background, and at the end */
    assert_int_equal(l.live->ops->check_ended(l.live, GW_LIVE_ENDED, NULL, NULL), 0);
    assert_int_equal(l.live->ops->check_ended(l.live, GW_LIVE_ABSENT, NULL, NULL), 0);
    assert_int_equal(l.live->ops->check_ended(l.live, GW_LIVE_OPEN, NULL, NULL), -EPROTO);
    end(&l, true);
}

static void refuse(const char *name, uint64_t offset, int code, const char *why)
{
    struct gw_error err = GW_ERROR_INIT;
    struct load l;

    begin(&l);
    chunk(&l, name, offset, 1);
    assert_int_equal(feed(&l, GW_SECTION_PART, &err), code);
    if (!strstr(err.text, why))
        fail_msg("\"%s\" is not in: %s", why, err.text);
    assert_false(l.live->touched);
    for (uint64_t i = 0; i < l.a->bytes; i += 4096)
        assert_int_equal(l.a->data[i], 0x5a);
    end(&l, false);
}

static void test_refused(void **state)
{
    refuse("b", 0, -EPROTO, "a disk b, and this machine has none of that name");
    refuse("r", 0, -EROFS, "disk r, which the source sends, cannot be written here");
    refuse("a", 512, -EPROTO, "byte 500: a chunk of disk a begins at its byte 512, which is no multiple of 1 MiB");
    refuse("a", 3 * MIB, -EPROTO, "a chunk of disk a begins at its byte 3145728, and it has 2097664 bytes here");
    refuse("a", 1ull << 62, -EPROTO, "equally long");
}

static void test_write_fails(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct load l;

    begin(&l);
    atomic_store(&l.a->fail, -ENOSPC);
    chunk(&l, "a", 0, 1);
    assert_int_equal(feed(&l, GW_SECTION_END, &err), -ENOSPC);
    assert_non_null(strstr(err.text, "disk a: writing at byte 0"));
    end(&l, false);
}

/* A record that ends too early, anywhere. */
static void test_cut(void **state)
{
    static const uint64_t lengths[] = {0, 7, 8, 9, 10, 11, 500, MIB + 9, MIB + 17};

    for (unsigned i = 0; i < GW_ARRAY_LEN(lengths); i++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_reader r;
        struct load l;
        size_t bytes;

        begin(&l);
        chunk(&l, "a", 0, 1);
        gw_block_put_end(&l.out);
        gw_reader_init_memory(&r, gw_out_data(&l.out, &bytes), lengths[i], 0);
        assert_true(lengths[i] < bytes);
        assert_int_equal(l.live->ops->load(l.live, GW_SECTION_PART, &r, &err), -ENODATA);
        gw_reader_close(&r);
        end(&l, false);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stored),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_write_fails),
        cmocka_unit_test(test_cut),
    };

    return cmocka_run_group_tests_name("block_load", tests, NULL, NULL);
}
