/* SPDX-License-Identifier: MIT
 *
 * Sizes of RAM blocks at a load, and a load into a machine that runs. The test writes the source's stream: its block
 * list has values that a godwit never sends.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../owned.h"
#include "engine/vm.h"
#include "sim.h"
#include "wire/head.h"
#include "wire/names.h"
#include "wire/ram_list.h"
#include "wire/ram_record.h"
#include "wire/section.h"

#define MAX_BYTES 65536u

static uint64_t told; /* size passed to the embedder's callback */
static int answer;

static int resized(void *opaque, uint64_t used_bytes, struct gw_error *err)
{
    told = used_bytes;
    return answer ? gw_fail(err, answer, GW_BLAME_EMBEDDER, "the device says no") : 0;
}

/* A head, and the START of the RAM with "b" in front of the machine's own blocks; then it is cut. */
static size_t stream(struct sim *s, uint64_t used_bytes, uint8_t *buf, size_t room)
{
    static const char *const names[] = {"sim.low", "sim.high", "sim.vram"};
    struct gw_wire_head head = {.configured = true, .machine = "sim-1"};
    struct gw_section_head ram = {.name = "ram", .version = 4};
    uint64_t total = used_bytes;
    struct gw_out out;

    for (unsigned i = 0; i < SIM_BLOCKS; i++)
        total += s->ram_bytes[i];
    gw_out_fixed(&out, buf, room);
    gw_head_put(&out, &head);
    gw_section_put_head(&out, GW_ELEMENT_START, &ram);
    gw_ram_list_put_total(&out, total);
    gw_ram_list_put(&out, "b", used_bytes, NULL);
    for (unsigned i = 0; i < SIM_BLOCKS; i++)
        gw_ram_list_put(&out, names[i], s->ram_bytes[i], NULL);
    gw_ram_put_end(&out);
    return out.offset;
}

/* *ret_used: size of "b" after the load, which fails in any case. Returns the load's result. */
static void load(uint64_t here_bytes, uint64_t there_bytes, unsigned flags, uint64_t *ret_used, struct gw_error *err)
{
    static uint8_t memory[MAX_BYTES] __attribute__((aligned(4096)));
    struct gw_ram_desc d = {.name = "b", .host = memory, .used_bytes = here_bytes, .max_bytes = MAX_BYTES,
                            .gpa = 9ull << 32, .flags = flags, .resized = resized};
    struct sim *s = sim_new(0, 1, NULL);
    struct gw_channel *a, *b;
    struct gw_recv *recv;
    uint8_t buf[512];
    size_t n = stream(s, there_bytes, buf, sizeof buf);

    told = 0;
    *err = (struct gw_error)GW_ERROR_INIT;
    assert_int_equal(gw_vm_add_ram(s->vm, &d, NULL), 0);
    assert_int_equal(gw_channel_memory_pair(65536, &a, &b, NULL), 0);
    assert_int_equal(gw_recv_start(s->vm, &(struct gw_recv_config){.take_channel = b, .progress_timeout_ns = UINT64_MAX}, &recv,
                                   NULL),
                     0);
    owned_recv(recv);
    assert_int_equal(gw_channel_writev(a, &(struct iovec){buf, n}, 1, NULL), (ssize_t)n);
    gw_channel_free(a);
    assert_true(gw_recv_wait(recv, err) < 0);
    *ret_used = gw_ram_find(&s->vm->ram, "b")->used_bytes;
    owned_end(recv);
    owned_end(s);
}

static void takes(uint64_t here_bytes, uint64_t there_bytes)
{
    struct gw_error err;
    uint64_t used;

    load(here_bytes, there_bytes, GW_RAM_RESIZEABLE, &used, &err);
    assert_int_equal(used, there_bytes);
    assert_int_equal(told, here_bytes == there_bytes ? 0 : there_bytes);
    assert_null(strstr(err.text, "RAM block")); /* the error is the truncation, not the size */
}

static void refuses(uint64_t here_bytes, uint64_t there_bytes, unsigned flags, const char *text)
{
    struct gw_error err;
    uint64_t used;

    load(here_bytes, there_bytes, flags, &used, &err);
    assert_int_equal(used, here_bytes);
    assert_int_equal(told, 0);
    if (!strstr(err.text, text))
        fail_msg("\"%s\" is not in \"%s\"", text, err.text);
}

static void test_sizes(void **state)
{
    struct gw_error err;
    uint64_t used;

    takes(8192, 8192);
    takes(8192, MAX_BYTES);
    takes(8192, 4096);
    takes(8192, 0);
    refuses(8192, MAX_BYTES + 4096, GW_RAM_RESIZEABLE, "0x11000 bytes on the source and 0x2000 here");
    refuses(8192, 4096, 0, "0x1000 bytes on the source and 0x2000 here");
    refuses(8192, 16384, 0, "0x4000 bytes on the source and 0x2000 here");
    answer = -ENOSPC;
    load(8192, 4096, GW_RAM_RESIZEABLE, &used, &err);
    assert_int_equal(used, 8192);
    assert_non_null(strstr(err.text, "RAM block b cannot be given 0x1000 bytes: the device says no"));
    answer = 0;
}

/* A load never overwrites the memory of a running guest. */
static void test_running(void **state)
{
    struct sim *s = sim_new(7, 1, NULL);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_recv *recv = NULL;

    sim_start(s);
    assert_int_equal(gw_recv_start(s->vm, &(struct gw_recv_config){.uri = "tcp:127.0.0.1:0"}, &recv, &err), -EBUSY);
    assert_non_null(strstr(err.text, "run"));
    owned_end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {owned_test(test_sizes), owned_test(test_running)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
