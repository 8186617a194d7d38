/* SPDX-License-Identifier: MIT
 *
 * Slots and blocks: which holds what, and their logging on and off. No KVM is needed: the program is linked with
 * --wrap=ioctl. With a real one: test_kvm_log.c, test_kvm_ring.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <linux/kvm.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "ram/tracker/kvm_slots.h"

#define FAILING_COUNTDOWN
#include "../../../failing.h"

#define FD   4242
#define HOST (64 * page)

static uint64_t page;
static uint8_t *host;

static struct {
    int is_kvm;
    unsigned calls, fails_at; /* the n-th region fails */
    struct kvm_userspace_memory_region last[8];
    bool logged[8]; /* by slot number */
} kvm;

int __wrap_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
    assert_int_equal(fd, FD);
    if (request == KVM_CHECK_EXTENSION) {
        if (kvm.is_kvm < 0)
            errno = ENOTTY;
        return kvm.is_kvm;
    }
    assert_true(request == KVM_SET_USER_MEMORY_REGION);
    const struct kvm_userspace_memory_region *r = arg;

    if (++kvm.calls == kvm.fails_at) {
        errno = EINVAL;
        return -1;
    }
    kvm.last[kvm.calls % 8] = *r;
    kvm.logged[r->slot] = r->flags & KVM_MEM_LOG_DIRTY_PAGES;
    return 0;
}

static struct gw_ram ram;
static uint64_t map;

static void add(const char *name, uint64_t first, uint64_t pages, unsigned flags)
{
    const struct gw_ram_desc d = {.name = name,
                                  .host = host + first * page,
                                  .gpa = first * page,
                                  .used_bytes = pages * page,
                                  .flags = flags};

    assert_int_equal(gw_ram_add(&ram, &d, NULL), 0);
    ram.blocks[ram.count - 1]->dirty = &map;
}

static struct gw_kvm_slot slot(uint32_t number, uint64_t first, uint64_t pages)
{
    return (struct gw_kvm_slot){.slot = number, .gpa = first * page, .bytes = pages * page, .host = host + first * page};
}

static int up(void **state)
{
    memset(&kvm, 0, sizeof kvm);
    kvm.is_kvm = 1;
    return gw_ram_init(&ram, 4096, NULL, NULL);
}

static int down(void **state)
{
    gw_ram_close(&ram);
    return 0;
}

static void piece(const struct gw_kvm_piece *p, const char *block, unsigned at, uint64_t slot_page, uint64_t slot_pages,
                  uint64_t offset, bool leads)
{
    assert_string_equal(p->block->name, block);
    assert_int_equal(p->slot, at);
    assert_int_equal(p->slot_page, slot_page);
    assert_int_equal(p->slot_pages, slot_pages);
    assert_int_equal(p->offset, offset * page);
    assert_int_equal(p->leads, leads);
}

/* A slot with two blocks and a gap, a block in two slots, a slot without any, blocks that are not logged. */
static void test_pieces(void **state)
{
    const struct gw_kvm_slot slots[] = {slot(5, 0, 16), slot(1, 16, 8), slot(7, 40, 4), slot(2, 50, 10)};
    const struct gw_tracker_config config = {.kvm_vm_fd = FD, .slots = slots, .slot_count = 4};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_kvm_slots s;

    add("a", 2, 4, 0);
    add("b", 10, 10, 0); /* in the first slot and the second */
    add("rom", 50, 2, GW_RAM_READONLY);
    add("left", 52, 2, GW_RAM_NO_MIGRATE);
    add("c", 58, 6, 0); /* reaches behind its slot */
    add("unsent", 54, 1, 0);
    ram.blocks[ram.count - 1]->dirty = NULL;
    add("nowhere", 30, 2, 0);
    assert_int_equal(gw_kvm_slots_open(&s, &ram, &config, &err), 0);
    assert_int_equal(s.piece_count, 4);
    assert_int_equal(1u << s.host_page_bits, page);
    piece(&s.pieces[0], "a", 0, 2, 4, 0, true);
    piece(&s.pieces[1], "b", 0, 10, 6, 0, false);
    piece(&s.pieces[2], "b", 1, 0, 4, 6, true);
    piece(&s.pieces[3], "c", 3, 8, 2, 0, true);
    gw_kvm_slots_close(&s);
    gw_kvm_slots_close(&s);
    assert_int_equal(s.piece_count, 0);
}

/* Target pages that are smaller or larger than the host's. */
static void test_pages(void **state)
{
    const struct gw_kvm_slots s = {.host_page_bits = 12};
    const struct gw_kvm_piece p = {.slot_page = 4, .offset = 0x3000};
    uint64_t first, pages;

    gw_kvm_piece_pages(&s, &p, 4, 1, 12, &first, &pages);
    assert_int_equal(first, 3);
    assert_int_equal(pages, 1);
    gw_kvm_piece_pages(&s, &p, 6, 3, 12, &first, &pages);
    assert_int_equal(first, 5);
    assert_int_equal(pages, 3);
    gw_kvm_piece_pages(&s, &p, 5, 2, 10, &first, &pages);
    assert_int_equal(first, 16);
    assert_int_equal(pages, 8);
    /* One host page in the middle of a target page, and one over the border of two. */
    gw_kvm_piece_pages(&s, &p, 4, 1, 14, &first, &pages);
    assert_int_equal(first, 0);
    assert_int_equal(pages, 1);
    gw_kvm_piece_pages(&s, &p, 4, 2, 14, &first, &pages);
    assert_int_equal(first, 0);
    assert_int_equal(pages, 2);
}

static void test_refused(void **state)
{
    const struct gw_kvm_slot off = slot(3, 30, 4);
    struct gw_kvm_slot odd = slot(9, 0, 16);
    struct gw_tracker_config config = {.kvm_vm_fd = FD, .slots = &off, .slot_count = 1};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_kvm_slots s = {.piece_count = 77};
    struct gw_ram_desc d = {.name = "shifted", .host = host + 64, .gpa = 1 << 30, .used_bytes = 2 * page};

    add("a", 2, 4, 0);
    assert_int_equal(gw_kvm_slots_open(&s, &ram, &config, &err), -EINVAL);
    assert_int_equal(err.blame, GW_BLAME_CALLER);
    assert_string_equal(err.text, "none of the 1 KVM slots holds any RAM block");
    assert_int_equal(s.piece_count, 77);
    assert_int_equal(gw_ram_add(&ram, &d, NULL), 0);
    ram.blocks[1]->dirty = &map;
    config.slots = &odd;
    assert_int_equal(gw_kvm_slots_open(&s, &ram, &config, &err), -EINVAL);
    assert_string_equal(err.text, "RAM block shifted does not begin on a page of KVM slot 9");
    assert_int_equal(s.piece_count, 77);
}

static void test_config(void **state)
{
    struct gw_kvm_slot slots[2] = {slot(0, 0, 4), slot(6, 4, 4)};
    struct gw_tracker_config config = {.kvm_vm_fd = FD, .slots = slots, .slot_count = 2};
    struct gw_error err = GW_ERROR_INIT;
    const struct gw_kvm_slot good = slots[1];
    const struct gw_kvm_slot wrong[] = {
        {.slot = 6, .gpa = good.gpa, .bytes = 0, .host = good.host},
        {.slot = 6, .gpa = good.gpa, .bytes = page + 1, .host = good.host},
        {.slot = 6, .gpa = good.gpa + 1, .bytes = page, .host = good.host},
        {.slot = 6, .gpa = good.gpa, .bytes = page, .host = (uint8_t *)good.host + 1},
        {.slot = 6, .gpa = good.gpa, .bytes = UINT64_MAX - page + 1, .host = good.host},
    };

    assert_int_equal(gw_kvm_config_check(&config, &err), 0);
    for (size_t i = 0; i < GW_ARRAY_LEN(wrong); i++) {
        slots[1] = wrong[i];
        assert_int_equal(gw_kvm_config_check(&config, &err), -EINVAL);
        assert_int_equal(err.blame, GW_BLAME_CALLER);
        assert_non_null(strstr(err.text, "KVM slot 6: "));
        assert_non_null(strstr(err.text, " are not whole pages"));
    }
    slots[1] = good;
    for (kvm.is_kvm = 0; kvm.is_kvm > -2; kvm.is_kvm--) {
        assert_int_equal(gw_kvm_config_check(&config, &err), -EBADF);
        assert_string_equal(err.text, "descriptor 4242 is not a KVM machine");
    }
    config.slot_count = 0;
    assert_int_equal(gw_kvm_config_check(&config, &err), -EINVAL);
    assert_string_equal(err.text, "dirty tracking by KVM needs the memory slots of the machine");
    config = (struct gw_tracker_config){.kvm_vm_fd = FD, .slot_count = 2};
    assert_int_equal(gw_kvm_config_check(&config, &err), -EINVAL);
}

/* On for each slot once, with what the machine had said of it; where one fails, none is left on. */
static void test_log(void **state)
{
    struct gw_kvm_slot slots[] = {slot(5, 0, 16), slot(1, 16, 8), slot(2, 24, 8)};
    const struct gw_tracker_config config = {.kvm_vm_fd = FD, .slots = slots, .slot_count = 3};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_kvm_slots s;

    slots[2].flags = KVM_MEM_READONLY;
    add("a", 2, 4, 0);
    add("b", 8, 4, 0);
    add("c", 14, 16, 0);
    assert_int_equal(gw_kvm_slots_open(&s, &ram, &config, &err), 0);
    assert_int_equal(s.piece_count, 5);
    assert_int_equal(gw_kvm_slots_log(&s, true, &err), 0);
    assert_int_equal(kvm.calls, 3);
    assert_true(kvm.logged[5] && kvm.logged[1] && kvm.logged[2]);
    assert_int_equal(kvm.last[3].flags, KVM_MEM_READONLY | KVM_MEM_LOG_DIRTY_PAGES);
    assert_int_equal(kvm.last[3].guest_phys_addr, 24 * page);
    assert_int_equal(kvm.last[3].memory_size, 8 * page);
    assert_true(kvm.last[3].userspace_addr == (uintptr_t)(host + 24 * page));
    assert_int_equal(gw_kvm_slots_log(&s, false, &err), 0);
    assert_false(kvm.logged[5] || kvm.logged[1] || kvm.logged[2]);
    assert_int_equal(kvm.last[6].flags, KVM_MEM_READONLY);
    for (unsigned n = 1; n <= 3; n++) {
        memset(&kvm, 0, sizeof kvm);
        kvm.fails_at = n;
        assert_int_equal(gw_kvm_slots_log(&s, true, &err), -EINVAL);
        assert_int_equal(err.blame, GW_BLAME_LOCAL);
        assert_non_null(strstr(err.text, "dirty logging of KVM slot "));
        assert_non_null(strstr(err.text, " on: Invalid argument"));
        assert_false(kvm.logged[5] || kvm.logged[1] || kvm.logged[2]);
    }
    /* To turn it off is tried with all of them. */
    memset(&kvm, 0, sizeof kvm);
    kvm.logged[5] = kvm.logged[1] = kvm.logged[2] = true;
    kvm.fails_at = 1;
    gw_kvm_slots_log(&s, false, &err);
    assert_true(kvm.logged[5] && !kvm.logged[1] && !kvm.logged[2]);
    gw_kvm_slots_close(&s);
}

static void test_nomem(void **state)
{
    const struct gw_kvm_slot slots[] = {slot(5, 0, 16), slot(1, 16, 8)};
    const struct gw_tracker_config config = {.kvm_vm_fd = FD, .slots = slots, .slot_count = 2};

    add("a", 2, 20, 0);
    for (unsigned n = 1; n <= 3; n++) {
        struct gw_kvm_slots s = {.piece_count = 77};
        struct gw_error err = GW_ERROR_INIT;
        int r;

        countdown = n;
        r = gw_kvm_slots_open(&s, &ram, &config, &err);
        countdown = 0;
        assert_int_equal(r, n <= 2 ? -ENOMEM : 0);
        if (r == 0) {
            gw_kvm_slots_close(&s);
            continue;
        }
        assert_string_equal(err.text, "out of memory (KVM slots)");
        assert_int_equal(s.piece_count, 77);
    }
}

#define slots_test(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        slots_test(test_pieces), slots_test(test_pages), slots_test(test_refused),
        slots_test(test_config), slots_test(test_log),   slots_test(test_nomem),
    };
    int r;

    page = (uint64_t)sysconf(_SC_PAGESIZE);
    host = mmap(NULL, HOST, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    r = host == MAP_FAILED ? 1 : cmocka_run_group_tests_name("kvm_slots", tests, NULL, NULL);
    munmap(host, HOST);
    return r;
}
