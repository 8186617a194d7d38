/* SPDX-License-Identifier: MIT
 *
 * Block migration between two machines whose guests write their disks: what arrives is exactly the result of the
 * writes, or the source runs on. pair.h has the rules; sim_check compares the disk too.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../owned.h"
#include "channel/fault.h"
#include "disks.h"
#include "pair.h"

#define MIB    (1ull << 20)
#define BYTES  (4 * MIB + 300 * 1024) /* the last chunk is cut by the end */
#define CHUNKS 5u

struct run {
    struct pair pair; /* the first member */
    unsigned per_ms, fail_read, fail_write;
    bool written; /* whether the guest has written everywhere after the bulk phase. Session's thread */
    bool held;   /* it may not switch over before some rounds */
    bool zeros, throttles;
    uint64_t cancel_bytes; /* cancel after this many bytes of disks; 0: do not */
    struct sim_disk *from, *to;
    unsigned reads, flushes, activated;
    struct gw_fault fault;
    char order[8192]; /* "Sb Sr Pb Pr ... Eb Er": START, PART, END of block, ram */
};

static uint64_t made(struct sim_disk *d)
{
    uint64_t n;

    pthread_mutex_lock(&d->lock);
    n = d->made.writes;
    pthread_mutex_unlock(&d->lock);
    return n;
}

static void listen_in(void *opaque, const struct gw_trace_record *r)
{
    struct run *run = opaque;
    char kind[16], name[16];
    size_t n = strlen(run->order);

    if (sscanf(r->text, "byte %*u: %15s %15s", kind, name) != 2 || n + 4 >= sizeof run->order ||
        (strcmp(name, "ram") && strcmp(name, "block")))
        return;
    snprintf(run->order + n, 4, "%c%c ", kind[0], name[0]);
    if (!run->held || run->written || strcmp(run->order + n, "Pr "))
        return;
    /* Each chunk was sent once. A guest of any speed writes to all of them before the session continues. */
    run->written = true;
    for (uint64_t end = made(run->from) + 100; made(run->from) < end;)
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
}

static void capability(struct sim *s, const char *name)
{
    assert_int_equal(gw_options_set_capability(gw_vm_options(s->vm), name, true, NULL), 0);
}

static void begin(struct pair *p, struct gw_channel **a, struct gw_channel **b)
{
    struct run *run = (struct run *)p;

    run->from = sim_disk_new(p->from, BYTES, 11);
    run->to = sim_disk_new(p->to, BYTES, 0);
    atomic_store(&run->from->per_ms, run->per_ms);
    atomic_store(&run->to->per_ms, run->per_ms);
    atomic_store(&run->from->fail_read, run->fail_read);
    atomic_store(&run->to->fail_write, run->fail_write);
    capability(p->from, "block");
    if (run->zeros)
        capability(p->from, "zero-blocks");
    if (run->throttles)
        capability(p->from, "auto-converge");
    assert_int_equal(gw_vm_set_trace(p->from->vm, "element_put", listen_in, run, NULL), 0);
    if (run->held) {
        sim_option(p->from, "max-bandwidth", "64M");
        sim_option(p->from, "downtime-limit", "1");
    }
    if (run->cancel_bytes)
        sim_option(p->from, "max-bandwidth", "8M");
    if (run->fault.at_byte)
        assert_int_equal(gw_fault_new(*a, &run->fault, 1, a, NULL), 0);
}

static void during(struct pair *p, struct gw_send *send, struct gw_recv *recv)
{
    struct run *run = (struct run *)p;
    struct gw_stats st;

    if (!send)
        return;
    gw_send_stats(send, &st);
    if (run->held && st.dirty_sync_count >= 4) {
        sim_option(p->from, "downtime-limit", "1000000");
        sim_option(p->from, "max-bandwidth", "0");
    }
    if (run->cancel_bytes && st.disk.transferred_bytes >= run->cancel_bytes)
        gw_send_cancel(send, NULL);
}

static void look(struct pair *p)
{
    struct run *run = (struct run *)p;

    run->reads = atomic_load(&run->from->reads);
    run->flushes = atomic_load(&run->to->flushes);
    run->activated = atomic_load(&run->to->activated);
    /* Whatever the result, the disks are not blocked any more. */
    assert_int_equal(gw_disk_resized(run->from->disk, BYTES, NULL), 0);
    assert_int_equal(gw_disk_resized(run->to->disk, BYTES, NULL), 0);
}

static struct run *new_run(unsigned per_ms)
{
    struct run *run = owned_memory(sizeof *run);

    run->pair = (struct pair){.mib = 1, .words_per_ms = 20, .before = begin, .during = during, .after = look};
    run->per_ms = per_ms;
    run->zeros = true;
    return run;
}

/* Bulk phase, then written chunks, round after round; with zeros as flags and as bytes; to a godwit, and to a godwit
 * that is treated as a QEMU. */
static void test_written(void **state)
{
    for (unsigned i = 0; i < 4; i++) {
        struct run *run = new_run(3);
        const struct gw_stats *st = &run->pair.stats;

        run->held = true;
        run->zeros = i % 2;
        run->pair.peer = i < 2 ? NULL : "7.2";
        pair_expect(&run->pair, GW_OWNER_DESTINATION);
        assert_true(run->reads > CHUNKS);
        assert_int_equal(st->disk.total_bytes, BYTES);
        assert_int_equal(st->disk.transferred_bytes, BYTES);
        assert_int_equal(st->disk.remaining_bytes, 0);
        assert_int_equal(st->total_bytes, (1 << 20) + 256 * 1024);
        assert_true(st->bytes_by[GW_CAUSE_DISK] >= (run->zeros ? 3 : CHUNKS) * MIB);
        assert_int_equal(run->activated, 1);
        assert_true(run->flushes >= 1);
        owned_end(run);
    }
}

/* Nothing of RAM goes before each chunk was sent once. */
static void test_first(void **state)
{
    struct run *run = new_run(1);
    const char *ram, *block;
    unsigned parts = 0;

    run->throttles = true;
    run->cancel_bytes = 0;
    pair_expect(&run->pair, GW_OWNER_DESTINATION);
    assert_int_equal(strncmp(run->order, "Sb Sr Pb ", 9), 0);
    ram = strstr(run->order, "Pr");
    assert_non_null(ram);
    for (block = run->order; (block = strstr(block, "Pb")) && block < ram; block++)
        parts++;
    assert_true(parts >= 1);
    assert_int_equal(run->pair.throttle_most, 0);
    assert_non_null(strstr(run->order, "Eb Er"));
    owned_end(run);
}

static void must_say(const char *text, const char *what)
{
    if (!strstr(text, what))
        fail_msg("\"%s\" is not in: %s", what, text);
}

static void test_read_fails(void **state)
{
    for (unsigned i = 1; i <= 3; i += 2) {
        struct run *run = new_run(0);

        run->fail_read = i;
        pair_expect(&run->pair, GW_OWNER_SOURCE);
        must_say(run->pair.send_error.text, "disk d0: reading at byte ");
        must_say(run->pair.send_error.text, "bad sector");
        assert_int_equal(run->pair.send_error.code, -EIO);
        owned_end(run);
    }
}

static void test_write_fails(void **state)
{
    for (unsigned i = 1; i <= 3; i += 2) {
        struct run *run = new_run(1);

        run->fail_write = i;
        pair_expect(&run->pair, GW_OWNER_SOURCE);
        must_say(run->pair.recv_error.text, "disk d0: writing at byte ");
        must_say(run->pair.recv_error.text, "no room");
        must_say(run->pair.send_error.text, "no room");
        owned_end(run);
    }
}

static void test_cancelled(void **state)
{
    for (uint64_t at = 1; at < BYTES; at += MIB) {
        struct run *run = new_run(2);

        run->cancel_bytes = at;
        pair_run(&run->pair);
        owned_end(run);
    }
}

/* A connection that breaks in each kind of record, and between them. */
static void test_cut(void **state)
{
    static const uint64_t at[] = {60, 90, 110, 121, 130, 140, 150, MIB / 2, MIB + 140, MIB + 170, 2 * MIB + 190, 3 * MIB + 200};
    unsigned stayed = 0;

    for (unsigned i = 0; i < 2 * sizeof at / sizeof *at; i++) {
        struct run *run = new_run(2);

        run->fault = (struct gw_fault){
            .kind = i % 2 ? GW_FAULT_END : GW_FAULT_RESET, .direction = GW_FAULT_OUT, .at_byte = at[i / 2]};
        pair_run(&run->pair);
        stayed += run->pair.source_says == GW_OWNER_SOURCE;
        owned_end(run);
    }
    assert_true(stayed > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        owned_test(test_written),     owned_test(test_first),     owned_test(test_read_fails),
        owned_test(test_write_fails), owned_test(test_cancelled), owned_test(test_cut),
    };

    return cmocka_run_group_tests_name("disks", tests, NULL, NULL);
}
