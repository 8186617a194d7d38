/* SPDX-License-Identifier: MIT
 *
 * Internal snapshots of a machine with two disks: there and back; what is refused; who runs, and what is where, after each failure.
 */
#include "rig.h"

#include "../disk/node/faulty.h"
#include "disk/node/qcow2.h"

#define DISK_BYTES (1u << 20)

static struct {
    struct gw_node *node[2], *file[2];
    struct gw_disk *disk[2];
    struct gw_node_ops ops;
    uint32_t device;
    int bad; /* the device is not loaded */
} t;

static int disk_read(void *opaque, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    return gw_node_read(opaque, to, bytes, offset, err);
}

static int disk_write(void *opaque, const void *from, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    return gw_node_write(opaque, from, bytes, offset, 0, err);
}

static const struct gw_disk_ops disk_ops = {GW_SIZED(struct gw_disk_ops), .read = disk_read, .write = disk_write};

static int check(const void *device, uint32_t version, struct gw_error *err)
{
    return t.bad ? gw_fail(err, -EINVAL, GW_BLAME_PEER, "a bad device") : 0;
}

struct device {
    uint32_t a;
};
static const struct gw_field fields[] = {GW_FIELD(struct device, a), GW_END};
static const struct gw_state device_state = {
    .name = "dev", .version = 1, .oldest = 1, .size = sizeof(struct device), .fields = fields, .check = check};

static void ok(int r, const struct gw_error *err)
{
    if (r < 0)
        fail_msg("%s", err->text);
}

static void add_disk(unsigned i)
{
    static const char *const names[] = {"d0", "d1"};
    const struct gw_qcow2_config config = {.bytes = DISK_BYTES, .cluster_bits = 12};
    struct gw_disk_desc desc = {.device = names[i], .bytes = DISK_BYTES, .ops = &disk_ops};
    struct gw_error err = GW_ERROR_INIT;

    t.file[i] = gw_node_memory(0, 4096);
    ok(gw_qcow2_create(t.file[i], &config, &err), &err);
    ok(gw_qcow2_open(t.file[i], NULL, 0, &t.node[i], &err), &err);
    desc.opaque = desc.image = t.node[i];
    ok(gw_vm_add_disk(rig.vm, &desc, &t.disk[i], &err), &err);
}

static int up(void **state)
{
    if (rig_up(state))
        return -1;
    add_disk(0);
    add_disk(1);
    t.bad = 0;
    t.device = 5;
    rig.running = true;
    return gw_registry_add(gw_vm_registry(rig.vm), &device_state, "dev", 0, &t.device, NULL);
}

static int down(void **state)
{
    int r = rig_down(state);

    gw_node_free(t.node[0], NULL);
    gw_node_free(t.node[1], NULL);
    return r;
}

static void fill(uint8_t byte)
{
    struct gw_error err = GW_ERROR_INIT;
    uint8_t room[8192];

    memset(room, byte, sizeof room);
    for (unsigned i = 0; i < 2; i++)
        ok(gw_disk_write(t.disk[i], room, sizeof room, 4096 * i, &err), &err);
    for (unsigned i = 0; i < RIG_PAGES; i++) {
        memset(rig.ram + i * RIG_PAGE, i % 2 ? byte : 0, RIG_PAGE);
        gw_vm_mark_dirty(rig.vm, 0x10000 + i * RIG_PAGE, RIG_PAGE);
    }
    t.device = byte;
}

static void is(uint8_t byte)
{
    struct gw_error err = GW_ERROR_INIT;
    uint8_t got;

    for (unsigned i = 0; i < 2; i++) {
        ok(gw_disk_read(t.disk[i], &got, 1, 4096 * i + 7, &err), &err);
        assert_int_equal(got, byte);
    }
    for (unsigned i = 0; i < RIG_PAGES; i++)
        assert_int_equal(rig.ram[i * RIG_PAGE + 9], i % 2 ? byte : 0);
    assert_int_equal(t.device, byte);
}

static struct gw_vm_snapshot of(const char *name)
{
    return (struct gw_vm_snapshot){
        .name = name, .disk = t.disk, .disk_count = 2, .state = t.disk[1], .on_event = rig_event};
}

static int save(const char *name, struct gw_error *err)
{
    const struct gw_vm_snapshot s = of(name);

    *err = (struct gw_error)GW_ERROR_INIT;
    return gw_vm_snapshot_save(rig.vm, &s, err);
}

static int load(const char *name, struct gw_error *err)
{
    const struct gw_vm_snapshot s = of(name);

    *err = (struct gw_error)GW_ERROR_INIT;
    return gw_vm_snapshot_load(rig.vm, &s, err);
}

static unsigned count(unsigned disk)
{
    const struct gw_qcow2_snapshot *list;

    return gw_qcow2_snapshots(t.node[disk], &list);
}

static void clean(void)
{
    struct gw_qcow2_report report;
    struct gw_error err = GW_ERROR_INIT;

    for (unsigned i = 0; i < 2; i++) {
        ok(gw_qcow2_check(t.node[i], &report, &err), &err);
        if (report.leaks || report.corruptions)
            fail_msg("disk %u: %s", i, report.first);
    }
}

static void test_there_and_back(void **state)
{
    struct gw_vm_snapshot gone = of("one");
    struct gw_error err = GW_ERROR_INIT;
    struct gw_disk_snapshot s;

    rig_cap("postcopy-ram"); /* what migrations have is no matter here, and stays */
    rig_param("max-bandwidth", "1");
    for (unsigned round = 0; round < 2; round++) {
        fill(1);
        ok(save("one", &err), &err);
        rig_said("stop STOP start RESUME ");
        fill(2);
        ok(save("two", &err), &err);
        fill(3);
        rig_said("stop STOP start RESUME ");
        ok(load("one", &err), &err);
        rig_said("stop STOP arrived start RESUME ");
        is(1);
        rig.running = false;
        ok(load("two", &err), &err);
        rig_said("arrived ");
        is(2);
        assert_int_equal(gw_vm_place(rig.vm), GW_VM_HERE);
        rig.running = true;
        ok(gw_disk_snapshot_at(t.disk[1], 1, &s), &err);
        assert_string_equal(s.name, "two");
        assert_true(s.state_bytes > RIG_PAGE);
        assert_int_equal(gw_disk_snapshot_at(t.disk[1], 2, &s), -ENOENT);
        gone.name = "one";
        ok(gw_vm_snapshot_delete(rig.vm, &gone, &err), &err);
        gone.name = "two";
        ok(gw_vm_snapshot_delete(rig.vm, &gone, &err), &err);
        rig_said("stop start stop start ");
        assert_int_equal(count(0) + count(1), 0);
        clean();
    }
}

static void test_refused(void **state)
{
    struct gw_vm_snapshot s = of("s");
    struct gw_bitmap_config bitmap = {.name = "b"};
    struct gw_error err = GW_ERROR_INIT;
    unsigned id;

    s.disk_count = 1;
    rig_fails(gw_vm_snapshot_save(rig.vm, &s, &err), -EINVAL, &err,
              "the disk for the machine's state is none of those that get the snapshot");
    s.disk_count = 0;
    assert_int_equal(gw_vm_snapshot_delete(rig.vm, &s, &err), -EINVAL);
    rig_fails(load("s", &err), -ENOENT, &err, "disk d0 has no snapshot 's'");
    ok(gw_vm_add_blocker(rig.vm, "a reason", &id, &err), &err);
    rig_said("");
    assert_int_equal(save("s", &err), -EBUSY);
    assert_non_null(strstr(err.text, "a reason"));
    rig_said("stop STOP start RESUME ");
    assert_int_equal(count(0) + count(1), 0);
    gw_vm_remove_blocker(rig.vm, id);
    ok(save("s", &err), &err);
    ok(gw_disk_bitmap_add(t.disk[1], &bitmap, &err), &err);
    rig_said("stop STOP start RESUME ");
    rig_fails(load("s", &err), -EBUSY, &err, "disk d1 has the dirty bitmap b, which would not match the disk as it was: remove the bitmap first");
    assert_int_equal(save("s", &err), -EEXIST);
    rig_said("");
    clean();
}

/* No session can begin meanwhile, nor a second snapshot; but in the calls of the one that is under way. */
static void *other(void *opaque)
{
    struct gw_error *err = opaque;

    assert_int_equal(gw_vm_begin(rig.vm, true, err), -EBUSY);
    return NULL;
}

static void test_alone(void **state)
{
    struct gw_error err = GW_ERROR_INIT, mine = GW_ERROR_INIT;
    pthread_t thread;

    ok(gw_vm_hold(rig.vm, &err), &err);
    assert_int_equal(save("s", &mine), -EBUSY);
    assert_int_equal(pthread_create(&thread, NULL, other, &err), 0);
    pthread_join(thread, NULL);
    assert_string_equal(err.text, "a snapshot of this machine is being saved, loaded or deleted");
    assert_int_equal(gw_vm_remove_disk(rig.vm, t.disk[0], NULL), -EBUSY);
    ok(gw_vm_begin(rig.vm, true, &err), &err);
    gw_vm_end(rig.vm);
    gw_vm_release(rig.vm);
    ok(save("s", &mine), &mine);
}

/* Each call of the state's file fails once: no disk has it, and the machine runs on. */
static void test_save_fails(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    unsigned n = 0;

    fill(1);
    faulty_over(t.file[0], &t.ops);
    for (;;) {
        int r;

        faulty.left = ++n;
        r = save("s", &err);
        faulty.left = 0;
        assert_true(rig.running);
        if (r >= 0)
            break;
        assert_int_equal(count(1), 0);
        if (count(0) && !strstr(err.text, "may be left on disk d0"))
            fail_msg("call %u: %s", n, err.text);
        is(1);
        down(NULL);
        up(NULL);
        fill(1);
        faulty_over(t.file[0], &t.ops);
    }
    assert_true(n > 5);
    assert_int_equal(count(0) + count(1), 2);
}

static void test_load_fails(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    fill(1);
    ok(save("s", &err), &err);
    fill(2);
    /* The state cannot be read at all: nothing was changed. */
    rig_said("stop STOP start RESUME ");
    faulty_over(t.file[1], &t.ops);
    faulty.left = 1;
    assert_int_equal(load("s", &err), -EIO);
    faulty.left = 0;
    rig_said("stop STOP start RESUME ");
    is(2);
    assert_int_equal(gw_vm_place(rig.vm), GW_VM_HERE);
    /* Half of it was loaded. */
    t.bad = true;
    assert_int_equal(load("s", &err), -EINVAL);
    assert_non_null(strstr(err.text, "the machine was changed and cannot run"));
    rig_said("stop STOP ");
    assert_int_equal(gw_vm_place(rig.vm), GW_VM_SPOILED);
    assert_int_equal(gw_vm_start(rig.vm, &err), -ENODATA);
    assert_int_equal(gw_vm_came_back(rig.vm, &err), -ENODATA);
    assert_int_equal(save("t", &err), -ENODATA);
    assert_int_equal(gw_send_start(rig.vm, &(struct gw_send_config){.uri = "tcp:127.0.0.1:1"}, &(struct gw_send *){NULL}, &err), -ENODATA);
    /* Another load makes it whole. */
    t.bad = false;
    ok(load("s", &err), &err);
    is(1);
    assert_int_equal(gw_vm_place(rig.vm), GW_VM_HERE);
    ok(gw_vm_start(rig.vm, &err), &err);
    clean();
}

static struct gw_stats seen;

/* The session may be here before its figures are shown. */
static int look(void *opaque, enum gw_notify what, struct gw_error *err)
{
    if (what == GW_NOTIFY_COMPLETE)
        while (gw_vm_snapshot_stats(rig.vm, &seen) < 0)
            sched_yield();
    return 0;
}

/* How far it is, while it is saved and not before or afterwards. */
static void test_figures(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_stats none;

    fill(7);
    seen = (struct gw_stats){0};
    ok(gw_vm_add_notifier(rig.vm, look, NULL, &err), &err);
    assert_int_equal(gw_vm_snapshot_stats(rig.vm, &none), -ENOENT);
    ok(save("s", &err), &err);
    assert_int_equal(gw_vm_snapshot_stats(rig.vm, &none), -ENOENT);
    assert_int_equal(seen.total_bytes, RIG_PAGES * RIG_PAGE);
    assert_int_equal(seen.remaining_bytes, 0);
    assert_true(seen.transferred_bytes > RIG_PAGES / 2 * RIG_PAGE);
    assert_int_equal(seen.status, GW_STATUS_ACTIVE);
}

static void test_cannot_run(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    rig.stop_fails = -EIO;
    assert_int_equal(save("s", &err), -EIO);
    assert_int_equal(count(0) + count(1), 0);
    rig.stop_fails = 0;
    rig.start_fails = -EPERM;
    assert_int_equal(save("s", &err), -EPERM);
    assert_non_null(strstr(err.text, "the snapshot was completed, but the machine could not be started again"));
    assert_int_equal(count(0) + count(1), 2);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_there_and_back), T(test_refused),    T(test_alone),
                                       T(test_save_fails),     T(test_load_fails), T(test_figures), T(test_cannot_run)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
