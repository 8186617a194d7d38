/* SPDX-License-Identifier: MIT
 *
 * Headers that are refused, and what is kept of those that are taken.
 */
#include "qcow2_rig.h"

static int opens(struct rig_file *f, const char *word)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_qcow2_about about;
    struct gw_node *n = rig_node(f);
    int r = gw_qcow2_about(n, &about, &err);

    gw_node_free(n, NULL);
    if (r < 0 && !strstr(err.text, word))
        fail_msg("%s", err.text);
    return r;
}

/* A number of the header becomes another, and is put back. */
static void refuse32(struct rig_file *f, unsigned at, uint32_t v, int code, const char *word)
{
    uint32_t old = gw_load_be32(f->data + at);

    gw_store_be32(f->data + at, v);
    assert_int_equal(opens(f, word), code);
    gw_store_be32(f->data + at, old);
}

static void test_refused(void **state)
{
    struct rig_file f;

    rig_new(&f);
    rig_create(&f, &(struct gw_qcow2_config){.bytes = 1 << 20, .cluster_bits = 12});
    assert_int_equal(opens(&f, ""), 0);
    refuse32(&f, 0, 0x514649fa, -EPROTO, "no qcow2 image");
    refuse32(&f, 4, 4, -ENOTSUP, "version");
    refuse32(&f, 4, 1, -ENOTSUP, "version");
    refuse32(&f, 20, 8, -EPROTO, "cluster");
    refuse32(&f, 20, 22, -EPROTO, "cluster");
    refuse32(&f, 24, 1u << 31, -EPROTO, "disk");
    refuse32(&f, 28, 1u << 31, -EPROTO, "L1 table");
    refuse32(&f, 32, 2, -ENOTSUP, "LUKS");
    refuse32(&f, 32, 1, -ENOTSUP, "encrypted");
    refuse32(&f, 36, 0, -EPROTO, "L1 table");
    refuse32(&f, 36, 1u << 31, -EPROTO, "L1 table");
    refuse32(&f, 44, 100, -EPROTO, "L1 table at offset 100 begins within a cluster");
    refuse32(&f, 40, 1, -EPROTO, "L1 table");
    refuse32(&f, 48, 1, -EPROTO, "refcount table");
    refuse32(&f, 56, 0, -EPROTO, "refcount table");
    refuse32(&f, 56, 1u << 20, -EPROTO, "refcount table");
    refuse32(&f, 60, 1u << 20, -EPROTO, "snapshots");
    refuse32(&f, 76, 4, -ENOTSUP, "another file");
    refuse32(&f, 76, 32, -ENOTSUP, "bit 5");
    refuse32(&f, 72, 1u << 31, -ENOTSUP, "bit 63");
    refuse32(&f, 76, 8, -EPROTO, "compression");
    refuse32(&f, 76, 16, -EPROTO, "subclusters");
    refuse32(&f, 96, 7, -EPROTO, "refcounts");
    refuse32(&f, 100, 96, -EPROTO, "own bytes");
    refuse32(&f, 100, 1u << 20, -EPROTO, "own bytes");
    assert_int_equal(opens(&f, ""), 0);
    rig_done(&f);
}

static void test_name_of_a_feature(void **state)
{
    struct rig_file f;

    rig_new(&f);
    rig_create(&f, &(struct gw_qcow2_config){.bytes = 1 << 20, .cluster_bits = 12});
    gw_store_be32(f.data + 112, 0x6803f857);
    gw_store_be32(f.data + 116, 48);
    f.data[121] = 7;
    strcpy((char *)f.data + 122, "time travel");
    f.data[79] = 128;
    assert_int_equal(opens(&f, "time travel"), -ENOTSUP);
    rig_done(&f);
}

static void test_backing(void **state)
{
    struct gw_qcow2_config c = {.bytes = 1 << 20, .cluster_bits = 12, .backing = "a/b", .backing_format = "raw"};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_qcow2_about about;
    struct gw_node *n;
    struct rig_file f;

    rig_new(&f);
    rig_create(&f, &c);
    n = rig_node(&f);
    rig_ok(gw_qcow2_about(n, &about, &err));
    assert_string_equal(about.backing, "a/b");
    assert_string_equal(about.backing_format, "raw");
    gw_node_free(n, NULL);
    refuse32(&f, 16, 1024, -EPROTO, "bytes of the name of its backing are 1024");
    refuse32(&f, 12, 4095, -EPROTO, "3 bytes at offset 4095, is not in the first 4096 bytes");
    assert_int_equal(gw_qcow2_open(rig_node(&f), NULL, 0, &n, &err), -EINVAL);
    assert_non_null(strstr(err.text, "a/b"));
    rig_done(&f);
}

/* Extensions and fields that are not known stay when the header is written again. */
static void test_unknown_is_kept(void **state)
{
    struct gw_qcow2_bitmap b = {.name = (char[]){"b"}, .granularity_bits = 16, .bit_count = 16};
    uint64_t bits = 5;
    struct gw_node *n;
    struct rig_file f;

    rig_new(&f);
    rig_create(&f, &(struct gw_qcow2_config){.bytes = 1 << 20, .cluster_bits = 12});
    gw_store_be32(f.data + 100, 120);
    f.data[115] = 9;
    gw_store_be32(f.data + 120, 0x12345678);
    gw_store_be32(f.data + 124, 3);
    memcpy(f.data + 128, "abc", 3);
    n = rig_open(&f, NULL, 0);
    b.bits = &bits;
    rig_ok(gw_qcow2_bitmaps_store(n, &b, 1, &err));
    gw_node_free(n, NULL);
    assert_int_equal(f.data[115], 9);
    assert_int_equal(gw_load_be32(f.data + 120), 0x12345678);
    assert_memory_equal(f.data + 128, "abc\0\0\0\0\0\x23\x85\x28\x75", 12);
    rig_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_name_of_a_feature),
        cmocka_unit_test(test_backing),
        cmocka_unit_test(test_unknown_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
