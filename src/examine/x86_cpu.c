/* SPDX-License-Identifier: MIT */
#include "examine/x86_cpu.h"

#include <stdio.h>

#include "base/endian.h"
#include "state/values.h"

#define NT_PRSTATUS    1
#define NT_FPREGSET    2
#define PRSTATUS_BYTES 336u
#define FXSAVE_BYTES   512u

/* ---- from the device --------------------------------------------------------------------------------------------- */

struct taker {
    struct gw_x86_cpu *cpu;
    bool regs, rip, rflags; /* without these it is not a processor of this kind */
};

static uint64_t load(const struct gw_value *v)
{
    uint64_t number = 0;

    for (uint64_t i = 0; i < v->bytes; i++)
        number = number << 8 | v->data[i];
    return number;
}

/* "env.segs[1].base" behind "env.segs[": 1, and *ret_rest is "base". */
static int index_of(const char *s, int below, const char **ret_rest)
{
    char *end;
    unsigned long i = strtoul(s, &end, 10);

    if (end == s || end[0] != ']' || i >= (unsigned long)below)
        return -1;
    *ret_rest = end + 1;
    return (int)i;
}

static void take_seg(struct gw_x86_cpu *cpu, int seg, const char *field, const struct gw_value *v)
{
    if (seg < 0)
        return;
    if (!strcmp(field, ".selector"))
        cpu->segs[seg].selector = (uint32_t)load(v);
    else if (!strcmp(field, ".base"))
        cpu->segs[seg].base = load(v);
    else if (!strcmp(field, ".limit"))
        cpu->segs[seg].limit = (uint32_t)load(v);
    else if (!strcmp(field, ".flags"))
        cpu->segs[seg].flags = (uint32_t)load(v);
}

static void take_scalar(struct taker *t, const char *name, const struct gw_value *v)
{
    struct gw_x86_cpu *cpu = t->cpu;

    if (!strcmp(name, "eip")) {
        cpu->rip = load(v);
        t->rip = true;
    } else if (!strcmp(name, "eflags")) {
        cpu->rflags = load(v);
        t->rflags = true;
    } else if (!strcmp(name, "fpuc")) {
        cpu->fpu_control = (uint16_t)load(v);
    } else if (!strcmp(name, "fpus_vmstate")) {
        cpu->fpu_status = (uint16_t)load(v);
    } else if (!strcmp(name, "fptag_vmstate")) {
        cpu->fpu_tags = (uint16_t)load(v);
    } else if (!strcmp(name, "mxcsr")) {
        cpu->mxcsr = (uint32_t)load(v);
    } else if (!strcmp(name, "efer")) {
        cpu->efer = load(v);
    } else if (!strcmp(name, "kernelgsbase")) {
        cpu->kernel_gs_base = load(v);
    }
}

static void take_regs(struct taker *t, const struct gw_value *v)
{
    struct gw_value one = *v;

    for (uint32_t i = 0; i < GW_MIN(v->count, 16u); i++, one.data += v->bytes)
        t->cpu->regs[i] = load(&one);
    t->regs = true;
}

/* The mantissa is at the start of the body of "env.fpregs[i]", the exponent behind it; big endian both. */
static void take_st(struct gw_x86_cpu *cpu, int i, const char *rest, const struct gw_value *v)
{
    unsigned at = v->bytes == 2 ? 8 : 0;

    if (i < 0 || (v->bytes != 10 && v->bytes != 8 && v->bytes != 2))
        return;
    for (unsigned k = 0; k < GW_MIN(v->bytes, 8u); k++)
        cpu->st[i][at + k] = v->data[GW_MIN(v->bytes, 8u) - 1 - k];
    if (v->bytes == 10) {
        cpu->st[i][8] = v->data[9];
        cpu->st[i][9] = v->data[8];
    }
}

static int take(void *opaque, const struct gw_value *v)
{
    static const struct {
        const char *prefix;
        int seg;
    } tables[] = {{"ldt", GW_LDT}, {"tr", GW_TR}, {"gdt", GW_GDT}, {"idt", GW_IDT}};
    struct taker *t = opaque;
    const char *name = v->path, *rest = "";
    int i;

    if (strncmp(name, "env.", 4) != 0 || v->bytes > 10)
        return 0;
    name += 4;
    if (!strcmp(name, "regs")) {
        take_regs(t, v);
    } else if (!strncmp(name, "segs[", 5)) {
        i = index_of(name + 5, 6, &rest);
        take_seg(t->cpu, i, rest, v);
    } else if (!strncmp(name, "cr[", 3)) {
        i = index_of(name + 3, 5, &rest);
        if (i >= 0)
            t->cpu->cr[i] = load(v);
    } else if (!strncmp(name, "fpregs[", 7)) {
        i = index_of(name + 7, 8, &rest);
        take_st(t->cpu, i, rest, v);
    } else if (!strncmp(name, "xmm_regs[0][", 12)) {
        i = index_of(name + 12, 16, &rest);
        if (i >= 0)
            t->cpu->xmm[i][strstr(rest, "[1]") != NULL] = load(v);
    } else {
        for (size_t k = 0; k < GW_ARRAY_LEN(tables); k++) {
            size_t n = strlen(tables[k].prefix);

            if (!strncmp(name, tables[k].prefix, n) && name[n] == '.')
                take_seg(t->cpu, tables[k].seg, name + n, v);
        }
        take_scalar(t, name, v);
    }
    return 0;
}

int gw_x86_cpu_read(const struct gw_image_device *device, struct gw_x86_cpu *ret, struct gw_error *err)
{
    struct gw_x86_cpu cpu = {0};
    struct taker t = {.cpu = &cpu};
    int r;

    if (strcmp(device->name, "cpu") != 0 || !device->state)
        return 0;
    r = gw_values_walk(device->state, device->body, (size_t)device->body_bytes, take, &t, err);
    if (r < 0) {
        gw_context(err, "device %s", device->label);
        return r;
    }
    if (!t.regs || !t.rip || !t.rflags)
        return 0;
    *ret = cpu;
    return 1;
}

/* ---- to notes ---------------------------------------------------------------------------------------------------- */

static uint8_t *le(uint8_t *p, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        *p++ = (uint8_t)(value >> 8 * i);
    return p;
}

void gw_elf_note(struct gw_text *notes, const char *name, uint32_t type, const void *data, size_t bytes)
{
    static const char zeros[4];
    size_t n = strlen(name) + 1;
    uint8_t head[12];

    le(le(le(head, n, 4), bytes, 4), type, 4);
    gw_text_add(notes, (const char *)head, sizeof head);
    gw_text_add(notes, name, n);
    gw_text_add(notes, zeros, -n & 3);
    gw_text_add(notes, data, bytes);
    gw_text_add(notes, zeros, -bytes & 3);
}

/* struct elf_prstatus of x86-64: of its 336 bytes only the thread's number and the registers are set. */
static void put_prstatus(const struct gw_x86_cpu *c, uint32_t thread, struct gw_text *notes)
{
    uint8_t data[PRSTATUS_BYTES] = {0}, *p = data + 112;
    const uint64_t regs[27] = {
        c->regs[15],
        c->regs[14],
        c->regs[13],
        c->regs[12],
        c->regs[GW_RBP],
        c->regs[GW_RBX],
        c->regs[11],
        c->regs[10],
        c->regs[9],
        c->regs[8],
        c->regs[GW_RAX],
        c->regs[GW_RCX],
        c->regs[GW_RDX],
        c->regs[GW_RSI],
        c->regs[GW_RDI],
        UINT64_MAX /* no system call in progress */,
        c->rip,
        c->segs[GW_CS].selector,
        c->rflags,
        c->regs[GW_RSP],
        c->segs[GW_SS].selector,
        c->segs[GW_FS].base,
        c->segs[GW_GS].base,
        c->segs[GW_DS].selector,
        c->segs[GW_ES].selector,
        c->segs[GW_FS].selector,
        c->segs[GW_GS].selector,
    };

    le(data + 32, thread, 4);
    for (size_t i = 0; i < GW_ARRAY_LEN(regs); i++)
        p = le(p, regs[i], 8);
    gw_elf_note(notes, "CORE", NT_PRSTATUS, data, sizeof data);
}

/* In the format of FXSAVE64. ST(i) count from the top of the stack, the device's registers from the bottom. */
static void put_fpregset(const struct gw_x86_cpu *c, struct gw_text *notes)
{
    uint8_t data[FXSAVE_BYTES] = {0};
    unsigned top = c->fpu_status >> 11 & 7;

    le(le(le(data, c->fpu_control, 2), c->fpu_status, 2), c->fpu_tags, 1);
    le(le(data + 24, c->mxcsr, 4), 0xffff, 4);
    for (unsigned i = 0; i < 8; i++)
        memcpy(data + 32 + 16 * i, c->st[(top + i) & 7], 10);
    for (unsigned i = 0; i < 16; i++)
        le(le(data + 160 + 16 * i, c->xmm[i][0], 8), c->xmm[i][1], 8);
    gw_elf_note(notes, "CORE", NT_FPREGSET, data, sizeof data);
}

/* The note of QEMU's own dumps for each processor; it has the control registers. */
static void put_qemu(const struct gw_x86_cpu *c, struct gw_text *notes)
{
    static const uint8_t regs[] = {GW_RAX, GW_RBX, GW_RCX, GW_RDX, GW_RSI, GW_RDI, GW_RSP, GW_RBP,
                                   8,      9,      10,     11,     12,     13,     14,     15};
    static const uint8_t segs[] = {GW_CS, GW_DS, GW_ES, GW_FS, GW_GS, GW_SS, GW_LDT, GW_TR, GW_GDT, GW_IDT};
    uint8_t data[8 + 8 * 18 + 24 * 10 + 8 * 6], *p = le(le(data, 1, 4), sizeof data, 4);

    for (size_t i = 0; i < sizeof regs; i++)
        p = le(p, c->regs[regs[i]], 8);
    p = le(le(p, c->rip, 8), c->rflags, 8);
    for (size_t i = 0; i < sizeof segs; i++) {
        p = le(le(p, c->segs[segs[i]].selector, 4), c->segs[segs[i]].limit, 4);
        p = le(le(le(p, c->segs[segs[i]].flags, 4), 0, 4), c->segs[segs[i]].base, 8);
    }
    for (size_t i = 0; i < GW_ARRAY_LEN(c->cr); i++)
        p = le(p, c->cr[i], 8);
    le(p, c->kernel_gs_base, 8);
    gw_elf_note(notes, "QEMU", 0, data, sizeof data);
}

void gw_x86_cpu_notes(const struct gw_x86_cpu *cpu, uint32_t thread, struct gw_text *notes)
{
    put_prstatus(cpu, thread, notes);
    put_fpregset(cpu, notes);
    put_qemu(cpu, notes);
}
