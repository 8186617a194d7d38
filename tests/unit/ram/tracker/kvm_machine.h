/* SPDX-License-Identifier: MIT
 *
 * kvm_machine: a machine in KVM with three blocks in three slots, whose guest writes what it is told, and a tracker of either kind.
 */
#ifndef KVM_MACHINE_H
#define KVM_MACHINE_H

#include "kvm_guest.h"

#include <signal.h>
#include <sys/wait.h>

#include "ram/tracker/kvm_log.h"
#include "ram/tracker/kvm_ring.h"

/* Much larger than what the guest of these tests dirties between two harvests. */
#define RING_BYTES (1u << 20)

enum kind { MANUAL, AUTOMATIC, RING };

/* Block 0 is in slot 1; block 1 and the first pages of block 2 are in slot 2, with block 1 not beginning on a multiple
 * of 64 pages of it; the middle of block 2 is in slot 3; the last pages of block 2 are in none. */
#define PAGES0 70u
#define PAGES1 4100u
#define PAGES2 6000u
#define LEAD   5u    /* of slot 2, in no block */
#define SPLIT  1013u /* pages of block 2 in slot 2 */
#define TAIL   20u

struct machine {
    struct kvm_guest guest;
    struct model model;
    uint8_t *mem0, *mem1;
    const char *refused;
    struct gw_tracker_config config;
};

static inline void host_or_guest_write(struct model *m, unsigned block, uint64_t page, unsigned word, uint64_t value)
{
    struct kvm_guest *g = m->opaque;
    uint8_t *at = m->mem[block] + page * PAGE + word * 8;
    uint64_t gpa = kvm_guest_gpa(g, at);

    if (!gpa || value % 16 == 0) { /* a device's write */
        __atomic_store_n((uint64_t *)at, value, __ATOMIC_RELAXED);
        gw_tracker_mark(m->tracker, m->ram.blocks[block], page, 1);
        return;
    }
    g->mailbox[0] = 1;
    g->mailbox[1] = 0;
    g->mailbox[2] = gpa;
    g->mailbox[3] = value;
    kvm_guest_run(g);
}

static inline bool machine_open(struct machine *v, enum kind kind, uint32_t ring_bytes)
{
    struct kvm_guest *g = &v->guest;
    uint64_t bytes1 = (LEAD + PAGES1 + PAGES2) * (uint64_t)PAGE;

    memset(v, 0, sizeof *v);
    v->refused = kvm_guest_open(g, kind == RING ? ring_bytes : 0);
    if (v->refused) {
        kvm_guest_close(g);
        return false;
    }
    v->mem0 = mmap(NULL, PAGES0 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    v->mem1 = mmap(NULL, bytes1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    model_init(&v->model, 99 + kind);
    model_add(&v->model, v->mem0, PAGES0, 0);
    model_add(&v->model, v->mem1 + LEAD * PAGE, PAGES1, 0);
    model_add(&v->model, v->mem1 + (LEAD + PAGES1) * PAGE, PAGES2, 0);
    kvm_guest_slot(g, 0x40000000, v->mem0, PAGES0 * PAGE);
    kvm_guest_slot(g, 0x50000000, v->mem1, (LEAD + PAGES1 + SPLIT) * PAGE);
    kvm_guest_slot(g, 0x80000000, v->mem1 + (LEAD + PAGES1 + SPLIT) * PAGE, (PAGES2 - SPLIT - TAIL) * (uint64_t)PAGE);
    kvm_guest_boot(g);
    g->model = &v->model;
    v->model.opaque = g;
    v->model.write = host_or_guest_write;
    v->config = (struct gw_tracker_config){
        .kind = kind == RING ? GW_TRACKER_KVM_RING : GW_TRACKER_KVM_LOG,
        .kvm_vm_fd = g->vm,
        .slots = g->slots,
        .slot_count = g->slot_count,
        .vcpu_fds = &g->vcpu,
        .vcpu_count = 1,
        .ring_bytes = ring_bytes,
    };
    if (kind == RING)
        must(gw_tracker_new(&v->model.ram, &v->config, &v->model.tracker, err));
    else
        must(gw_tracker_kvm_log_new_mode(&v->model.ram, &v->config, kind == MANUAL, &v->model.tracker, err));
    return true;
}

static inline void machine_close(struct machine *v)
{
    model_close(&v->model);
    kvm_guest_close(&v->guest);
    munmap(v->mem0, PAGES0 * PAGE);
    munmap(v->mem1, (LEAD + PAGES1 + PAGES2) * (uint64_t)PAGE);
}

#define OPEN(v, kind, ring_bytes)                                                                                      \
    do {                                                                                                               \
        if (!machine_open(v, kind, ring_bytes)) {                                                                      \
            print_message("SKIP: %s\n", (v)->refused);                                                                 \
            skip();                                                                                                    \
        }                                                                                                              \
    } while (0)

static inline void *free_run(void *arg)
{
    kvm_guest_run_on(arg);
    return NULL;
}

/* The guest that runs on a thread of its own now; the teardown ends it after a failed assertion. */
static struct {
    struct kvm_guest *guest;
    pthread_t thread;
} runs_free;

static inline int stop_free_run(void **state)
{
    if (runs_free.guest) {
        __atomic_store_n(&runs_free.guest->mailbox[1], 0, __ATOMIC_SEQ_CST);
        pthread_join(runs_free.thread, NULL);
    }
    runs_free.guest = NULL;
    return 0;
}

/* The guest writes without ever leaving, until it is told to stop. */
static inline void free_running(struct machine *v, unsigned sessions, unsigned rounds)
{
    struct model *m = &v->model;
    struct kvm_guest *g = &v->guest;

    for (unsigned s = 0; s < sessions; s++) {
        unsigned n = 0;

        while (n < 500) {
            uint64_t r = model_random(&m->random);
            unsigned block = (unsigned)(r % 3);
            uint64_t gpa = kvm_guest_gpa(g, m->mem[block] + (r >> 8) % m->pages[block] * PAGE);

            if (!gpa)
                continue;
            g->mailbox[2 + 2 * n] = gpa + (r >> 40) % 512 * 8;
            g->mailbox[3 + 2 * n++] = r;
        }
        g->mailbox[0] = n;
        __atomic_store_n(&g->mailbox[1], 1, __ATOMIC_SEQ_CST);
        must(gw_tracker_start(m->tracker, NULL, err));
        assert_int_equal(pthread_create(&runs_free.thread, NULL, free_run, g), 0);
        runs_free.guest = g;
        for (unsigned i = 0; i < rounds; i++) {
            model_sync(m);
            model_send(m, i ? model_random(&m->random) % 3000 : UINT64_MAX, false);
        }
        stop_free_run(NULL);
        kvm_guest_is_well(g);
        model_finish(m);
        gw_tracker_stop(m->tracker);
    }
}

static inline void all_of(enum kind kind)
{
    static struct machine v; /* for a thread of its guest: see stop_free_run() */

    OPEN(&v, kind, RING_BYTES);
    model_rounds(&v.model, MODEL_ROUNDS(600), 12, 25);
    free_running(&v, 12, 8);
    machine_close(&v);
}

static inline void write_pages(struct machine *v, unsigned first, unsigned pages)
{
    struct kvm_guest *g = &v->guest;

    g->mailbox[0] = pages;
    g->mailbox[1] = 0;
    for (unsigned i = 0; i < pages; i++) {
        g->mailbox[2 + 2 * i] = kvm_guest_gpa(g, v->model.mem[2] + (first + i) % (PAGES2 - TAIL) * PAGE);
        g->mailbox[3 + 2 * i] = first;
    }
    kvm_guest_run(g);
}

/* Exactly the page that was written, and only once. */
static inline void exact(enum kind first, enum kind last)
{
    for (enum kind kind = first; kind <= last; kind++) {
        struct gw_ram_block *b;
        struct machine v;
        uint64_t found;

        OPEN(&v, kind, RING_BYTES);
        must(gw_tracker_start(v.model.tracker, NULL, err));
        model_sync(&v.model);
        for (unsigned i = 0; i < 3; i++)
            must(gw_tracker_drop(v.model.tracker, v.model.ram.blocks[i], 0, v.model.pages[i], &found, err));
        model_sync(&v.model);
        for (unsigned i = 0; i < 3; i++)
            must(gw_tracker_drop(v.model.tracker, v.model.ram.blocks[i], 0, v.model.pages[i], &found, err));
        assert_int_equal(model_sync(&v.model), 0);
        b = v.model.ram.blocks[2];
        host_or_guest_write(&v.model, 2, SPLIT - 1, 3, 1);
        host_or_guest_write(&v.model, 2, SPLIT, 3, 1);
        host_or_guest_write(&v.model, 2, PAGES2 - TAIL, 3, 1); /* in no slot: marked */
        assert_int_equal(model_sync(&v.model), 3);
        assert_true(gw_bitmap_test(b->dirty, SPLIT - 1));
        assert_true(gw_bitmap_test(b->dirty, SPLIT));
        assert_true(gw_bitmap_test(b->dirty, PAGES2 - TAIL));
        assert_int_equal(model_sync(&v.model), 0);
        machine_close(&v);
    }
}

/* The tests, where there is a KVM; else 77. */
#define KVM_TESTS(tests)                                                                                               \
    do {                                                                                                               \
        struct kvm_guest g;                                                                                            \
        const char *refused = kvm_guest_open(&g, 0);                                                                   \
                                                                                                                       \
        kvm_guest_close(&g);                                                                                           \
        if (refused) {                                                                                                 \
            printf("SKIP: %s\n", refused);                                                                             \
            return 77;                                                                                                 \
        }                                                                                                              \
        return cmocka_run_group_tests(tests, NULL, NULL);                                                              \
    } while (0)

#endif
