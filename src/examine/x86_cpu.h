/* SPDX-License-Identifier: MIT
 *
 * x86_cpu: reads the registers of a QEMU processor from its device section "cpu".
 */
#ifndef GW_IMAGE_X86_CPU_H
#define GW_IMAGE_X86_CPU_H

#include "examine/devices.h"
#include "state/text.h"

enum gw_x86_reg { GW_RAX, GW_RCX, GW_RDX, GW_RBX, GW_RSP, GW_RBP, GW_RSI, GW_RDI }; /* r8 to r15 are numbers */
enum gw_x86_seg { GW_ES, GW_CS, GW_SS, GW_DS, GW_FS, GW_GS, GW_LDT, GW_TR, GW_GDT, GW_IDT, GW_X86_SEGS };

struct gw_x86_cpu {
    uint64_t regs[16], rip, rflags, cr[5], efer, kernel_gs_base;
    struct {
        uint64_t base;
        uint32_t selector, limit, flags;
    } segs[GW_X86_SEGS];
    uint16_t fpu_control, fpu_status, fpu_tags; /* tags: a bit for each register that is in use */
    uint32_t mxcsr;
    uint8_t st[8][10]; /* as in memory: little endian, first the mantissa */
    uint64_t xmm[16][2];
};

/* 1: it is a processor; 0: another device. -EPROTO. */
int gw_x86_cpu_read(const struct gw_image_device *device, struct gw_x86_cpu *ret, struct gw_error *err);
/* Appends the ELF notes NT_PRSTATUS, NT_FPREGSET and QEMU's own (docs/formats/core.md). thread: 1, 2, ... */
void gw_x86_cpu_notes(const struct gw_x86_cpu *cpu, uint32_t thread, struct gw_text *notes);
/* A note of an ELF file. */
void gw_elf_note(struct gw_text *notes, const char *name, uint32_t type, const void *data, size_t bytes);

#endif
