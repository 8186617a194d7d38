/* SPDX-License-Identifier: MIT
 *
 * cpu: the state of a vCPU, the same for all accelerators, so that a machine can migrate between accelerators.
 *
 * The guest runs in 64-bit mode at privilege level 3 with I/O privilege level 3 and an identity map. Every accelerator
 * supports this mode well: for KVM with hardware support it makes no difference, KVM without it (nested, PVM) runs user
 * code natively but emulates all else, and Unicorn runs it without paging. Segments and control registers are therefore
 * constants of the machine: they are saved, and a load refuses other values.
 */
#ifndef GW_MACHINE_CPU_H
#define GW_MACHINE_CPU_H

#include <stdint.h>

#include "godwit/state.h"

/* Set in every state: the reserved bit, and the privilege that lets the guest use ports. */
#define GW_RFLAGS_FIXED 0x2ull
#define GW_RFLAGS_IOPL3 0x3000ull

struct gw_cpu_segment {
    uint64_t base;
    uint32_t limit;
    uint16_t selector;
    uint8_t type, present, dpl, db, s, l, g, avl, unusable;
    uint8_t zero; /* no padding: compared as bytes */
};

enum gw_cpu_segment_index { GW_CPU_CS, GW_CPU_DS, GW_CPU_ES, GW_CPU_FS, GW_CPU_GS, GW_CPU_SS, GW_CPU_SEGMENTS };

struct gw_cpu_state {
    uint64_t gpr[16]; /* rax rcx rdx rbx rsp rbp rsi rdi r8..r15 */
    uint64_t rip, rflags;
    struct gw_cpu_segment segment[GW_CPU_SEGMENTS];
    uint64_t cr0, cr2, cr3, cr4, efer;
    uint16_t fcw, fsw;
    uint8_t ftw;          /* a bit for each register in use */
    uint8_t st[128];      /* 8 times 10 bytes, each in 16 */
    uint8_t xmm[256];
    uint32_t mxcsr;
};

enum { GW_CPU_RAX, GW_CPU_RCX, GW_CPU_RDX, GW_CPU_RBX, GW_CPU_RSP, GW_CPU_RBP, GW_CPU_RSI, GW_CPU_RDI };

/* Flags of the program, with the constant flags restored: not all accelerators keep those (PVM drops IOPL). */
uint64_t gw_cpu_rflags(uint64_t rflags);

/* The start state of the vCPU with this number. */
void gw_cpu_reset(struct gw_cpu_state *cpu, unsigned index);

extern const struct gw_state gw_cpu_description;

#endif
