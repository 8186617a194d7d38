/* SPDX-License-Identifier: MIT
 *
 * Damaged images: tables, counts, snapshots and bitmaps of good ones with wrong numbers. Nothing crashes, nothing
 * outside the file is written, and the header stays where it is.
 */
#include "base/bitmap.h"
#include "qcow2_abuse.h"
#include "qcow2_model.h"

static void add_bitmaps(struct model *m)
{
    struct gw_qcow2_bitmap b = {.name = (char[]){"dirty"}, .flags = GW_QCOW2_BITMAP_AUTO, .granularity_bits = 9};

    if (m->config.version < 3)
        return;
    b.bit_count = gw_div_up(m->node->bytes, 512);
    b.bits = gw_bitmap_new(b.bit_count);
    gw_bitmap_set_range(b.bits, b.bit_count / 3, b.bit_count / 2);
    rig_ok(gw_qcow2_bitmaps_store(m->node, &b, 1, &err));
    gw_bitmap_free(b.bits, b.bit_count);
}

static uint64_t interesting(uint64_t *seed, uint64_t cluster, uint64_t bytes)
{
    switch (rig_random(seed) % 8) {
    case 0:
        return 1ull << rig_random(seed) % 64;
    case 1:
        return -(1ull << rig_random(seed) % 64);
    case 2:
        return (rig_random(seed) % (bytes / cluster + 2) * cluster) | 1ull << 63;
    case 3:
        return rig_random(seed) % (bytes / cluster + 2) * cluster;
    case 4:
        return rig_random(seed) % bytes | 1ull << 62 | rig_random(seed) << 50;
    case 5:
        return rig_random(seed) % 5;
    case 6:
        return UINT64_MAX;
    default:
        return rig_random(seed);
    }
}

/* Where a number of an image is: in the header, or in a word that is not zero. */
static uint64_t place(const struct rig_file *f, uint64_t *seed)
{
    uint64_t at = rig_random(seed) % (f->bytes / 8) * 8;

    if (rig_random(seed) % 4 == 0)
        return rig_random(seed) % 32 * 4;
    for (unsigned i = 0; i < 2000 && at + 16 < f->bytes && !gw_load_be64(f->data + at); i++)
        at += 8;
    return at;
}

static void wound(struct rig_file *f, uint64_t *seed, uint64_t cluster)
{
    uint64_t at = place(f, seed), v = interesting(seed, cluster, f->bytes);

    if (at + 8 > f->bytes)
        return;
    if (rig_random(seed) % 4 == 0)
        gw_store_be32(f->data + at, (uint32_t)v);
    else if (rig_random(seed) % 4 == 0)
        f->data[at + rig_random(seed) % 8] = (uint8_t)v;
    else
        gw_store_be64(f->data + at, v);
}

static void test_wounds(void **state)
{
    const char *wanted = getenv("QCOW2_SEQUENCES");
    unsigned images = wanted ? (unsigned)atoi(wanted) : RIG_FEWER(40);
    struct rig_file copy;
    struct model m;

    model_new(&m);
    rig_new(&copy);
    for (unsigned i = 0; i < images; i++) {
        do {
            model_begin(&m, 5000 + i + m.seed);
            for (unsigned k = 0; k < 15; k++)
                model_step(&m, true);
            add_bitmaps(&m);
            model_end(&m);
        } while (m.file.bytes > 400000);
        for (unsigned k = 0; k < 30; k++) {
            rig_empty(&copy);
            memcpy(copy.data, m.file.data, m.file.bytes);
            copy.bytes = m.file.bytes;
            for (uint64_t w = 1 + rig_random(&m.seed) % 3; w; w--)
                wound(&copy, &m.seed, 1ull << m.config.cluster_bits);
            abuse(copy.data, copy.bytes);
        }
    }
    rig_done(&copy);
    model_done(&m);
}

/* Data that is said to lie where a table is: nothing is written there, and the image says that it is corrupt. */
static void test_data_over_a_table(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct rig_file f;
    struct gw_node *n = rig_image(&f, 1 << 20, 12);
    uint64_t l1, l2, reftable;
    uint8_t before[4096];

    rig_fill(n, 1, 4096, 0);
    gw_node_free(n, NULL);
    l1 = gw_load_be64(f.data + 40);
    reftable = gw_load_be64(f.data + 48);
    l2 = gw_load_be64(f.data + l1) & ~(1ull << 63);
    gw_store_be64(f.data + l2, reftable | 1ull << 63);
    memcpy(before, f.data + reftable, sizeof before);
    n = rig_open(&f, NULL, 0);
    assert_int_equal(gw_node_write(n, "x", 1, 0, 0, &err), -EPROTO);
    assert_non_null(strstr(err.text, "where a table of the image is"));
    assert_int_equal(gw_node_write(n, "x", 1, 8192, 0, &err), -EROFS);
    gw_node_free(n, NULL);
    assert_memory_equal(before, f.data + reftable, sizeof before);
    assert_int_equal(f.data[79] & 2, 2);
    assert_int_equal(gw_qcow2_open(rig_node(&f), NULL, 0, &n, &err), -EROFS);
    n = rig_open(&f, NULL, GW_QCOW2_READ_ONLY);
    gw_node_free(n, NULL);
    rig_done(&f);
}

/* An L2 table that is where another table is: found when the image is opened. */
static void test_tables_over_each_other(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct rig_file f;
    struct gw_node *n = rig_image(&f, 1 << 20, 12);
    uint64_t l1;

    rig_fill(n, 1, 4096, 0);
    gw_node_free(n, NULL);
    l1 = gw_load_be64(f.data + 40);
    gw_store_be64(f.data + l1, l1 | 1ull << 63);
    assert_int_equal(gw_qcow2_open(rig_node(&f), NULL, 0, &n, &err), -EPROTO);
    assert_non_null(strstr(err.text, "lies over another table"));
    assert_int_equal(f.data[79] & 2, 2);
    rig_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wounds),
        cmocka_unit_test(test_data_over_a_table),
        cmocka_unit_test(test_tables_over_each_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
