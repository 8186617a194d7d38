/* SPDX-License-Identifier: MIT
 *
 * The dirty rings of a real KVM.
 */
#include "kvm_machine.h"

static void test_ring(void **state)
{
    all_of(RING);
}

static void test_exact(void **state)
{
    exact(RING, RING);
}

/* The vCPU finds its ring full, comes to us, and runs on: nothing else empties it here. Few pages a run, as some KVMs
 * look at the ring only when a run begins. */
static void test_ring_full(void **state)
{
    const uint32_t ring_bytes = 65536; /* 4096 entries */
    struct model *m;
    struct machine v;
    unsigned n;

    OPEN(&v, RING, ring_bytes);
    m = &v.model;
    gw_kvm_ring_set_interval(m->tracker, 0);
    must(gw_tracker_start(m->tracker, NULL, err));
    model_sync(m);
    assert_true(model_send(m, UINT64_MAX, false));
    for (n = 0; n < 12000; n += 20)
        write_pages(&v, n, 20);
    assert_true(v.guest.full > 0);
    print_message("%u writes, %" PRIu64 " times the ring was full, %" PRIu64 " entries\n", n, v.guest.full,
                  gw_kvm_ring_harvested(m->tracker));
    model_finish(m);
    gw_tracker_stop(m->tracker);
    machine_close(&v);
}

/* More pages in one run than the ring has entries. A good KVM makes the vCPU leave in time; one that does not loses
 * entries, and that must be told, and the machine must run on. */
static void overflow(void **state)
{
    const uint32_t ring_bytes = 4096; /* 256 entries */
    struct gw_error e = GW_ERROR_INIT;
    struct machine v;
    uint64_t found;
    int r;

    OPEN(&v, RING, ring_bytes);
    gw_kvm_ring_set_interval(v.model.tracker, 0);
    must(gw_tracker_start(v.model.tracker, NULL, err));
    write_pages(&v, 0, 1000);
    r = gw_tracker_sync(v.model.tracker, &found, &e);
    if (r == 0) {
        print_message("this KVM minds its rings: left %" PRIu64 " times\n", v.guest.full);
        model_finish(&v.model);
    } else {
        assert_int_equal(r, -EOVERFLOW);
        assert_non_null(strstr(e.text, "overflowed"));
        for (unsigned i = 0; i < 50; i++) {
            write_pages(&v, i * 20, 20); /* hangs here if the ring is never free again */
            assert_int_equal(gw_tracker_sync(v.model.tracker, &found, &e), -EOVERFLOW);
        }
        print_message("%s\n", e.text);
    }
    gw_tracker_stop(v.model.tracker);
    write_pages(&v, 0, 1000);
    machine_close(&v);
}

/* In a process of its own: after an overflow some KVMs stay in KVM_RUN for ever, deaf to every signal but a fatal one.
 */
static void test_ring_overflow(void **state)
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        alarm(100);                                                   /* where it works it takes a moment */
        dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDOUT_FILENO); /* its outcomes are not ours */
        execl("/proc/self/exe", "test_kvm_ring", "overflow", NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
        print_message("SKIP: this KVM does not come back from KVM_RUN when a dirty ring has overflowed\n");
        skip();
    }
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_refusals(void **state)
{
    struct gw_error e = GW_ERROR_INIT;
    struct gw_tracker_config c;
    struct gw_tracker *t = NULL;
    struct machine v;

    OPEN(&v, RING, RING_BYTES);
    c = v.config;
    c.vcpu_count = 0;
    assert_int_equal(gw_tracker_new(&v.model.ram, &c, &t, &e), -EINVAL);
    c = v.config;
    c.ring_bytes = 12345;
    assert_int_equal(gw_tracker_new(&v.model.ram, &c, &t, &e), -EINVAL);
    c = v.config;
    c.slot_count = 0;
    assert_int_equal(gw_tracker_new(&v.model.ram, &c, &t, &e), -EINVAL);
    c = v.config;
    c.kvm_vm_fd = 0;
    assert_int_equal(gw_tracker_new(&v.model.ram, &c, &t, &e), -EBADF);
    for (unsigned i = 0; i < 2; i++) { /* not what the machine was made with */
        c = v.config;
        c.ring_bytes = i ? RING_BYTES / 2 : RING_BYTES * 2;
        must(gw_tracker_new(&v.model.ram, &c, &t, err));
        assert_int_equal(gw_tracker_start(t, NULL, &e), -EINVAL);
        assert_non_null(strstr(e.text, "KVM_CAP_DIRTY_LOG_RING"));
        t = gw_tracker_free(t);
    }
    machine_close(&v);
    OPEN(&v, MANUAL, 0);
    c = v.config;
    c.kind = GW_TRACKER_KVM_RING; /* and the other way round */
    c.ring_bytes = 65536;
    must(gw_tracker_new(&v.model.ram, &c, &t, err));
    assert_true(gw_tracker_start(t, NULL, &e) < 0);
    t = gw_tracker_free(t);
    machine_close(&v);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test_teardown(test_ring, stop_free_run),
        cmocka_unit_test(test_ring_full),
        cmocka_unit_test(test_ring_overflow),
    };
    const struct CMUnitTest alone[] = {cmocka_unit_test(overflow)};

    if (argc > 1)
        return cmocka_run_group_tests(alone, NULL, NULL);
    KVM_TESTS(tests);
}
