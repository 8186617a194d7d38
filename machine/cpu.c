/* SPDX-License-Identifier: MIT */
#include "machine/cpu.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "machine/abi.h"

/* Carry, parity, adjust, zero, sign, direction, overflow: the flags that the program can change, and the constant
 * ones. */
#define RFLAGS_ALLOWED (0xcd5ull | GW_RFLAGS_FIXED | GW_RFLAGS_IOPL3)

uint64_t gw_cpu_rflags(uint64_t rflags)
{
    return (rflags & RFLAGS_ALLOWED) | GW_RFLAGS_FIXED | GW_RFLAGS_IOPL3;
}

#define CR0_VALUE  0x80000033ull /* PG NE ET MP PE */
#define CR4_VALUE  0x620ull      /* OSXMMEXCPT OSFXSR PAE */
#define EFER_VALUE 0x500ull      /* LMA LME */

void gw_cpu_reset(struct gw_cpu_state *cpu, unsigned index)
{
    memset(cpu, 0, sizeof(*cpu));
    cpu->gpr[GW_CPU_RDI] = index;
    cpu->gpr[GW_CPU_RSP] = GW_GUEST_STACK_GPA + (index + 1) * GW_GUEST_STACK_BYTES;
    cpu->rip = GW_GUEST_TEXT_GPA;
    cpu->rflags = GW_RFLAGS_FIXED | GW_RFLAGS_IOPL3;
    for (unsigned i = 0; i < GW_CPU_SEGMENTS; i++) {
        struct gw_cpu_segment *s = &cpu->segment[i];
        *s = (struct gw_cpu_segment){.limit = 0xffffffff, .selector = 0x33, .type = 3, .present = 1, .dpl = 3, .db = 1,
                                     .s = 1, .g = 1};
        if (i == GW_CPU_CS) {
            s->selector = 0x2b;
            s->type = 11;
            s->db = 0;
            s->l = 1;
        }
    }
    cpu->cr0 = CR0_VALUE;
    cpu->cr3 = GW_GUEST_PML4_GPA;
    cpu->cr4 = CR4_VALUE;
    cpu->efer = EFER_VALUE;
    cpu->fcw = 0x37f;
    cpu->mxcsr = 0x1f80;
}

static int cpu_check(const void *device, uint32_t version, struct gw_error *err)
{
    const struct gw_cpu_state *cpu = device;
    struct gw_cpu_state reset;

    gw_cpu_reset(&reset, 0);
    if (cpu->cr0 != reset.cr0 || cpu->cr3 != reset.cr3 || cpu->cr4 != reset.cr4 || cpu->efer != reset.efer)
        return gw_fail(err, -EINVAL, GW_BLAME_PEER,
                       "control registers cr0 %#" PRIx64 " cr3 %#" PRIx64 " cr4 %#" PRIx64 " efer %#" PRIx64
                       " are not those of this machine",
                       cpu->cr0, cpu->cr3, cpu->cr4, cpu->efer);
    _Static_assert(sizeof(struct gw_cpu_segment) == 24, "no padding");
    if (memcmp(cpu->segment, reset.segment, sizeof(reset.segment)))
        return gw_fail(err, -EINVAL, GW_BLAME_PEER, "segment registers are not those of this machine");
    if (cpu->rflags != gw_cpu_rflags(cpu->rflags))
        return gw_fail(err, -EINVAL, GW_BLAME_PEER, "rflags %#" PRIx64 " have bits that this machine cannot have", cpu->rflags);
    if (cpu->rip >> 47)
        return gw_fail(err, -EINVAL, GW_BLAME_PEER, "rip %#" PRIx64 " is not a user address", cpu->rip);
    if (cpu->mxcsr & ~0xffffu)
        return gw_fail(err, -EINVAL, GW_BLAME_PEER, "mxcsr %#" PRIx32 " has reserved bits", cpu->mxcsr);
    return 0;
}

static const struct gw_field segment_fields[] = {
    GW_FIELD(struct gw_cpu_segment, base),
    GW_FIELD(struct gw_cpu_segment, limit),
    GW_FIELD(struct gw_cpu_segment, selector),
    GW_FIELD(struct gw_cpu_segment, type),
    GW_FIELD(struct gw_cpu_segment, present),
    GW_FIELD(struct gw_cpu_segment, dpl),
    GW_FIELD(struct gw_cpu_segment, db),
    GW_FIELD(struct gw_cpu_segment, s),
    GW_FIELD(struct gw_cpu_segment, l),
    GW_FIELD(struct gw_cpu_segment, g),
    GW_FIELD(struct gw_cpu_segment, avl),
    GW_FIELD(struct gw_cpu_segment, unusable),
    GW_END
};

static const struct gw_state segment_description = {
    .name = "cpu-segment", .version = 1, .oldest = 1, .size = sizeof(struct gw_cpu_segment), .fields = segment_fields,
};

static const struct gw_field cpu_fields[] = {
    GW_ARRAY(struct gw_cpu_state, gpr),
    GW_FIELD(struct gw_cpu_state, rip),
    GW_FIELD(struct gw_cpu_state, rflags),
    GW_STRUCT_ARRAY(struct gw_cpu_state, segment, &segment_description),
    GW_FIELD(struct gw_cpu_state, cr0),
    GW_FIELD(struct gw_cpu_state, cr2),
    GW_FIELD(struct gw_cpu_state, cr3),
    GW_FIELD(struct gw_cpu_state, cr4),
    GW_FIELD(struct gw_cpu_state, efer),
    GW_FIELD(struct gw_cpu_state, fcw),
    GW_FIELD(struct gw_cpu_state, fsw),
    GW_FIELD(struct gw_cpu_state, ftw),
    GW_BYTES(struct gw_cpu_state, st),
    GW_BYTES(struct gw_cpu_state, xmm),
    GW_FIELD(struct gw_cpu_state, mxcsr),
    GW_END
};

const struct gw_state gw_cpu_description = {
    .name = "cpu", .version = 1, .oldest = 1, .size = sizeof(struct gw_cpu_state), .fields = cpu_fields, .check = cpu_check,
};
