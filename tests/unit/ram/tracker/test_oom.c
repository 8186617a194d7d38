/* SPDX-License-Identifier: MIT
 *
 * Every allocation of a tracker's life fails once: the call says -ENOMEM, nothing stays open, protected or locked, and
 * the next session works. Linked with --wrap for the allocating functions.
 */
#include <dirent.h>

#if defined(__x86_64__)
#include "kvm_guest.h"
#endif
#include "model.h"
#include "ram/page/holes.h"
#include "ram/tracker/rate.h"

#define FAILING_COUNTDOWN
#include "../../../failing.h"

#define PAGES 600000u /* maps large enough for mmap */

void *__real_mmap64(void *at, size_t n, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *at, size_t n, int prot, int flags, int fd, off_t offset);

void *__wrap_mmap64(void *at, size_t n, int prot, int flags, int fd, off_t offset)
{
    if (fails()) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return __real_mmap64(at, n, prot, flags, fd, offset);
}

struct rig {
    struct gw_ram ram;
    uint8_t *host;
    struct gw_tracker_config config;
};

static void rig_open(struct rig *rig)
{
    struct gw_ram_desc d = {.name = "a", .used_bytes = PAGES / 2 * (uint64_t)PAGE};

    memset(rig, 0, sizeof *rig);
    rig->host =
        mmap(NULL, PAGES * (uint64_t)PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(rig->host, MAP_FAILED);
    must(gw_ram_init(&rig->ram, PAGE, NULL, err));
    d.host = rig->host;
    must(gw_ram_add(&rig->ram, &d, err));
    d.name = "b";
    d.host = rig->host + d.used_bytes;
    d.gpa = 1ull << 40;
    must(gw_ram_add(&rig->ram, &d, err));
}

static void rig_close(struct rig *rig)
{
    gw_ram_close(&rig->ram);
    munmap(rig->host, PAGES * (uint64_t)PAGE);
}

static int session(struct rig *rig, struct gw_error *err)
{
    struct gw_tracker *t = NULL;
    uint64_t n;
    int r = gw_tracker_new(&rig->ram, &rig->config, &t, err);

    if (r < 0)
        return r;
    r = gw_tracker_start(t, NULL, err);
    if (r < 0) {
        gw_tracker_free(t);
        return r;
    }
    gw_tracker_mark(t, rig->ram.blocks[1], 5, 10);
    r = gw_tracker_sync(t, &n, err);
    if (r == 0)
        r = gw_tracker_drop(t, rig->ram.blocks[0], 0, PAGES / 2, &n, err);
    gw_tracker_free(t);
    return r;
}

static int rate(struct rig *rig, struct gw_error *err)
{
    struct gw_rate_config c = {.mode = GW_RATE_SAMPLE, .duration_ns = GW_NS_PER_MS, .clock = &gw_clock_real};
    struct gw_rate rate_;

    return gw_rate_measure(&rig->ram, NULL, &c, &rate_, err);
}

static int holes(struct rig *rig, struct gw_error *err)
{
    struct gw_holes *h = NULL;
    int r = gw_holes_new(&rig->ram, &h, err);

    gw_holes_free(h);
    return r;
}

/* Returns how many allocations there are; 0 if it does not work at all. */
static unsigned every_allocation(struct rig *rig, int (*f)(struct rig *rig, struct gw_error *err))
{
    unsigned fds = entries("/proc/self/fd");
    struct gw_error e = GW_ERROR_INIT;

    if (f(rig, &e) < 0) {
        print_message("does not work here: %s\n", e.text);
        return 0;
    }
    for (unsigned n = 1;; n++) {
        bool hit;
        int r;

        e = (struct gw_error)GW_ERROR_INIT;
        countdown = n;
        r = f(rig, &e);
        hit = countdown == 0;
        countdown = 0;
        assert_int_equal(entries("/proc/self/fd"), fds);
        assert_null(rig->ram.blocks[0]->dirty);
        assert_null(rig->ram.blocks[1]->unclean);
        assert_int_equal(rig->ram.dirty_pages, 0);
        assert_int_equal(pthread_mutex_trylock(&rig->ram.lock), 0);
        pthread_mutex_unlock(&rig->ram.lock);
        if (!hit) {
            assert_int_equal(r, 0);
            return n - 1;
        }
        if (r != -ENOMEM)
            fail_msg("allocation %u failed, but the result is %d (%s)", n, r, e.text);
        assert_int_equal(e.code, -ENOMEM);
        assert_int_equal(e.blame, GW_BLAME_LOCAL);
        must(f(rig, err));
    }
}

static void test_process_memory(void **state)
{
    struct rig rig;

    rig_open(&rig);
    rig.config.kind = GW_TRACKER_EXPLICIT;
    assert_true(every_allocation(&rig, session) >= 5);
    rig.config.kind = GW_TRACKER_PAGEMAP;
    print_message("pagemap: %u allocations\n", every_allocation(&rig, session));
    assert_true(every_allocation(&rig, rate) >= 2);
    assert_true(every_allocation(&rig, holes) >= 1);
    rig_close(&rig);
}

#if defined(__x86_64__)
static void test_kvm(void **state)
{
    for (int ring = 0; ring < 2; ring++) {
        struct kvm_guest g;
        const char *refused = kvm_guest_open(&g, ring ? 65536 : 0);
        struct rig rig;

        if (refused) {
            print_message("SKIP: %s\n", refused);
            kvm_guest_close(&g);
            skip();
        }
        rig_open(&rig);
        kvm_guest_slot(&g, 1ull << 32, rig.host, PAGES / 2 * (uint64_t)PAGE);
        kvm_guest_slot(&g, 1ull << 40, rig.host + PAGES / 2 * (uint64_t)PAGE, PAGES / 4 * (uint64_t)PAGE);
        kvm_guest_boot(&g);
        rig.config = (struct gw_tracker_config){.kind = ring ? GW_TRACKER_KVM_RING : GW_TRACKER_KVM_LOG,
                                                .kvm_vm_fd = g.vm,
                                                .slots = g.slots,
                                                .slot_count = g.slot_count,
                                                .vcpu_fds = &g.vcpu,
                                                .vcpu_count = 1,
                                                .ring_bytes = 65536};
        print_message("%s: %u allocations\n", ring ? "kvm-ring" : "kvm-log", every_allocation(&rig, session));
        kvm_guest_close(&g);
        rig_close(&rig);
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_process_memory),
#if defined(__x86_64__)
        cmocka_unit_test(test_kvm),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
