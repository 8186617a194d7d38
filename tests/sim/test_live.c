/* SPDX-License-Identifier: MIT
 *
 * Two live sections at once: RAM, and a table of chunks (chunks.h) that shares nothing with it. pair.h says what must hold;
 * sim_check compares the table too. meson.build runs this also with pages on two channels of their own.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../owned.h"
#include "channel/fault.h"
#include "chunks.h"
#include "pair.h"

#define ROUNDS 6u /* syncs required before the switchover */

/* One migration with a table; on the heap, since sessions outlive a test that fails. */
struct run {
    struct pair pair; /* the first member */
    int order, order_there;
    unsigned per_ms, refuse, unread; /* of the source, the destination, the source */
    bool only_here, only_there;      /* one machine has no table */
    bool held;                       /* it may not switch over before ROUNDS */
    struct chunks *from, *to;
    /* what the destination's had stored, before it went */
    unsigned bulk, again, stored, percent;
    struct gw_fault fault;
    char order_put[4096], order_got[4096]; /* "Sc Sr Pc Pr ... Ec Er": START, PART, END of chunks, ram */
};

/* Between two syncs the guest dirties more than fits the downtime limit: RAM, the table, or both. */
static int write_before_sync(void *opaque, enum gw_notify what, struct gw_error *err)
{
    struct run *run = opaque;

    if (what == GW_NOTIFY_BEFORE_SYNC) {
        sim_await_writes(run->pair.from, 400);
        if (run->from)
            chunks_await(run->from, 100);
    }
    return 0;
}

static void listen_in(void *opaque, const struct gw_trace_record *r)
{
    char *order = opaque, kind[16], name[16];
    size_t n = strlen(order);

    if (sscanf(r->text, "byte %*u: %15s %15s", kind, name) == 2 && n + 4 < sizeof ((struct run *)0)->order_put &&
        (!strcmp(name, "ram") || !strcmp(name, "chunks")))
        snprintf(order + n, 4, "%c%c ", kind[0], name[0]);
}

static void begin(struct pair *p, struct gw_channel **a, struct gw_channel **b)
{
    struct run *run = (struct run *)p;

    if (!run->only_there) {
        run->from = chunks_new(p->from, 11, run->order);
        atomic_store(&run->from->per_ms, run->per_ms);
        atomic_store(&run->from->unread, run->unread);
    }
    if (!run->only_here) {
        run->to = chunks_new(p->to, 0, run->order_there ? run->order_there : run->order);
        atomic_store(&run->to->per_ms, run->per_ms);
        atomic_store(&run->to->refuse, run->refuse);
    }
    assert_int_equal(gw_vm_set_trace(p->from->vm, "element_put", listen_in, run->order_put, NULL), 0);
    assert_int_equal(gw_vm_set_trace(p->to->vm, "element_get", listen_in, run->order_got, NULL), 0);
    if (run->held) {
        sim_option(p->from, "max-bandwidth", "32M");
        sim_option(p->from, "downtime-limit", "1");
        assert_int_equal(gw_vm_add_notifier(p->from->vm, write_before_sync, run, NULL), 0);
    }
    if (run->fault.at_byte)
        assert_int_equal(gw_fault_new(*a, &run->fault, 1, a, NULL), 0);
}

static void let_go(struct pair *p, struct gw_send *send, struct gw_recv *recv)
{
    struct run *run = (struct run *)p;
    struct gw_stats st;

    if (!send || !run->held)
        return;
    gw_send_stats(send, &st);
    if (st.dirty_sync_count >= ROUNDS)
        sim_option(p->from, "downtime-limit", "1000000");
}

static void look(struct pair *p)
{
    struct run *run = (struct run *)p;

    if (run->from) {
        run->bulk = atomic_load(&run->from->bulk);
        run->again = atomic_load(&run->from->again);
    }
    if (run->to) {
        run->stored = atomic_load(&run->to->stored);
        run->percent = atomic_load(&run->to->percent);
    }
}

static struct run *new_run(uint64_t words_per_ms, unsigned per_ms)
{
    struct run *run = owned_memory(sizeof *run);

    run->pair = (struct pair){.mib = 1, .words_per_ms = words_per_ms, .before = begin, .during = let_go, .after = look};
    run->per_ms = per_ms;
    run->order = CHUNKS_FIRST;
    return run;
}

/* ---- both converge ------------------------------------------------------------------------------------------------ */

/* Bulk, then what was changed, round after round, and all of it arrives, before RAM and behind it. */
static void test_both(void **state)
{
    for (unsigned i = 0; i < 4; i++) {
        struct run *run = new_run(20, 20);
        const struct gw_stats *st = &run->pair.stats;

        run->order = i % 2 ? CHUNKS_LAST : CHUNKS_FIRST;
        run->pair.peer = i < 2 ? NULL : "10.0";
        run->held = true;
        pair_expect(&run->pair, GW_OWNER_DESTINATION);
        print_message("%u rounds, %u chunks in bulk, %u again, %llu bytes of theirs\n", st->rounds, run->bulk, run->again,
                      (unsigned long long)st->bytes_by[GW_CAUSE_DISK]);
        assert_true(st->rounds + 1 >= ROUNDS);
        assert_int_equal(run->bulk, CHUNKS);
        assert_true(run->again > ROUNDS);
        assert_int_equal(run->stored, run->bulk + run->again);
        assert_int_equal(run->percent, 100);
        /* Statistics: both sections, and each byte is accounted for. */
        assert_int_equal(st->total_bytes, (1 << 20) + 256 * 1024 + CHUNKS * CHUNK_BYTES);
        assert_in_range(st->bytes_by[GW_CAUSE_DISK], run->stored * (5 + CHUNK_BYTES),
                        run->stored * (5 + CHUNK_BYTES) + 3 * strlen(run->order_put) + 64);
        assert_int_equal(st->bytes_by[GW_CAUSE_RAM_PAGE], st->normal_pages * 4096);
        owned_end(run);
    }
}

/* A guest that changes only one of them faster than fits the downtime limit is not stopped: pending bytes of both
 * count. */
static void test_decision(void **state)
{
    for (unsigned i = 0; i < 4; i++) {
        struct run *run = new_run(i % 2 ? 20 : 0, i % 2 ? 0 : 20);

        run->order = i < 2 ? CHUNKS_FIRST : CHUNKS_LAST;
        run->held = true;
        pair_expect(&run->pair, GW_OWNER_DESTINATION);
        print_message("only %s: %u rounds\n", i % 2 ? "RAM" : "chunks", run->pair.stats.rounds);
        assert_true(run->pair.stats.rounds + 1 >= ROUNDS);
        owned_end(run);
    }
}

/* ---- order -------------------------------------------------------------------------------------------------------- */

/* The text is START of both, PARTs of both any number of times, END of both, in the order given. */
static void in_order(const char *text, char first, char second)
{
    const char *const kinds = "SPE";
    unsigned kind = 0, parts = 0;

    for (const char *t = text; *t; t += 6) {
        char want[8];

        while (kind < 2 && *t != kinds[kind])
            kind++;
        snprintf(want, sizeof want, "%c%c %c%c ", kinds[kind], first, kinds[kind], second);
        if (strncmp(t, want, 6))
            fail_msg("not in order %c, %c: %s", first, second, text);
        parts += kind == 1;
    }
    assert_true(parts > 1);
    assert_int_equal(kind, 2);
}

static void test_order(void **state)
{
    static const int orders[] = {CHUNKS_FIRST, CHUNKS_LAST};

    for (unsigned i = 0; i < 2; i++) {
        struct run *run = new_run(20, 20);

        run->order = orders[i];
        /* The destination accepts any order, whatever its own is. */
        run->order_there = orders[!i];
        run->held = true;
        pair_expect(&run->pair, GW_OWNER_DESTINATION);
        assert_string_equal(run->order_put, run->order_got);
        in_order(run->order_put, i ? 'r' : 'c', i ? 'c' : 'r');
        owned_end(run);
    }
}

/* ---- what is missing, what fails ---------------------------------------------------------------------------------- */

static void must_say(const char *text, const char *what)
{
    if (!strstr(text, what))
        fail_msg("\"%s\" is not in: %s", what, text);
}

static void test_one_has_none(void **state)
{
    struct run *run = new_run(20, 5);

    run->only_there = true;
    pair_expect(&run->pair, GW_OWNER_SOURCE);
    must_say(run->pair.recv_error.text, "it had no section chunks");
    owned_end(run);

    run = new_run(20, 5);
    run->only_here = true;
    pair_expect(&run->pair, GW_OWNER_SOURCE);
    must_say(run->pair.recv_error.text, "section chunks/0");
    must_say(run->pair.recv_error.text, "no such live state");
    owned_end(run);
}

static void test_loader_fails(void **state)
{
    static const unsigned at[] = {1, CHUNKS / 2, CHUNKS};

    for (unsigned i = 0; i < 3; i++) {
        struct run *run = new_run(20, 5);

        run->refuse = at[i];
        pair_expect(&run->pair, GW_OWNER_SOURCE);
        must_say(run->pair.recv_error.text, "cannot be stored");
        must_say(run->pair.recv_error.text, "section chunks (");
        assert_int_equal(run->pair.recv_error.blame, GW_BLAME_EMBEDDER);
        assert_int_equal(run->pair.recv_error.code, -EROFS);
        /* The source learns that the destination refused it. */
        assert_int_equal(run->pair.send_error.blame, GW_BLAME_PEER);
        must_say(run->pair.send_error.text, "the destination could not load the machine: ");
        must_say(run->pair.send_error.text, "cannot be stored");
        owned_end(run);
    }
}

static void test_source_fails(void **state)
{
    struct run *run = new_run(20, 5);

    run->unread = 40;
    pair_expect(&run->pair, GW_OWNER_SOURCE);
    must_say(run->pair.send_error.text, "chunk 39 cannot be read");
    assert_int_equal(run->pair.send_error.code, -EIO);
    owned_end(run);
}

/* A connection that breaks at any byte. */
static void test_faults(void **state)
{
    static const enum gw_fault_kind kinds[] = {GW_FAULT_END, GW_FAULT_RESET};
    unsigned stayed = 0;

    for (unsigned k = 0; k < 2; k++)
        for (uint64_t at = 1; at < 2600000; at += at < 400 ? 31 : 90001) {
            struct run *run = new_run(20, 5);

            run->fault = (struct gw_fault){.kind = kinds[k], .direction = GW_FAULT_OUT, .at_byte = at};
            run->order = at % 2 ? CHUNKS_FIRST : CHUNKS_LAST;
            pair_run(&run->pair);
            stayed += run->pair.source_says == GW_OWNER_SOURCE;
            owned_end(run);
        }
    assert_true(stayed > 10);
}

/* ---- END is missing ----------------------------------------------------------------------------------------------- */

/* Where the section's END begins, and the element behind it. On the session's thread. */
struct place {
    unsigned long long end, next;
};

static void find_end(void *opaque, const struct gw_trace_record *r)
{
    struct place *at = opaque;
    unsigned long long byte;
    char kind[16], name[16];

    if (sscanf(r->text, "byte %llu: %15s %15s", &byte, kind, name) != 3)
        return;
    if (!strcmp(kind, "END") && !strcmp(name, "chunks"))
        at->end = byte;
    else if (at->end && !at->next)
        at->next = byte;
}

struct folder {
    char path[64], file[80], uri[96];
};

static void remove_folder(void *what)
{
    struct folder *f = what;

    unlink(f->file);
    rmdir(f->path);
    free(f);
}

static struct folder *new_folder(void)
{
    struct folder *f = owned(calloc(1, sizeof *f), remove_folder);

    snprintf(f->path, sizeof f->path, "/tmp/godwit-live.XXXXXX");
    assert_non_null(mkdtemp(f->path));
    snprintf(f->file, sizeof f->file, "%s/stream", f->path);
    snprintf(f->uri, sizeof f->uri, "file:%s", f->file);
    return f;
}

static int load_file(struct sim *to, const char *uri, struct gw_error *err)
{
    struct gw_recv *recv = NULL;
    int r = gw_recv_start(to->vm, &(struct gw_recv_config){.uri = uri}, &recv, err);

    assert_int_equal(r, 0);
    owned_recv(recv);
    r = gw_recv_wait(recv, err);
    owned_end(recv);
    return r;
}

/* The file without the bytes [from, to). */
static void cut_out(const char *path, unsigned long long from, unsigned long long to)
{
    FILE *f = fopen(path, "r+b");
    uint8_t *data = owned(malloc(16 << 20), free);
    size_t n;

    assert_non_null(f);
    n = fread(data, 1, 16 << 20, f);
    assert_true(to > from && to < n && n < 16 << 20);
    rewind(f);
    assert_int_equal(fwrite(data, 1, from, f), from);
    assert_int_equal(fwrite(data + to, 1, n - to, f), n - to);
    assert_int_equal(ftruncate(fileno(f), (off_t)(n - (to - from))), 0);
    fclose(f);
    owned_end(data);
}

static void test_end_missing(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        int order = i ? CHUNKS_LAST : CHUNKS_FIRST;
        struct place *at = owned_memory(sizeof *at);
        struct folder *folder = new_folder();
        struct sim *from = sim_new(7, 1, NULL), *whole = sim_new(0, 1, NULL), *to = sim_new(0, 1, NULL);
        struct gw_error err = GW_ERROR_INIT;
        struct gw_send *send = NULL;

        from->words_per_ms = 20;
        atomic_store(&chunks_new(from, 11, order)->per_ms, 5);
        chunks_new(whole, 0, order);
        chunks_new(to, 0, order);
        sim_start(from);
        assert_int_equal(gw_vm_set_trace(whole->vm, "element_get", find_end, at, NULL), 0);
        assert_int_equal(gw_send_start(from->vm, &(struct gw_send_config){.uri = folder->uri, .peer = "10.0"}, &send, &err),
                         0);
        owned_send(send);
        assert_int_equal(gw_send_wait(send, &err), 0);
        owned_end(send);
        /* The whole file is good. */
        assert_int_equal(load_file(whole, folder->uri, &err), 0);
        sim_stop(whole);
        assert_int_equal(sim_check(whole), 0);
        assert_true(at->end && at->next > at->end);
        cut_out(folder->file, at->end, at->next);
        assert_int_equal(load_file(to, folder->uri, &err), -EPROTO);
        must_say(err.text, "its section chunks does not end");
        must_say(err.text, "the stream ends at byte");
        assert_false(sim_runs(to));
        owned_end(from);
        owned_end(whole);
        owned_end(to);
        owned_end(folder);
        owned_end(at);
    }
}

/* ---- cancelled, and once more ------------------------------------------------------------------------------------- */

/* The number of bytes after which it is cancelled; 0: never. */
static void migrate(struct sim *from, struct sim *to, uint64_t cancel_bytes)
{
    struct gw_channel *a = NULL, *b = NULL;
    struct gw_error err = GW_ERROR_INIT;
    struct gw_send *send = NULL;
    struct gw_recv *recv = NULL;
    struct gw_stats st = {0};

    sim_option(from, "max-bandwidth", cancel_bytes ? "2M" : "0");
    sim_option(from, "downtime-limit", cancel_bytes ? "0" : "2000");
    assert_int_equal(gw_channel_memory_pair(65536, &a, &b, &err), 0);
    assert_int_equal(gw_recv_start(to->vm, &(struct gw_recv_config){.take_channel = b}, &recv, &err), 0);
    owned_recv(recv);
    assert_int_equal(gw_send_start(from->vm, &(struct gw_send_config){.take_channel = a}, &send, &err), 0);
    owned_send(send);
    while (cancel_bytes && st.transferred_bytes < cancel_bytes && !sim_over(st.status)) {
        gw_send_stats(send, &st);
        usleep(500);
    }
    if (cancel_bytes)
        assert_int_equal(gw_send_cancel(send, &err), 0);
    assert_int_equal(gw_send_wait(send, &err), cancel_bytes ? -ECANCELED : 0);
    assert_true(gw_recv_wait(recv, &err) < 0 || !cancel_bytes);
    owned_end(send);
    owned_end(recv);
}

static void test_cancelled(void **state)
{
    struct sim *from = sim_new(7, 1, NULL), *to = NULL;
    struct chunks *c = chunks_new(from, 11, CHUNKS_FIRST);

    from->words_per_ms = 20;
    atomic_store(&c->per_ms, 5);
    sim_start(from);
    /* In the first pass over the table, at its end, and later. */
    for (unsigned i = 1; i <= 3; i++) {
        to = sim_new(0, 1, NULL);
        chunks_new(to, 0, CHUNKS_FIRST);
        migrate(from, to, i * 600000);
        assert_true(sim_runs(from));
        assert_false(sim_runs(to));
        owned_end(to);
        /* The machine is intact and runs on. */
        sim_stop(from);
        assert_int_equal(sim_check(from), 0);
        sim_start(from);
        sim_await_writes(from, 200);
    }
    to = sim_new(0, 1, NULL);
    chunks_new(to, 0, CHUNKS_FIRST);
    migrate(from, to, 0);
    assert_int_equal(atomic_load(&c->bulk), CHUNKS); /* from the beginning */
    assert_false(sim_runs(from));
    assert_true(sim_runs(to));
    sim_stop(to);
    assert_int_equal(sim_check(to), 0);
    assert_true(((struct chunks *)to->part)->changes > 500);
    owned_end(from);
    owned_end(to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        owned_test(test_both),         owned_test(test_decision), owned_test(test_order),     owned_test(test_one_has_none),
        owned_test(test_loader_fails), owned_test(test_source_fails), owned_test(test_faults), owned_test(test_end_missing),
        owned_test(test_cancelled),
    };

    return cmocka_run_group_tests_name("live", tests, NULL, NULL);
}
