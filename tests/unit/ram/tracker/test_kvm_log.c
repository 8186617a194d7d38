/* SPDX-License-Identifier: MIT
 *
 * The dirty log of a real KVM, with manual protection and without.
 */
#include "kvm_machine.h"

static void test_log_manual(void **state)
{
    all_of(MANUAL);
}

static void test_log_automatic(void **state)
{
    all_of(AUTOMATIC);
}

static void test_exact(void **state)
{
    exact(MANUAL, AUTOMATIC);
}

/* One slot does not take logging: those before it do not keep it. */
static void test_failed_start(void **state)
{
    struct gw_error e = GW_ERROR_INIT;
    struct kvm_dirty_log log;
    struct machine v;
    uint8_t map[2048];

    OPEN(&v, MANUAL, 0);
    v.guest.slots[2].gpa += PAGE; /* a slot cannot move while its size stays: it can, but not onto another */
    v.guest.slots[2].gpa = v.guest.slots[1].gpa;
    assert_true(gw_tracker_start(v.model.tracker, NULL, &e) < 0);
    assert_non_null(strstr(e.text, "slot 3"));
    assert_null(v.model.ram.blocks[0]->dirty);
    log = (struct kvm_dirty_log){.slot = 1, .dirty_bitmap = map};
    assert_int_equal(ioctl(v.guest.vm, KVM_GET_DIRTY_LOG, &log), -1); /* not logged */
    v.guest.slots[2].gpa = 0x80000000;
    must(gw_tracker_start(v.model.tracker, NULL, err));
    assert_int_equal(ioctl(v.guest.vm, KVM_GET_DIRTY_LOG, &log), 0);
    model_finish(&v.model);
    gw_tracker_stop(v.model.tracker);
    assert_int_equal(ioctl(v.guest.vm, KVM_GET_DIRTY_LOG, &log), -1);
    machine_close(&v);
}

/* A machine with a ring has no log, and that is found out at the start. */
static void test_refusals(void **state)
{
    struct gw_error e = GW_ERROR_INIT;
    struct gw_tracker_config config;
    struct gw_tracker *t = NULL;
    struct machine v;

    OPEN(&v, RING, RING_BYTES);
    config = v.config;
    config.kind = GW_TRACKER_KVM_LOG;
    must(gw_tracker_new(&v.model.ram, &config, &t, err));
    assert_int_equal(gw_tracker_start(t, NULL, &e), -ENXIO);
    assert_non_null(strstr(e.text, "kvm-ring"));
    assert_null(v.model.ram.blocks[0]->dirty);
    gw_tracker_free(t);
    machine_close(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_failed_start),
        cmocka_unit_test_teardown(test_log_manual, stop_free_run),
        cmocka_unit_test_teardown(test_log_automatic, stop_free_run),
    };
    KVM_TESTS(tests);
}
