/* SPDX-License-Identifier: MIT
 *
 * Resized blocks, ignored shared blocks, zero detection, trackers: aspects of memory other than copying. Contents that
 * need not be sent: test_hints.c.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "../owned.h"
#include "engine/vm.h"
#include "pair.h"

static enum gw_tracker_kind kind;

/* The test needs many rounds, not a guest that a slow build cannot follow. On a slow host a second is few rounds. */
static void relax(struct pair *p, struct gw_send *send, struct gw_recv *recv)
{
    struct gw_stats st;

    gw_send_stats(send, &st);
    if (st.dirty_sync_count >= 4 && st.total_time_ns > 500000000)
        sim_option(p->from, "downtime-limit", "1000000");
}

/* ---- x-ignore-shared --------------------------------------------------------------------------------------------------- */

#define SHARED_BYTES (2u << 20)
static uint8_t *shared[2];
static bool shared_marks;

static void unmap_shared(void *what)
{
    munmap(what, SHARED_BYTES);
}

static void add_shared(struct pair *p, struct gw_channel **a, struct gw_channel **b)
{
    struct gw_tracker_config config = {.kind = shared_marks ? GW_TRACKER_EXPLICIT : GW_TRACKER_PAGEMAP};
    struct sim *sides[] = {p->from, p->to};
    int fd = memfd_create("shared", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, SHARED_BYTES), 0);
    for (unsigned i = 0; i < 2; i++) {
        struct gw_ram_desc d = {.name = "shared", .used_bytes = SHARED_BYTES, .gpa = 9ull << 32,
                                .flags = GW_RAM_SHARED | GW_RAM_NAMED_FILE};

        d.host = shared[i] = mmap(NULL, SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        assert_ptr_not_equal(shared[i], MAP_FAILED);
        owned(shared[i], unmap_shared);
        assert_int_equal(gw_vm_add_ram(sides[i]->vm, &d, NULL), 0);
        assert_int_equal(gw_options_set_capability(gw_vm_options(sides[i]->vm), "x-ignore-shared", true, NULL), 0);
    }
    close(fd);
    memset(shared[0], 0x77, SHARED_BYTES);
    assert_int_equal(gw_vm_set_tracker(p->from->vm, &config, NULL), 0);
    atomic_store(&p->from->mark, shared_marks);
    sim_option(p->from, "downtime-limit", "1");
}

static void write_there(void *opaque)
{
    static unsigned n;

    shared[0][n++ * 4096 % SHARED_BYTES]++;
    gw_vm_mark_dirty(((struct sim *)opaque)->vm, 9ull << 32, SHARED_BYTES);
}

/* The guest goes on writing there, which must have no effect. */
static void write_shared(struct pair *p, struct gw_send *send, struct gw_recv *recv)
{
    sim_act(p->from, write_there, p->from);
    relax(p, send, recv);
}

static void drop_shared(struct pair *p)
{
    assert_memory_equal(shared[0], shared[1], SHARED_BYTES);
}

static void test_ignored_shared(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        struct pair p = {.mib = 8, .words_per_ms = 50, .before = add_shared, .during = write_shared, .after = drop_shared};

        shared_marks = i;
        pair_run(&p);
        assert_int_equal(p.source_says, GW_OWNER_DESTINATION);
        assert_true(p.stats.rounds >= 2);
        owned_end(shared[0]);
        owned_end(shared[1]);
    }
}

/* ---- what is marked ------------------------------------------------------------------------------------------------------ */

#define ROM_BYTES 65536u
static uint8_t *rom[2];
static bool rewrote;

static void add_rom(struct pair *p, struct gw_channel **a, struct gw_channel **b)
{
    struct gw_tracker_config config = {.kind = kind};
    struct sim *sides[] = {p->from, p->to};

    for (unsigned i = 0; i < 2; i++) {
        struct gw_ram_desc d = {.name = "rom", .used_bytes = ROM_BYTES, .gpa = 9ull << 32, .flags = GW_RAM_READONLY};

        d.host = rom[i] = aligned_alloc(4096, ROM_BYTES);
        assert_non_null(rom[i]);
        owned(rom[i], free);
        memset(rom[i], 1, ROM_BYTES);
        assert_int_equal(gw_vm_add_ram(sides[i]->vm, &d, NULL), 0);
    }
    assert_int_equal(gw_vm_set_tracker(p->from->vm, &config, NULL), 0);
    atomic_store(&p->from->mark, kind == GW_TRACKER_EXPLICIT);
    sim_option(p->from, "downtime-limit", "1");
    rewrote = false;
}

static void rewrite(void *opaque)
{
    memset(rom[0] + 8192, 2, 4096);
    gw_vm_mark_dirty(((struct sim *)opaque)->vm, (9ull << 32) - 4096, 4096 + 8192 + 1);
}

/* The machine itself changes what the guest cannot write, after it was sent; the range begins where no block is. Nobody
 * relaxes before that, so it comes in time however slow this machine is. */
static void rewrite_rom(struct pair *p, struct gw_send *send, struct gw_recv *recv)
{
    struct gw_stats st;

    gw_send_stats(send, &st);
    if (!rewrote && st.status == GW_STATUS_ACTIVE && st.dirty_sync_count >= 2)
        rewrote = sim_act(p->from, rewrite, p->from);
    if (rewrote)
        relax(p, send, recv);
}

static void compare_rom(struct pair *p)
{
    if (rewrote)
        assert_memory_equal(rom[0], rom[1], ROM_BYTES);
}

static void test_marked(void **state)
{
    static const enum gw_tracker_kind kinds[] = {GW_TRACKER_PAGEMAP, GW_TRACKER_EXPLICIT};
    unsigned seen = 0;

    for (unsigned i = 0; i < 20; i++) {
        struct pair p = {.mib = 8, .words_per_ms = 80, .before = add_rom, .during = rewrite_rom, .after = compare_rom};

        kind = kinds[i % 2];
        pair_run(&p);
        assert_int_equal(p.source_says, GW_OWNER_DESTINATION);
        seen += rewrote;
        owned_end(rom[0]);
        owned_end(rom[1]);
    }
    assert_true(seen > 0);
}

/* ---- R20 ------------------------------------------------------------------------------------------------------------- */

static bool resized;

static void slow(struct pair *p, struct gw_channel **a, struct gw_channel **b)
{
    resized = false;
    sim_option(p->from, "max-bandwidth", "1M");
    sim_option(p->from, "downtime-limit", "1"); /* so that it does not end earlier */
}

static void resize_vram(void *opaque)
{
    resized = gw_vm_resize_ram(((struct sim *)opaque)->vm, "sim.vram", 128 * 1024, NULL) == 0;
}

static void resize(struct pair *p, struct gw_send *send, struct gw_recv *recv)
{
    if (!resized && gw_send_status(send) == GW_STATUS_ACTIVE)
        sim_act(p->from, resize_vram, p->from);
}

static void test_resized_during_precopy(void **state)
{
    struct pair p = {.mib = 16, .words_per_ms = 10, .before = slow, .during = resize};

    pair_run(&p);
    assert_int_equal(p.source_says, GW_OWNER_SOURCE);
    assert_string_equal(p.send_error.text, "RAM block sim.vram was resized while the migration was under way");
    assert_int_equal(p.stats.status, GW_STATUS_CANCELLED);
    assert_int_equal(p.stats.error.code, -ECANCELED);
}

/* A block that is not sent may have any size, and setting its current size is no change. */
static int resize_harmlessly(void *opaque, enum gw_notify what, struct gw_error *err)
{
    int r = what == GW_NOTIFY_SETUP ? gw_vm_resize_ram(opaque, "stays", 4096, err) : 0;

    return what == GW_NOTIFY_SETUP && !r ? gw_vm_resize_ram(opaque, "sim.vram", 256 * 1024, err) : r;
}

static void add_staying(struct pair *p, struct gw_channel **a, struct gw_channel **b)
{
    static uint8_t memory[8192] __attribute__((aligned(4096)));
    struct gw_ram_desc d = {
        .name = "stays", .host = memory, .used_bytes = 8192, .gpa = 9ull << 32, .flags = GW_RAM_NO_MIGRATE};

    assert_int_equal(gw_vm_add_ram(p->from->vm, &d, NULL), 0);
    assert_int_equal(gw_vm_add_notifier(p->from->vm, resize_harmlessly, p->from->vm, NULL), 0);
}

static void compare_staying(struct pair *p)
{
    assert_int_equal(gw_ram_find(&p->from->vm->ram, "stays")->used_bytes, 4096);
}

static void test_resized_beside(void **state)
{
    struct pair p = {.mib = 8, .words_per_ms = 10, .before = add_staying, .after = compare_staying};

    pair_run(&p);
    assert_int_equal(p.source_says, GW_OWNER_DESTINATION);
}

/* Before the block list was made: it is as much too late as later, and the size holds from the end of the session on. */
static int resize_in_setup(void *opaque, enum gw_notify what, struct gw_error *err)
{
    return what == GW_NOTIFY_SETUP ? gw_vm_resize_ram(opaque, "sim.vram", 64 * 1024, err) : 0;
}

static void watch_setup(struct pair *p, struct gw_channel **a, struct gw_channel **b)
{
    assert_int_equal(gw_vm_add_notifier(p->from->vm, resize_in_setup, p->from->vm, NULL), 0);
}

static void test_resized_during_setup(void **state)
{
    struct pair p = {.mib = 8, .words_per_ms = 10, .before = watch_setup};

    pair_run(&p);
    assert_int_equal(p.source_says, GW_OWNER_SOURCE);
    assert_non_null(strstr(p.send_error.text, "RAM block sim.vram was resized"));
}

/* ---- R4: who looks for zero pages -------------------------------------------------------------------------------------- */

static const char *zero_mode;

static void set_zero_mode(struct pair *p, struct gw_channel **a, struct gw_channel **b)
{
    sim_option(p->from, "zero-page-detection", zero_mode);
}

static void test_zero_modes(void **state)
{
    static const char *const modes[] = {"none", "legacy", "multifd"};

    for (unsigned i = 0; i < 3; i++) {
        struct pair p = {.mib = 8, .words_per_ms = 1, .before = set_zero_mode};

        zero_mode = modes[i];
        pair_run(&p);
        assert_int_equal(p.source_says, GW_OWNER_DESTINATION);
        assert_true(p.stats.duplicate_pages + p.stats.normal_pages + p.stats.compression.pages >= (8u << 20) / 4096);
        if (i)
            assert_true(p.stats.duplicate_pages > 1000);
        else
            assert_int_equal(p.stats.duplicate_pages, 0);
    }
}

/* ---- blocks that do not match (R1) ------------------------------------------------------------------------------------ */

static void refused(const char *name, uint64_t from_bytes, uint64_t to_bytes, const char *text)
{
    static uint8_t spare[2][65536] __attribute__((aligned(4096)));
    struct gw_error err = GW_ERROR_INIT;
    struct sim *from = sim_new(7, 1, NULL), *to = sim_new(0, 1, NULL);
    struct gw_channel *a, *b;
    struct gw_recv *recv;
    struct gw_send *send;

    if (from_bytes)
        assert_int_equal(gw_vm_add_ram(from->vm,
                                       &(struct gw_ram_desc){
                                           .name = name, .host = spare[0], .used_bytes = from_bytes, .gpa = 9ull << 32},
                                       &err),
                         0);
    if (to_bytes)
        assert_int_equal(
            gw_vm_add_ram(
                to->vm,
                &(struct gw_ram_desc){.name = name, .host = spare[1], .used_bytes = to_bytes, .gpa = 9ull << 32}, &err),
            0);
    assert_int_equal(gw_channel_memory_pair(65536, &a, &b, &err), 0);
    assert_int_equal(gw_recv_start(to->vm, &(struct gw_recv_config){.take_channel = b}, &recv, &err), 0);
    owned_recv(recv);
    assert_int_equal(gw_send_start(from->vm,
                                   &(struct gw_send_config){.take_channel = a, .progress_timeout_ns = UINT64_MAX},
                                   &send, &err),
                     0);
    owned_send(send);
    assert_true(gw_send_wait(send, &err) < 0);
    assert_true(gw_recv_wait(recv, &err) < 0);
    assert_int_equal(err.blame, GW_BLAME_PEER);
    if (!strstr(err.text, name) || !strstr(err.text, text))
        print_error("%s\n", err.text);
    assert_non_null(strstr(err.text, name));
    assert_non_null(strstr(err.text, text));
    assert_int_equal(gw_send_owner(send), GW_OWNER_SOURCE);
    owned_end(send);
    owned_end(recv);
    owned_end(from);
    owned_end(to);
}

static void test_blocks_must_match(void **state)
{
    refused("extra", 4096, 0, "which this machine lacks");
    refused("missing", 0, 4096, "is not in the stream");
    refused("sized", 8192, 4096, "0x2000");
}

/* ---- R2: each back end, again and again -------------------------------------------------------------------------------- */

static void set_tracker(struct pair *p, struct gw_channel **a, struct gw_channel **b)
{
    struct gw_tracker_config config = {.kind = kind};
    struct gw_error err = GW_ERROR_INIT;

    if (gw_vm_set_tracker(p->from->vm, &config, &err) < 0)
        fail_msg("%s", err.text);
    /* The writer marks its writes from the next one on; earlier ones are covered by the first pass. */
    atomic_store(&p->from->mark, kind == GW_TRACKER_EXPLICIT);
    sim_option(p->from, "downtime-limit", "1");
}

static void test_trackers(void **state)
{
    static const enum gw_tracker_kind kinds[] = {GW_TRACKER_PAGEMAP, GW_TRACKER_EXPLICIT};
    const char *runs = getenv("SIM_RUNS");
    int n = runs ? atoi(runs) : 15;

    for (unsigned k = 0; k < 2; k++) {
        uint64_t rounds = 0;

        for (int i = 0; i < n; i++) {
            struct pair p = {.mib = 8, .words_per_ms = 20 + i % 7 * 40u, .before = set_tracker, .during = relax};

            kind = kinds[k];
            pair_run(&p);
            assert_int_equal(p.source_says, GW_OWNER_DESTINATION);
            rounds += p.stats.rounds;
        }
        print_message("%s: %d migrations, %llu rounds, no wrong word\n",
                      kinds[k] == GW_TRACKER_PAGEMAP ? "pagemap" : "explicit", n, (unsigned long long)rounds);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        owned_test(test_ignored_shared),
        owned_test(test_marked),
        owned_test(test_resized_during_precopy),
        owned_test(test_resized_during_setup),
        owned_test(test_resized_beside),
        owned_test(test_zero_modes),
        owned_test(test_blocks_must_match),
        owned_test(test_trackers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
