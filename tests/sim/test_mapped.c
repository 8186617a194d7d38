/* SPDX-License-Identifier: MIT
 *
 * A running machine is saved to a mapped-ram file, and another one is loaded from it. With any fault at any byte of the
 * file: either the source reports success, and the file is good, or the source's machine runs on; a machine that could
 * not be loaded does not run.
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

#include "channel/fault.h"
#include "../owned.h"
#include "sim.h"

#define MIB 1

static struct sim *machine(uint64_t seed, uint64_t words_per_ms)
{
    struct sim *s = sim_new(seed, MIB, NULL);
    struct gw_options *o = gw_vm_options(s->vm);

    s->words_per_ms = words_per_ms;
    assert_int_equal(gw_options_set_parameter(o, "max-bandwidth", "0", NULL), 0);
    assert_int_equal(gw_options_set_capability(o, "mapped-ram", true, NULL), 0);
    return s;
}

/* A channel over the file from its beginning, with a fault if there is one. */
static struct gw_channel *over(int fd, const struct gw_fault *fault)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *ch;

    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(gw_channel_from_fd(dup(fd), "file", &ch, &err), 0);
    if (fault)
        assert_int_equal(gw_fault_new(ch, fault, 1, &ch, &err), 0);
    return ch;
}

static int save(struct sim *from, int fd, const struct gw_fault *fault, struct gw_stats *ret_stats, struct gw_error *err)
{
    struct gw_send_config config = {.take_channel = over(fd, fault), .peer = "10.0",
                                    .progress_timeout_ns = fault && fault->kind == GW_FAULT_STALL ? 20000000 : UINT64_MAX};
    uint64_t since_ns = gw_now_ns(&gw_clock_real);
    struct gw_send *send;
    int r;

    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(gw_send_start(from->vm, &config, &send, err), 0);
    owned_send(send);
    while (!sim_over(gw_send_status(send))) {
        sim_ease(from, since_ns);
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    r = gw_send_wait(send, err);
    gw_send_stats(send, ret_stats);
    assert_int_equal(gw_send_owner(send), r < 0 ? GW_OWNER_SOURCE : GW_OWNER_DESTINATION);
    assert_int_equal(sim_runs(from), r < 0);
    owned_end(send);
    return r;
}

static int load(struct sim *to, int fd, const struct gw_fault *fault, uint64_t *ret_bytes, struct gw_error *err)
{
    struct gw_recv_config config = {.take_channel = over(fd, fault),
                                    .progress_timeout_ns = fault && fault->kind == GW_FAULT_STALL ? 20000000 : UINT64_MAX};
    struct gw_recv *recv;
    struct gw_stats st;
    int r;

    assert_int_equal(gw_recv_start(to->vm, &config, &recv, err), 0);
    owned_recv(recv);
    r = gw_recv_wait(recv, err);
    assert_int_equal(sim_runs(to), r >= 0);
    gw_recv_stats(recv, &st);
    *ret_bytes = st.transferred_bytes;
    owned_end(recv);
    return r;
}

/* Returns how many bytes were read. */
static uint64_t arrives(int fd)
{
    struct gw_error err = GW_ERROR_INIT;
    struct sim *to = machine(0, 20);
    uint64_t bytes;
    int r = load(to, fd, NULL, &bytes, &err);

    if (r < 0)
        fail_msg("%s", err.text);
    sim_stop(to);
    assert_int_equal(sim_check(to), 0);
    owned_end(to);
    return bytes;
}

static void test_running(void **state)
{
    for (unsigned rate = 0; rate <= 400; rate += 80) {
        struct gw_error err = GW_ERROR_INIT;
        int fd = memfd_create("mapped", MFD_CLOEXEC);
        struct sim *from = machine(7, rate);
        struct gw_stats st;

        sim_start(from);
        assert_int_equal(save(from, fd, NULL, &st, &err), 0);
        assert_int_equal(sim_check(from), 0);
        print_message("%u words a ms: %llu syncs, %llu pages, %llu zero, %llu bytes in a file of %llu\n", rate,
                      (unsigned long long)st.dirty_sync_count, (unsigned long long)st.normal_pages,
                      (unsigned long long)st.duplicate_pages, (unsigned long long)st.transferred_bytes,
                      (unsigned long long)lseek(fd, 0, SEEK_END));
        assert_true(st.bytes_by[GW_CAUSE_RAM_PAGE] == st.normal_bytes);
        assert_true(lseek(fd, 0, SEEK_END) < (SIM_BLOCKS * (MIB + 1) + 1) << 20);
        arrives(fd);
        owned_end(from);
        close(fd);
    }
}

static const struct {
    enum gw_fault_kind kind;
    const char *name;
} kinds[] = {{GW_FAULT_END, "end"}, {GW_FAULT_RESET, "reset"}, {GW_FAULT_ERROR, "error"}, {GW_FAULT_STALL, "stall"}};

/* Places of a sweep over this many bytes: some everywhere, and all near the end, where the outcome is decided. */
static uint64_t step(uint64_t at, uint64_t bytes)
{
    return at + 600 < bytes ? GW_MIN((bytes - 600 - at), bytes / 9 + 1) : getenv("GODWIT_SWEEP") ? 1 : 37;
}

static void test_writing_fails(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    int fd = memfd_create("mapped", MFD_CLOEXEC);
    struct sim *from = machine(7, 20);
    struct gw_stats st;
    unsigned stayed = 0, whole = 0;

    sim_start(from);
    assert_int_equal(save(from, fd, NULL, &st, &err), 0);
    owned_end(from);
    for (unsigned k = 0; k < 4; k++)
        for (uint64_t at = 0; at < st.transferred_bytes + 300; at += step(at, st.transferred_bytes)) {
            struct gw_fault fault = {.kind = kinds[k].kind, .direction = GW_FAULT_OUT, .at_byte = at};
            struct gw_stats ignored;

            err = (struct gw_error)GW_ERROR_INIT;
            from = machine(7, 20);
            sim_start(from);
            if (save(from, fd, &fault, &ignored, &err) < 0) {
                stayed++;
                assert_true(err.text[0]);
            } else {
                assert_true(at >= 1000); /* the least that any machine takes; how much more it is depends on its rounds */
                whole++;
                arrives(fd);
            }
            sim_stop(from);
            assert_int_equal(sim_check(from), 0);
            owned_end(from);
        }
    print_message("%u stayed, %u files were whole\n", stayed, whole);
    assert_true(stayed >= 4);
    close(fd);
}

static void test_short_writes(void **state)
{
    struct gw_fault fault = {.kind = GW_FAULT_SHORT, .direction = GW_FAULT_OUT, .bytes = 1023};
    struct gw_error err = GW_ERROR_INIT;
    int fd = memfd_create("mapped", MFD_CLOEXEC);
    struct sim *from = machine(7, 0);
    struct gw_stats st;

    sim_start(from);
    assert_int_equal(save(from, fd, &fault, &st, &err), 0);
    arrives(fd);
    owned_end(from);
    close(fd);
}

static void test_reading_fails(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    int fd = memfd_create("mapped", MFD_CLOEXEC);
    struct sim *from = machine(7, 20), *to;
    uint64_t bytes, ignored;
    struct gw_stats st;
    unsigned failed = 0;

    sim_start(from);
    sim_await_writes(from, 400); /* most of what is read are pages */
    assert_int_equal(save(from, fd, NULL, &st, &err), 0);
    bytes = arrives(fd);
    for (unsigned k = 0; k < 4; k++)
        for (uint64_t at = 0; at < bytes; at += bytes / 23 + 1) {
            struct gw_fault fault = {.kind = kinds[k].kind, .direction = GW_FAULT_IN, .at_byte = at};

            err = (struct gw_error)GW_ERROR_INIT;
            to = machine(0, 20);
            assert_true(load(to, fd, &fault, &ignored, &err) < 0);
            assert_true(err.text[0]);
            failed++;
            owned_end(to);
        }
    arrives(fd);
    print_message("%u loads failed\n", failed);
    owned_end(from);
    close(fd);
}

/* A guest whose save was cancelled runs on, and can be saved again. */
static void test_cancel(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    int fd = memfd_create("mapped", MFD_CLOEXEC);
    struct sim *from = machine(7, 50);
    struct gw_send *send;
    struct gw_stats st;

    assert_int_equal(gw_options_set_parameter(gw_vm_options(from->vm), "max-bandwidth", "65536", NULL), 0);
    sim_start(from);
    assert_int_equal(gw_send_start(from->vm, &(struct gw_send_config){.take_channel = over(fd, NULL)}, &send, &err), 0);
    owned_send(send);
    do {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        gw_send_stats(send, &st);
    } while (!st.normal_pages && !sim_over(st.status));
    assert_int_equal(gw_send_cancel(send, &err), 0);
    assert_int_equal(gw_send_wait(send, &err), -ECANCELED);
    owned_end(send);
    assert_true(sim_runs(from));
    assert_int_equal(gw_options_set_parameter(gw_vm_options(from->vm), "max-bandwidth", "0", NULL), 0);
    assert_int_equal(save(from, fd, NULL, &st, &err), 0);
    arrives(fd);
    owned_end(from);
    close(fd);
}

static void test_no_file(void **state)
{
    struct sim *s = machine(7, 0);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *a, *b;
    struct gw_send *send;
    struct gw_recv *recv;

    assert_int_equal(gw_send_start(s->vm, &(struct gw_send_config){.uri = "tcp:127.0.0.1:1"}, &send, &err), -EINVAL);
    assert_non_null(strstr(err.text, "fixed places of a file"));
    assert_int_equal(gw_recv_start(s->vm, &(struct gw_recv_config){.uri = "tcp:127.0.0.1:0"}, &recv, &err), -EINVAL);
    assert_non_null(strstr(err.text, "fixed places of a file"));
    assert_int_equal(gw_channel_memory_pair(4096, &a, &b, &err), 0);
    assert_int_equal(gw_send_start(s->vm, &(struct gw_send_config){.take_channel = a}, &send, &err), 0);
    owned_send(send);
    assert_int_equal(gw_send_wait(send, &err), -EINVAL);
    assert_non_null(strstr(err.text, "fixed places of a file"));
    owned_end(send);
    gw_channel_free(b);
    owned_end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        owned_test(test_running),
        owned_test(test_writing_fails),
        owned_test(test_short_writes),
        owned_test(test_reading_fails),
        owned_test(test_cancel),
        owned_test(test_no_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
