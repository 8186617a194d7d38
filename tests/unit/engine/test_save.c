/* SPDX-License-Identifier: MIT
 *
 * A machine that stands is saved and stays: nobody starts it, its disks stay here, its run state is what it is told to be; what ends
 * it early. What is in the stream: test_vm_snapshot.c loads it.
 */
#include "rig.h"

#include "engine/send.h"

static struct gw_disk *disk;

static int disk_read(void *opaque, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    return 0;
}

static int disk_gives(void *opaque, struct gw_error *err)
{
    rig_say("given ");
    return 0;
}

static void add_disk(void)
{
    static const struct gw_disk_ops ops = {GW_SIZED(struct gw_disk_ops), .read = disk_read, .inactivate = disk_gives};
    const struct gw_disk_desc desc = {.device = "d", .bytes = 4096, .ops = &ops};

    assert_int_equal(gw_vm_add_disk(rig.vm, &desc, &disk, NULL), 0);
}

static struct gw_send *begin(struct gw_channel *take, bool ran)
{
    struct gw_send_stay how = {.take_channel = take, .ran = ran, .on_event = rig_event};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_send *s = NULL;

    if (gw_options_new((struct gw_options **)&how.options, &err) < 0 || gw_send_stay(rig.vm, &how, &s, &err) < 0)
        fail_msg("%s", err.text);
    gw_options_free((struct gw_options *)how.options);
    return s;
}

static void test_stays(void **state)
{
    struct gw_channel *near, *far;
    struct gw_error err = GW_ERROR_INIT;
    struct gw_send *s;

    add_disk();
    for (unsigned ran = 0; ran < 2; ran++) {
        assert_int_equal(gw_channel_memory_pair(1 << 20, &near, &far, &err), 0);
        near->features = 0; /* as into a file: nobody answers */
        s = begin(near, ran);
        assert_int_equal(gw_send_wait(s, &err), 0);
        rig_said("[setup] pass1 [active] pass2 [completed] [ended] ");
        assert_int_equal(gw_send_owner(s), GW_OWNER_SOURCE);
        assert_int_equal(gw_vm_place(rig.vm), GW_VM_HERE);
        assert_int_equal(gw_globalstate_running(rig.vm->globalstate), ran);
        assert_true(gw_disk_active(disk));
        gw_send_free(s);
        gw_channel_free(far);
    }
}

/* The other end is gone: it fails, and the machine stays as it was. */
static void test_fails(void **state)
{
    struct gw_channel *near, *far;
    struct gw_error err = GW_ERROR_INIT;
    struct gw_send *s;

    assert_int_equal(gw_channel_memory_pair(4096, &near, &far, &err), 0);
    near->features = 0;
    gw_channel_free(far);
    s = begin(near, true);
    assert_true(gw_send_wait(s, &err) < 0);
    assert_int_equal(gw_send_owner(s), GW_OWNER_SOURCE);
    assert_int_equal(gw_vm_place(rig.vm), GW_VM_HERE);
    assert_false(rig.running);
    gw_send_free(s);
}

/* Nobody reads, until it is cancelled. */
static void test_cancelled(void **state)
{
    struct gw_channel *near, *far;
    struct gw_error err = GW_ERROR_INIT;
    struct gw_send *s;

    assert_int_equal(gw_channel_memory_pair(4096, &near, &far, &err), 0);
    near->features = 0;
    s = begin(near, true);
    assert_int_equal(gw_send_cancel(s, &err), 0);
    assert_int_equal(gw_send_wait(s, &err), -ECANCELED);
    assert_int_equal(gw_vm_place(rig.vm), GW_VM_HERE);
    gw_send_free(s);
    gw_channel_free(far);
}

int main(void)
{
    const struct CMUnitTest tests[] = {rig_test(test_stays), rig_test(test_fails), rig_test(test_cancelled)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
