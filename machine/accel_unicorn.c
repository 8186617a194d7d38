/* SPDX-License-Identifier: MIT
 *
 * Unicorn: one engine for each vCPU, all over the same host memory, without paging (the guest's map is the identity).
 *
 * Exact stops need care. uc_emu_stop from another thread, or from a port hook, takes effect at the start of some later
 * block, and where blocks are chained Unicorn 2.0.1 then does not set rip: the block would be lost or run twice. An
 * exact stop is only possible before an instruction, from that instruction's hook. A hook on every instruction is slow,
 * so only one instruction has a hook, which the guest executes often: GW_GUEST_YIELD_GPA.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <unicorn/unicorn.h>

#include "machine/internal.h"

struct engine {
    uc_engine *uc;
    struct gw_vcpu *vcpu;
    _Atomic bool running;
    /* Explicit tracking: the page being written at the last hook. It is marked once the write is certainly done. */
    uint64_t written_gpa;
    uint32_t written_bytes;
};

static const int gpr_id[16] = {UC_X86_REG_RAX, UC_X86_REG_RCX, UC_X86_REG_RDX, UC_X86_REG_RBX,
                               UC_X86_REG_RSP, UC_X86_REG_RBP, UC_X86_REG_RSI, UC_X86_REG_RDI,
                               UC_X86_REG_R8,  UC_X86_REG_R9,  UC_X86_REG_R10, UC_X86_REG_R11,
                               UC_X86_REG_R12, UC_X86_REG_R13, UC_X86_REG_R14, UC_X86_REG_R15};

static int unicorn_fail(struct gw_error *err, uc_err code, const char *what)
{
    return gw_fail(err, code == UC_ERR_NOMEM ? -ENOMEM : -EIO, GW_BLAME_LOCAL, "Unicorn: %s: %s", what, uc_strerror(code));
}

/* The engine calls the hook before it writes. If the page were marked now, it could be cleaned and sent before the
 * write lands, and the write would be lost. So it is marked when the next write begins or the vCPU does anything
 * else. */
static void mark_written(struct engine *e)
{
    if (e->written_bytes)
        gw_memory_written(e->vcpu->machine, e->written_gpa, e->written_bytes);
    e->written_bytes = 0;
}

static void on_write(uc_engine *uc, uc_mem_type type, uint64_t gpa, int bytes, int64_t value, void *opaque)
{
    struct engine *e = opaque;
    uint64_t first = gpa & ~(GW_GUEST_PAGE - 1);
    uint32_t length = (uint32_t)(((gpa + (uint64_t)bytes + GW_GUEST_PAGE - 1) & ~(GW_GUEST_PAGE - 1)) - first);

    if (e->written_gpa != first || e->written_bytes != length) {
        mark_written(e);
        e->written_gpa = first;
        e->written_bytes = length;
    }
}

static uint32_t on_in(uc_engine *uc, uint32_t port, int bytes, void *opaque)
{
    struct engine *e = opaque;

    mark_written(e);
    return gw_port_in(e->vcpu, (uint16_t)port, (unsigned)bytes);
}

static void on_out(uc_engine *uc, uint32_t port, int bytes, uint32_t value, void *opaque)
{
    struct engine *e = opaque;

    mark_written(e);
    gw_port_out(e->vcpu, (uint16_t)port, (unsigned)bytes, value);
}

static void on_yield(uc_engine *uc, uint64_t gpa, uint32_t bytes, void *opaque)
{
    struct engine *e = opaque;

    if (atomic_load_explicit(&e->vcpu->leave, memory_order_relaxed))
        uc_emu_stop(uc);
}

static uint64_t on_mmio_read(uc_engine *uc, uint64_t offset, unsigned bytes, void *opaque)
{
    struct engine *e = opaque;

    mark_written(e);
    return gw_mmio_in(e->vcpu->machine, offset, bytes);
}

static void on_mmio_write(uc_engine *uc, uint64_t offset, unsigned bytes, uint64_t value, void *opaque)
{
    struct engine *e = opaque;

    mark_written(e);
    gw_mmio_out(e->vcpu->machine, offset, bytes, (uint32_t)value);
}

static int unicorn_open(struct gw_machine *m, struct gw_error *err)
{
    return 0;
}

static void unicorn_close(struct gw_machine *m)
{
}

static void unicorn_vcpu_close(struct gw_vcpu *v)
{
    struct engine *e = v->accel;

    if (e && e->uc)
        uc_close(e->uc);
    free(e);
    v->accel = NULL;
}

static int unicorn_vcpu_open(struct gw_vcpu *v, struct gw_error *err)
{
    struct gw_machine *m = v->machine;
    struct engine *e = calloc(1, sizeof(*e));
    uc_hook hook;
    uc_err code;

    if (!e)
        return gw_fail(err, -ENOMEM, GW_BLAME_LOCAL, "out of memory (Unicorn engine)");
    e->vcpu = v;
    v->accel = e;
    code = uc_open(UC_ARCH_X86, UC_MODE_64, &e->uc);
    for (unsigned i = 0; i < m->blocks && !code; i++)
        code = uc_mem_map_ptr(e->uc, m->block[i].gpa, m->block[i].bytes, UC_PROT_ALL, m->block[i].host);
    if (!code && m->disks)
        code = uc_mmio_map(e->uc, GW_GUEST_MMIO_GPA, m->disks * GW_GUEST_PAGE, on_mmio_read, e, on_mmio_write, e);
    if (!code)
        code = uc_hook_add(e->uc, &hook, UC_HOOK_INSN, (void *)on_in, e, 1, 0, UC_X86_INS_IN);
    if (!code)
        code = uc_hook_add(e->uc, &hook, UC_HOOK_INSN, (void *)on_out, e, 1, 0, UC_X86_INS_OUT);
    if (!code)
        code = uc_hook_add(e->uc, &hook, UC_HOOK_CODE, (void *)on_yield, e, GW_GUEST_YIELD_GPA, GW_GUEST_YIELD_GPA);
    if (!code && m->tracker == GW_TRACKER_EXPLICIT)
        code = uc_hook_add(e->uc, &hook, UC_HOOK_MEM_WRITE, (void *)on_write, e, 1, 0);
    return code ? unicorn_fail(err, code, "making a vCPU") : 0;
}

static int unicorn_load(struct gw_vcpu *v, struct gw_error *err)
{
    struct engine *e = v->accel;
    const struct gw_cpu_state *c = &v->cpu;
    uc_err code = UC_ERR_OK;

    for (unsigned i = 0; i < 16 && !code; i++)
        code = uc_reg_write(e->uc, gpr_id[i], &c->gpr[i]);
    for (unsigned i = 0; i < 8 && !code; i++)
        code = uc_reg_write(e->uc, UC_X86_REG_ST0 + (int)i, c->st + 16 * i);
    for (unsigned i = 0; i < 16 && !code; i++)
        code = uc_reg_write(e->uc, UC_X86_REG_XMM0 + (int)i, c->xmm + 16 * i);
    if (!code)
        code = uc_reg_write(e->uc, UC_X86_REG_FPCW, &c->fcw);
    if (!code)
        code = uc_reg_write(e->uc, UC_X86_REG_FPSW, &c->fsw);
    if (!code)
        code = uc_reg_write(e->uc, UC_X86_REG_MXCSR, &c->mxcsr);
    if (!code)
        code = uc_reg_write(e->uc, UC_X86_REG_EFLAGS, &c->rflags);
    return code ? unicorn_fail(err, code, "setting registers") : 0;
}

static int unicorn_save(struct gw_vcpu *v, struct gw_error *err)
{
    struct engine *e = v->accel;
    struct gw_cpu_state *c = &v->cpu;
    uc_err code = UC_ERR_OK;

    mark_written(e);
    for (unsigned i = 0; i < 16 && !code; i++)
        code = uc_reg_read(e->uc, gpr_id[i], &c->gpr[i]);
    for (unsigned i = 0; i < 8 && !code; i++)
        code = uc_reg_read(e->uc, UC_X86_REG_ST0 + (int)i, c->st + 16 * i);
    for (unsigned i = 0; i < 16 && !code; i++)
        code = uc_reg_read(e->uc, UC_X86_REG_XMM0 + (int)i, c->xmm + 16 * i);
    if (!code)
        code = uc_reg_read(e->uc, UC_X86_REG_FPCW, &c->fcw);
    if (!code)
        code = uc_reg_read(e->uc, UC_X86_REG_FPSW, &c->fsw);
    if (!code)
        code = uc_reg_read(e->uc, UC_X86_REG_MXCSR, &c->mxcsr);
    if (!code)
        code = uc_reg_read(e->uc, UC_X86_REG_EFLAGS, &c->rflags);
    c->rflags = gw_cpu_rflags(c->rflags);
    return code ? unicorn_fail(err, code, "reading registers") : 0;
}

static int unicorn_run(struct gw_vcpu *v, struct gw_error *err)
{
    struct engine *e = v->accel;
    uc_err code = UC_ERR_OK;

    atomic_store(&e->running, true);
    while (!atomic_load(&v->leave) && !code) {
        /* An end address that is never reached: only we stop the engine. It gets rip from this call. */
        code = uc_emu_start(e->uc, v->cpu.rip, ~0ull, 0, 0);
        uc_reg_read(e->uc, UC_X86_REG_RIP, &v->cpu.rip);
    }
    atomic_store(&e->running, false);
    if (!code)
        return 0;
    return gw_fail(err, -EFAULT, GW_BLAME_EMBEDDER, "the guest cannot go on: %s", uc_strerror(code));
}

static void unicorn_kick(struct gw_vcpu *v)
{
    struct engine *e = v->accel;

    /* on_yield notices v->leave. A guest that never reaches it (its program was overwritten) is stopped at any place,
     * but only when its machine is freed. */
    if (v->machine->dying && atomic_load(&e->running))
        uc_emu_stop(e->uc);
}

const struct gw_accel_ops gw_accel_unicorn = {
    .name = "unicorn",
    .features = GW_GUEST_SLOW_STORES,
    .open = unicorn_open,
    .close = unicorn_close,
    .vcpu_open = unicorn_vcpu_open,
    .vcpu_close = unicorn_vcpu_close,
    .load = unicorn_load,
    .run = unicorn_run,
    .save = unicorn_save,
    .kick = unicorn_kick,
};
