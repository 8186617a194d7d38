/* SPDX-License-Identifier: MIT */
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

static void host_or_guest_write(struct model *m, unsigned block, uint64_t page, unsigned word, uint64_t value)
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

static bool machine_open(struct machine *v, enum kind kind, uint32_t ring_bytes)
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

static void machine_close(struct machine *v)
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

static void *free_run(void *arg)
{
    kvm_guest_run_on(arg);
    return NULL;
}

/* The guest that runs on a thread of its own now; the teardown ends it after a failed assertion. */
static struct {
    struct kvm_guest *guest;
    pthread_t thread;
} runs_free;

static int stop_free_run(void **state)
{
    if (runs_free.guest) {
        __atomic_store_n(&runs_free.guest->mailbox[1], 0, __ATOMIC_SEQ_CST);
        pthread_join(runs_free.thread, NULL);
    }
    runs_free.guest = NULL;
    return 0;
}

/* The guest writes without ever leaving, until it is told to stop. */
static void free_running(struct machine *v, unsigned sessions, unsigned rounds)
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

static void all_of(enum kind kind)
{
    static struct machine v; /* for a thread of its guest: see stop_free_run() */

    OPEN(&v, kind, RING_BYTES);
    model_rounds(&v.model, MODEL_ROUNDS(600), 12, 25);
    free_running(&v, 12, 8);
    machine_close(&v);
}

static void test_log_manual(void **state)
{
    all_of(MANUAL);
}

static void test_log_automatic(void **state)
{
    all_of(AUTOMATIC);
}

static void test_ring(void **state)
{
    all_of(RING);
}

/* Exactly the page that was written, and only once. */
static void test_exact(void **state)
{
    for (enum kind kind = MANUAL; kind <= RING; kind++) {
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

static void write_pages(struct machine *v, unsigned first, unsigned pages)
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
        execl("/proc/self/exe", "test_kvm", "overflow", NULL);
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
    c.kind = GW_TRACKER_KVM_LOG; /* a machine with a ring has no log */
    must(gw_tracker_new(&v.model.ram, &c, &t, err));
    assert_int_equal(gw_tracker_start(t, NULL, &e), -ENXIO);
    assert_non_null(strstr(e.text, "kvm-ring"));
    assert_null(v.model.ram.blocks[0]->dirty);
    t = gw_tracker_free(t);
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
        cmocka_unit_test(test_failed_start),
        cmocka_unit_test_teardown(test_log_manual, stop_free_run),
        cmocka_unit_test_teardown(test_ring, stop_free_run),
        cmocka_unit_test(test_ring_full),
        cmocka_unit_test_teardown(test_log_automatic, stop_free_run),
        cmocka_unit_test(test_ring_overflow),
    };
    const struct CMUnitTest alone[] = {cmocka_unit_test(overflow)};
    struct kvm_guest g;
    const char *refused;

    if (argc > 1)
        return cmocka_run_group_tests(alone, NULL, NULL);
    refused = kvm_guest_open(&g, 0);

    kvm_guest_close(&g);
    if (refused) {
        printf("SKIP: %s\n", refused);
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
