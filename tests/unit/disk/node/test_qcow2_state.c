/* SPDX-License-Identifier: MIT
 *
 * The state of a machine behind the disk, as it is now and in snapshots; what is refused.
 */
#include "qcow2_rig.h"

#include "disk/node/qcow2_inner.h"

#define DISK  (1u << 20)
#define STATE 100001u

static void test_state(void **state)
{
    struct gw_qcow2_snapshot s = {.name = (char[]){"s"}, .state_bytes = 100000};
    struct gw_error err = GW_ERROR_INIT;
    struct rig_file f;
    struct gw_node *n = rig_image(&f, 1 << 20, 12);
    uint8_t *room = malloc(100000);

    memset(room, 5, 100000);
    rig_ok(gw_qcow2_state_write(n, room, 100000, 0, &err));
    rig_ok(gw_qcow2_snapshot_create(n, &s, &err));
    rig_ok(gw_qcow2_state_read(n, room, 100000, 0, &err));
    assert_int_equal(room[99999], 0); /* it is the snapshot's */
    rig_ok(gw_qcow2_snapshot_apply(n, 0, &err));
    rig_ok(gw_qcow2_state_read(n, room, 100000, 0, &err));
    assert_int_equal(room[99999], 5);
    assert_int_equal(gw_qcow2_state_read(n, room, 1, UINT64_MAX, &err), -EFBIG);
    assert_int_equal(gw_qcow2_state_write(n, room, 1, 1ull << 60, &err), -EFBIG);
    rig_clean(n);
    free(room);
    gw_node_free(n, NULL);
    rig_done(&f);
}

static void fill_state(uint8_t *room, unsigned seed)
{
    for (unsigned i = 0; i < STATE; i++)
        room[i] = (uint8_t)(i * 7 + i / 251 + seed);
}

/* Two of them, of disks of different length, and a third without a state. */
static struct gw_node *two_states(struct rig_file *f)
{
    struct gw_qcow2_snapshot s = {.name = (char[]){"s"}, .state_bytes = STATE};
    struct gw_node *n = rig_image(f, DISK, 9); /* a table is for 32 KiB: a state has several */
    uint8_t *room = malloc(STATE);

    for (unsigned i = 0; i < 2; i++) {
        fill_state(room, i);
        rig_fill(n, 1 + (int)i, 5000, 3000);
        rig_ok(gw_qcow2_state_write(n, room, STATE, 0, &err));
        rig_ok(gw_qcow2_snapshot_create(n, &s, &err));
        if (!i)
            rig_ok(gw_node_resize(n, 2 * DISK, &err));
    }
    s.state_bytes = 0;
    rig_ok(gw_qcow2_snapshot_create(n, &s, &err));
    rig_fill(n, 9, 2 * DISK, 0);
    rig_clean(n);
    free(room);
    return n;
}

static void holds(struct gw_node *n, unsigned index, uint64_t bytes, uint64_t offset)
{
    uint8_t *room = malloc(STATE), *want = malloc(STATE);

    fill_state(want, index);
    memset(room, 0xee, STATE);
    rig_ok(gw_qcow2_snapshot_state_read(n, index, room, bytes, offset, &err));
    assert_memory_equal(room, want + offset, bytes);
    free(room);
    free(want);
}

static void test_of_snapshots(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct rig_file f;
    struct gw_node *n = two_states(&f);
    uint8_t byte;

    for (unsigned writing = 0; writing < 2; writing++) {
        for (unsigned i = 0; i < 2; i++) {
            holds(n, i, STATE, 0);
            holds(n, i, 1, STATE - 1);
            holds(n, i, 40000, 32000);
            holds(n, i, 0, STATE);
        }
        gw_node_free(n, NULL);
        f.record = true;
        n = rig_open(&f, NULL, GW_QCOW2_READ_ONLY | GW_QCOW2_ALONE);
    }
    assert_int_equal(gw_qcow2_snapshot_state_read(n, 0, &byte, 1, STATE, &err), -EINVAL);
    assert_int_equal(gw_qcow2_snapshot_state_read(n, 0, &byte, 2, UINT64_MAX, &err), -EINVAL);
    assert_int_equal(gw_qcow2_snapshot_state_read(n, 2, &byte, 1, 0, &err), -EINVAL);
    assert_int_equal(gw_qcow2_snapshot_state_read(n, 3, &byte, 0, 0, &err), -ENOENT);
    assert_int_equal(f.count, 0); /* nothing was written */
    gw_node_free(n, NULL);
    rig_done(&f);
}

/* Where the L1 table of a snapshot has its i-th entry behind the disk. */
static uint8_t *l1_entry(struct rig_file *f, struct gw_node *n, unsigned index, unsigned i)
{
    struct gw_qcow2 *q = gw_qcow2_of(n);

    return f->data + q->shots[index].l1_offset + 8 * (q->snapshots[index].disk_bytes / (q->l2_entries * q->cluster_bytes) + i);
}

static void refused(struct gw_node *n, unsigned index, const char *why)
{
    struct gw_error err = GW_ERROR_INIT;
    uint8_t *room = malloc(STATE);

    assert_int_equal(gw_qcow2_snapshot_state_read(n, index, room, STATE, 0, &err), -EPROTO);
    if (!strstr(err.text, why))
        fail_msg("'%s' is not in '%s'", why, err.text);
    free(room);
}

static void test_damaged(void **state)
{
    struct rig_file f;
    struct gw_node *n = two_states(&f);
    struct gw_qcow2 *q;
    uint64_t table;

    gw_node_free(n, NULL);
    n = rig_open(&f, NULL, GW_QCOW2_READ_ONLY | GW_QCOW2_ALONE);
    q = gw_qcow2_of(n);
    table = gw_load_be64(l1_entry(&f, n, 0, 2));
    gw_store_be64(l1_entry(&f, n, 0, 2), 0);
    refused(n, 0, "has nothing at byte 65536");
    gw_store_be64(l1_entry(&f, n, 0, 2), f.bytes + 512);
    refused(n, 0, "no cluster of the file");
    gw_store_be64(l1_entry(&f, n, 0, 2), table);
    holds(n, 0, STATE, 0);
    q->shots[0].l1_entries -= 2;
    refused(n, 0, "has nothing at byte 65536");
    q->shots[0].l1_entries += 2;
    q->snapshots[0].state_bytes = f.bytes + 513;
    refused(n, 0, "more than the file is long");
    q->snapshots[0].state_bytes = STATE;
    q->snapshots[0].disk_bytes = UINT64_MAX;
    refused(n, 0, "has a disk of");
    holds(n, 1, STATE, 0);
    gw_node_free(n, NULL);
    rig_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_state),
        cmocka_unit_test(test_of_snapshots),
        cmocka_unit_test(test_damaged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
