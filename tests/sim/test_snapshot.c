/* SPDX-License-Identifier: MIT
 *
 * Background snapshots of a machine that writes continuously. Whatever the result: the machine runs on, no page stays
 * write-protected, and a complete snapshot is the machine at one moment, the result of the writes up to the number in
 * it.
 */
#include "saving.h"

static void exact(uint64_t words, const char *rate, bool mapped, bool zeros)
{
    struct gw_error err = GW_ERROR_INIT;
    struct sim *from = machine(words);
    struct saving *v = saving(from);
    int fd = memfd_create("snapshot", MFD_CLOEXEC);
    uint64_t at_moment;
    struct gw_stats st;

    sim_option(from, "max-bandwidth", rate);
    if (!zeros)
        sim_option(from, "zero-page-detection", "none");
    must(gw_options_set_capability(gw_vm_options(from->vm), "mapped-ram", mapped, &err), &err);
    v->writes = words ? 4000 : 0;
    sim_start(from);
    sim_await_writes(from, 100);
    must(save(v, over(fd, NULL), 0, &st, &err), &err);
    assert_int_equal(v->stops, 1);
    assert_int_equal(v->resumes, 1);
    assert_int_equal(from->starts, 1);
    assert_int_equal(st.remaining_bytes, 0);
    assert_int_equal(st.dirty_sync_count, 0);
    assert_int_equal(st.normal_pages + st.duplicate_pages, ((MIB << 20) + (256 << 10)) / 4096);
    runs_on(from);
    at_moment = load(fd, mapped, true);
    assert_true(from->device.writes >= at_moment + v->writes);
    print_message("%llu words a ms: stopped for %llu us, at write %llu of %llu\n", (unsigned long long)words,
                  (unsigned long long)st.downtime_ns / 1000, (unsigned long long)at_moment, (unsigned long long)from->device.writes);
    owned_end(from);
    close(fd);
}

static void test_exact(void **state)
{
    exact(0, "0", false, true);
    exact(50, "0", false, true);
    exact(400, "0", false, true);
    exact(400, "0", false, false);
}

/* At this rate almost only pages that the guest waits for are sent. */
static void test_slow(void **state)
{
    exact(50, "40000", false, true);
    exact(400, "40000", false, true);
    exact(400, "40000", true, true);
}

static void test_mapped(void **state)
{
    exact(0, "0", true, true);
    exact(400, "0", true, true);
}

static void test_paused(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct sim *from = machine(100);
    struct saving *v = saving(from);
    int fd = memfd_create("snapshot", MFD_CLOEXEC);
    struct gw_stats st;

    sim_start(from);
    sim_await_writes(from, 100);
    sim_stop(from);
    must(save(v, over(fd, NULL), 0, &st, &err), &err);
    assert_int_equal(v->stops, 0);
    assert_int_equal(v->resumes, 0);
    assert_false(sim_runs(from));
    assert_int_equal(load(fd, false, false), from->device.writes);
    sim_start(from);
    runs_on(from);
    owned_end(from);
    close(fd);
}

/* A start that writes to memory waits for pages as the guest does. */
static void test_start_writes(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct sim *from = machine(100);
    struct saving *v = saving(from);
    int fd = memfd_create("snapshot", MFD_CLOEXEC);
    struct gw_stats st;

    sim_start(from);
    atomic_store(&from->start_writes, true);
    must(save(v, over(fd, NULL), 0, &st, &err), &err);
    runs_on(from);
    load(fd, false, true);
    owned_end(from);
    close(fd);
}

static void test_start_fails(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct sim *from = machine(100);
    struct saving *v = saving(from);
    int fd = memfd_create("snapshot", MFD_CLOEXEC);
    struct gw_stats st;

    sim_start(from);
    atomic_store(&from->fail_start, true);
    assert_true(save(v, over(fd, NULL), 0, &st, &err) < 0);
    assert_non_null(strstr(err.text, "a vCPU does not start"));
    assert_false(sim_runs(from));
    assert_int_equal(gw_vm_place(from->vm), GW_VM_HERE);
    touch_all(from);
    sim_start(from);
    runs_on(from);
    owned_end(from);
    close(fd);
}

static void test_stop_fails(void **state)
{
    for (unsigned k = 0; k < 2; k++) {
        struct gw_error err = GW_ERROR_INIT;
        struct sim *from = machine(100);
        struct saving *v = saving(from);
        int fd = memfd_create("snapshot", MFD_CLOEXEC);
        struct gw_stats st;

        sim_start(from);
        atomic_store(k ? &from->fail_stopped : &from->fail_stop, true);
        assert_true(save(v, over(fd, NULL), 0, &st, &err) < 0);
        runs_on(from);
        owned_end(from);
        close(fd);
    }
}

static const enum gw_fault_kind kinds[] = {GW_FAULT_END, GW_FAULT_RESET, GW_FAULT_ERROR, GW_FAULT_STALL};

static void fails(bool mapped)
{
    struct gw_error err = GW_ERROR_INIT;
    struct sim *from = machine(0);
    int fd = memfd_create("snapshot", MFD_CLOEXEC);
    unsigned failed = 0, whole = 0;
    struct gw_stats st;
    uint64_t bytes;

    must(gw_options_set_capability(gw_vm_options(from->vm), "mapped-ram", mapped, &err), &err);
    sim_start(from);
    atomic_store(&from->words_per_ms, 100);
    sim_await_writes(from, 2000);
    must(save(saving(from), over(fd, NULL), 0, &st, &err), &err);
    bytes = st.transferred_bytes;
    owned_end(from);
    for (unsigned k = 0; k < GW_ARRAY_LEN(kinds); k++)
        for (uint64_t at = 0; at < bytes + 300; at += at + 600 < bytes ? GW_MIN(bytes - 600 - at, bytes / 9 + 1) : 97) {
            struct gw_fault fault = {.kind = kinds[k], .direction = GW_FAULT_OUT, .at_byte = at};
            int r;

            err = (struct gw_error)GW_ERROR_INIT;
            from = machine(100);
            must(gw_options_set_capability(gw_vm_options(from->vm), "mapped-ram", mapped, &err), &err);
            sim_start(from);
            sim_await_writes(from, 2000);
            assert_int_equal(ftruncate(fd, 0), 0);
            r = save(saving(from), over(fd, &fault), kinds[k] == GW_FAULT_STALL ? 20000000 : 0, &st, &err);
            assert_true(r >= 0 || err.text[0]);
            if (r >= 0)
                load(fd, mapped, true);
            runs_on(from);
            failed += r < 0;
            whole += r >= 0;
            owned_end(from);
        }
    print_message("%u failed, %u were whole\n", failed, whole);
    assert_true(failed >= 20);
    close(fd);
}

static void test_faults(void **state)
{
    fails(false);
}

static void test_mapped_faults(void **state)
{
    fails(true);
}

/* In each phase, and after the machine runs again, and once more: a machine left alone can be saved. */
static void test_cancel(void **state)
{
    static const struct {
        int event, notify;
    } when[] = {{-1, GW_NOTIFY_SETUP}, {GW_EVENT_STATUS, -1}, {GW_EVENT_STOP, -1}, {-1, GW_NOTIFY_COMPLETE}, {GW_EVENT_RESUME, -1}};

    for (unsigned k = 0; k < GW_ARRAY_LEN(when); k++) {
        struct gw_error err = GW_ERROR_INIT;
        struct sim *from = machine(100);
        struct saving *v = saving(from);
        int fd = memfd_create("snapshot", MFD_CLOEXEC);
        struct gw_stats st;

        sim_start(from);
        sim_await_writes(from, 100);
        v->cancel_event = when[k].event;
        v->cancel_notify = when[k].notify;
        must(gw_vm_add_notifier(from->vm, on_notify, v, &err), &err);
        v->writes = 500;
        assert_int_equal(save(v, over(fd, NULL), 0, &st, &err), -ECANCELED);
        assert_int_equal(v->stops == 1, from->starts == 1);
        gw_vm_remove_notifier(from->vm, on_notify, v);
        runs_on(from);
        sim_start(from);
        v = saving(from);
        must(save(v, over(fd, NULL), 0, &st, &err), &err);
        load(fd, false, true);
        runs_on(from);
        owned_end(from);
        close(fd);
    }
}

/* While pages go out, to a reader that takes them one by one. */
static void test_cancel_pages(void **state)
{
    for (unsigned yank = 0; yank < 2; yank++) {
        struct gw_error err = GW_ERROR_INIT;
        struct sim *from = machine(400);
        struct gw_channel *a, *b;
        struct saving *v = saving(from);
        struct gw_send *send;

        sim_start(from);
        sim_await_writes(from, 4000);
        must(gw_channel_memory_pair(65536, &a, &b, &err), &err);
        owned_channel(b); /* nobody reads: the channel is soon full, and the guest waits for pages */
        must(gw_send_start(from->vm, &(struct gw_send_config){.take_channel = a,
                                                                     .progress_timeout_ns = UINT64_MAX,
                                                                     .on_event = on_event,
                                                                     .opaque = v},
                           &send, &err),
             &err);
        owned_send(send);
        while (!atomic_load(&v->resumes))
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        if (yank)
            gw_send_yank(send);
        else
            must(gw_send_cancel(send, &err), &err);
        assert_true(gw_send_wait(send, &err) < 0);
        assert_int_equal(gw_send_status(send), yank ? GW_STATUS_FAILED : GW_STATUS_CANCELLED);
        owned_end(send);
        owned_end(b);
        runs_on(from);
        owned_end(from);
    }
}

/* Into a parked machine, over a connection; and then the machine itself goes. */
static void test_image(void **state)
{
    struct gw_image *image = empty();
    struct gw_error err = GW_ERROR_INIT;
    struct sim *from = machine(100), *to = sim_new(0, MIB, NULL);
    unsigned *parked = owned_memory(sizeof *parked);
    struct way w = {.guest = from, .from = from->vm, .to = vm_of(image, count, parked)};

    sim_start(from);
    sim_await_writes(from, 100);
    migrate(&w);
    must(w.send_result, &w.send_error);
    must(w.recv_result, &w.recv_error);
    assert_int_equal(w.send_says, GW_OWNER_SOURCE);
    assert_int_equal(*parked, 1);
    assert_true(sim_runs(from));
    out_of(image, to, true);
    sim_stop(to);
    assert_int_equal(sim_check(to), 0);
    owned_end(to);

    must(gw_options_set_capability(gw_vm_options(from->vm), "background-snapshot", false, &err), &err);
    to = sim_new(0, MIB, NULL);
    w.to = to->vm;
    migrate(&w);
    must(w.send_result, &w.send_error);
    assert_int_equal(w.send_says, GW_OWNER_DESTINATION);
    assert_false(sim_runs(from));
    assert_true(sim_runs(to));
    sim_stop(to);
    assert_int_equal(sim_check(to), 0);
    owned_end(to);
    owned_end(from);
}

static int no_live(void *opaque, struct gw_live **ret, struct gw_error *err)
{
    return gw_fail(err, -EIO, GW_BLAME_LOCAL, "it was asked for");
}

static void test_refused(void **state)
{
    struct sim *from = machine(0);
    struct gw_options *o = gw_vm_options(from->vm);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *image = empty();
    struct gw_vm *vm = vm_of(image, NULL, NULL);
    struct gw_send *send;

    assert_int_equal(gw_options_set_capability(o, "xbzrle", true, &err), -EINVAL);
    assert_string_equal(err.text, "capability background-snapshot cannot be on together with xbzrle: a snapshot goes out in one pass, and its "
                        "machine stays here");
    assert_int_equal(gw_options_set_capability(gw_vm_options(vm), "background-snapshot", true, &err), -ENOTSUP);
    assert_non_null(strstr(err.text, "rests in a file"));
    from->vm->live[from->vm->lives++].make = no_live;
    assert_int_equal(gw_send_start(from->vm, &(struct gw_send_config){.uri = "file:/dev/null"}, &send, &err), -ENOTSUP);
    assert_non_null(strstr(err.text, "live sections"));
    from->vm->lives = 0;
    owned_end(from);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        owned_test(test_exact),       owned_test(test_slow),         owned_test(test_mapped),
        owned_test(test_paused),      owned_test(test_start_writes), owned_test(test_start_fails),
        owned_test(test_stop_fails),  owned_test(test_faults),       owned_test(test_mapped_faults),
        owned_test(test_cancel),      owned_test(test_cancel_pages), owned_test(test_image),
        owned_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
