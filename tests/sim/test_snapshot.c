/* SPDX-License-Identifier: MIT
 *
 * Background snapshots of a machine that writes all the while. Whatever comes of one: the machine runs on where it is, nothing
 * of it stays write-protected, and a snapshot that is whole is the machine of one moment, which the writes up to the number in
 * it make.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../owned.h"
#include "channel/fault.h"
#include "sim.h"
#include "ways.h"

#define MIB 1

/* One that writes, with the capability on. Skips the test where that is refused. */
static struct sim *machine(uint64_t words_per_ms)
{
    struct sim *s = sim_new(7, MIB, NULL);
    struct gw_error err = GW_ERROR_INIT;
    int r = gw_options_set_capability(gw_vm_options(s->vm), "background-snapshot", true, &err);

    if (r == -EPERM || r == -ENOTSUP || r == -ENOSYS) {
        print_message("SKIP: %s\n", err.text);
        owned_end(s);
        skip();
    }
    must(r, &err);
    atomic_store(&s->words_per_ms, words_per_ms);
    sim_option(s, "max-bandwidth", "0");
    return s;
}

static __attribute__((noinline, no_sanitize("thread"))) void write_again(volatile uint8_t *at)
{
    *at = *at;
}

/* Who writes to a page that was forgotten waits for ever. */
static void touch_all(struct sim *s)
{
    for (unsigned i = 0; i < SIM_BLOCKS; i++)
        for (uint64_t o = 0; o < s->ram_bytes[i]; o += 4096)
            write_again(s->ram[i] + o);
}

/* The machine is as if nothing had been. */
static void runs_on(struct sim *from)
{
    assert_true(sim_runs(from));
    assert_int_equal(gw_vm_place(from->vm), GW_VM_HERE);
    sim_await_writes(from, 400);
    sim_stop(from);
    touch_all(from);
    assert_int_equal(sim_check(from), 0);
}

static struct gw_channel *over(int fd, const struct gw_fault *fault)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *ch;

    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    must(gw_channel_from_fd(dup(fd), "file", &ch, &err), &err);
    if (fault)
        must(gw_fault_new(ch, fault, 1, &ch, &err), &err);
    return ch;
}

/* A session and what is done in its events; on the heap, since sessions outlive a test that fails. */
struct saving {
    struct sim *from;
    _Atomic(struct gw_send *) send;
    int cancel_event;   /* when it comes, or ACTIVE is entered; -1: not at all */
    int cancel_notify;  /* or at this word to the notifier; -1: not at all */
    uint64_t writes;    /* the guest makes so many, once it runs again, before it is told so */
    atomic_int stops, resumes;
};

/* On the session's thread, or one of its own. */
static void cancel(struct saving *v)
{
    while (!atomic_load(&v->send)) /* the start has not returned yet */
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    gw_send_cancel(atomic_load(&v->send), NULL);
}

static void on_event(void *opaque, const struct gw_event *e)
{
    struct saving *v = opaque;

    if (e->type == GW_EVENT_STOP)
        atomic_fetch_add(&v->stops, 1);
    if (e->type == GW_EVENT_RESUME) {
        atomic_fetch_add(&v->resumes, 1);
        sim_await_writes(v->from, v->writes);
        /* What the guest does not care for now it may have cared for at the moment. */
        gw_vm_hint_free(v->from->vm, "sim.low", 0, v->from->ram_bytes[0]);
    }
    if ((int)e->type == v->cancel_event && (e->type != GW_EVENT_STATUS || e->status == GW_STATUS_ACTIVE))
        cancel(v);
}

static int on_notify(void *opaque, enum gw_notify what, struct gw_error *err)
{
    struct saving *v = opaque;

    if ((int)what == v->cancel_notify)
        cancel(v);
    return 0;
}

static struct saving *saving(struct sim *from)
{
    struct saving *v = owned_memory(sizeof *v);

    *v = (struct saving){.from = from, .cancel_event = -1, .cancel_notify = -1};
    return v;
}

static int save(struct saving *v, struct gw_channel *take_channel, uint64_t timeout_ns, struct gw_stats *ret, struct gw_error *err)
{
    struct gw_send *send;
    int r;

    must(gw_send_start(v->from->vm,
                       &(struct gw_send_config){.take_channel = take_channel,
                                                .peer = "10.0",
                                                .progress_timeout_ns = timeout_ns ? timeout_ns : UINT64_MAX,
                                                .on_event = on_event,
                                                .opaque = v},
                       &send, err),
         err);
    owned_send(send);
    atomic_store(&v->send, send);
    r = gw_send_wait(send, err);
    gw_send_stats(send, ret);
    assert_int_equal(gw_send_owner(send), GW_OWNER_SOURCE);
    assert_int_equal(ret->status, r >= 0 ? GW_STATUS_COMPLETED : r == -ECANCELED ? GW_STATUS_CANCELLED : GW_STATUS_FAILED);
    owned_end(send);
    return r;
}

/* The machine of the file: exactly what its writes make. Returns how many those were. */
static uint64_t load(int fd, bool mapped, bool running)
{
    struct gw_error err = GW_ERROR_INIT;
    struct sim *to = sim_new(0, MIB, NULL);
    struct gw_stats stats;
    struct gw_recv *recv;
    uint64_t writes;

    must(gw_options_set_capability(gw_vm_options(to->vm), "mapped-ram", mapped, &err), &err);
    must(gw_recv_start(to->vm, &(struct gw_recv_config){.take_channel = over(fd, NULL), .progress_timeout_ns = UINT64_MAX}, &recv,
                       &err),
         &err);
    owned_recv(recv);
    must(gw_recv_wait(recv, &err), &err);
    gw_recv_stats(recv, &stats);
    assert_int_equal(stats.source_runs, !mapped);
    assert_int_equal(sim_runs(to), running);
    sim_stop(to);
    writes = to->device.writes;
    assert_int_equal(sim_check(to), 0);
    owned_end(recv);
    owned_end(to);
    return writes;
}

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

/* At this rate almost nothing goes but what the guest waits for. */
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

/* A start that writes to memory itself waits for pages as the guest does. */
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

/* In each phase, and when it runs again, and again after that: a machine that was left alone can be saved. */
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
        owned_channel(b); /* nobody reads: it is full soon, and the guest waits for pages */
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
