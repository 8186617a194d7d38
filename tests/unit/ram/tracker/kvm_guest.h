/* SPDX-License-Identifier: MIT
 *
 * kvm_guest: the smallest guest that writes where it is told: one vCPU in 64-bit mode, all of memory mapped one to one.
 *
 * Its mailbox: u64 count, u64 go_on, then count pairs of (guest-physical address, value). It writes (value + a counter)
 * to each address; then, if go_on, again; else it leaves with an OUT and waits for the next run.
 */
#ifndef TEST_KVM_GUEST_H
#define TEST_KVM_GUEST_H

#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "model.h"

#define MAILBOX     0x10000u
#define MAILBOX_MAX 4096u
#define LOW_BYTES   0x40000u
#define GUEST_SLOTS 4

__asm__(".pushsection .rodata\n"
        "kvm_guest_code:\n"
        "1: mov (%rdi), %rcx\n"
        "   lea 16(%rdi), %rsi\n"
        "2: test %rcx, %rcx\n"
        "   jz 3f\n"
        "   mov (%rsi), %rax\n"
        "   mov 8(%rsi), %rdx\n"
        "   add %r8, %rdx\n"
        "   mov %rdx, (%rax)\n"
        "   add $16, %rsi\n"
        "   dec %rcx\n"
        "   jmp 2b\n"
        "3: inc %r8\n"
        "   cmpq $0, 8(%rdi)\n"
        "   jnz 1b\n"
        "   out %al, $0x10\n"
        "   jmp 1b\n"
        "kvm_guest_end:\n"
        ".popsection\n");
extern const uint8_t kvm_guest_code[], kvm_guest_end[];

struct kvm_guest {
    char trouble[300];
    int kvm, vm, vcpu;
    struct kvm_run *run;
    size_t run_bytes;
    uint8_t *low;
    uint64_t *mailbox;
    struct gw_kvm_slot slots[GUEST_SLOTS];
    unsigned slot_count;
    struct model *model;
    uint64_t full; /* exits for a full ring */
};

/* ring_bytes 0: no ring. Returns NULL, or why not. */
static const char *kvm_guest_open(struct kvm_guest *g, uint32_t ring_bytes)
{
    struct kvm_userspace_memory_region low = {.memory_size = LOW_BYTES};

    memset(g, 0, sizeof *g);
    g->vm = g->vcpu = -1;
    g->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (g->kvm < 0)
        return "no /dev/kvm";
    g->vm = ioctl(g->kvm, KVM_CREATE_VM, 0);
    if (g->vm < 0)
        return "KVM_CREATE_VM is refused";
    if (ring_bytes) {
        struct kvm_enable_cap cap = {.cap = KVM_CAP_DIRTY_LOG_RING, .args = {ring_bytes}};

        if (ioctl(g->vm, KVM_ENABLE_CAP, &cap) < 0)
            return "KVM has no dirty ring";
    }
    g->low = mmap(NULL, LOW_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    low.userspace_addr = (uintptr_t)g->low;
    assert_int_equal(ioctl(g->vm, KVM_SET_USER_MEMORY_REGION, &low), 0);
    g->mailbox = (uint64_t *)(g->low + MAILBOX);
    return NULL;
}

static void kvm_guest_slot(struct kvm_guest *g, uint64_t gpa, void *host, uint64_t bytes)
{
    struct kvm_userspace_memory_region r = {
        .slot = g->slot_count + 1, .guest_phys_addr = gpa, .memory_size = bytes, .userspace_addr = (uintptr_t)host};

    assert_int_equal(ioctl(g->vm, KVM_SET_USER_MEMORY_REGION, &r), 0);
    g->slots[g->slot_count++] = (struct gw_kvm_slot){.slot = r.slot, .gpa = gpa, .bytes = bytes, .host = host};
}

static void kvm_guest_boot(struct kvm_guest *g)
{
    struct kvm_segment code = {.limit = ~0u, .selector = 8, .present = 1, .type = 11, .s = 1, .l = 1, .g = 1};
    struct kvm_segment data = {.limit = ~0u, .selector = 16, .present = 1, .type = 3, .s = 1, .db = 1, .g = 1};
    struct kvm_regs regs = {.rip = 0x8000, .rdi = MAILBOX, .rflags = 2};
    struct kvm_sregs s;
    uint64_t *table = (uint64_t *)(g->low + 0x1000);

    table[0] = 0x2003;
    for (uint64_t i = 0; i < 4; i++) {
        table[512 + i] = (0x3000 + i * 0x1000) | 3;
        for (uint64_t j = 0; j < 512; j++)
            table[1024 + i * 512 + j] = i << 30 | j << 21 | 0x83;
    }
    memcpy(g->low + 0x8000, kvm_guest_code, (size_t)(kvm_guest_end - kvm_guest_code));
    g->vcpu = ioctl(g->vm, KVM_CREATE_VCPU, 0);
    assert_true(g->vcpu >= 0);
    g->run_bytes = (size_t)ioctl(g->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    g->run = mmap(NULL, g->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, g->vcpu, 0);
    assert_ptr_not_equal(g->run, MAP_FAILED);
    assert_int_equal(ioctl(g->vcpu, KVM_GET_SREGS, &s), 0);
    s.cs = code;
    s.ds = s.es = s.fs = s.gs = s.ss = data;
    s.cr3 = 0x1000;
    s.cr4 = 0x20;
    s.cr0 = 0x80050033;
    s.efer = 0x500;
    assert_int_equal(ioctl(g->vcpu, KVM_SET_SREGS, &s), 0);
    assert_int_equal(ioctl(g->vcpu, KVM_SET_REGS, &regs), 0);
}

static void kvm_guest_close(struct kvm_guest *g)
{
    if (g->run)
        munmap(g->run, g->run_bytes);
    if (g->vcpu >= 0)
        close(g->vcpu);
    if (g->vm >= 0)
        close(g->vm);
    if (g->kvm >= 0)
        close(g->kvm);
    if (g->low)
        munmap(g->low, LOW_BYTES);
}

/* Runs until the guest's OUT. Any thread: what went wrong is in g->trouble, for the test's own to fail. */
static inline void kvm_guest_run_on(struct kvm_guest *g)
{
    struct gw_error err = GW_ERROR_INIT;

    for (;;) {
        if (ioctl(g->vcpu, KVM_RUN, 0) < 0) {
            if (errno == EINTR || errno == EAGAIN)
                continue;
            snprintf(g->trouble, sizeof g->trouble, "KVM_RUN: %s", strerror(errno));
            return;
        }
        if (g->run->exit_reason == KVM_EXIT_IO)
            return;
        if (g->run->exit_reason != KVM_EXIT_DIRTY_RING_FULL) {
            snprintf(g->trouble, sizeof g->trouble, "KVM exit %u (%u)", g->run->exit_reason, g->run->internal.suberror);
            return;
        }
        g->full++;
        if (gw_tracker_ring_full(g->model->tracker, &err) < 0) {
            gw_strcopy(g->trouble, sizeof g->trouble, err.text);
            return;
        }
    }
}

static inline void kvm_guest_is_well(const struct kvm_guest *g)
{
    if (g->trouble[0])
        fail_msg("%s", g->trouble);
}

/* The same on the test's own thread. */
static inline void kvm_guest_run(struct kvm_guest *g)
{
    kvm_guest_run_on(g);
    kvm_guest_is_well(g);
}

/* Where the guest sees a page; 0 for what is in no slot. */
static inline uint64_t kvm_guest_gpa(const struct kvm_guest *g, const void *host)
{
    for (unsigned i = 0; i < g->slot_count; i++)
        if ((uintptr_t)host - (uintptr_t)g->slots[i].host < g->slots[i].bytes)
            return g->slots[i].gpa + ((uintptr_t)host - (uintptr_t)g->slots[i].host);
    return 0;
}

#endif
