/* SPDX-License-Identifier: MIT
 *
 * An ELF core of a machine: docs/formats/core.md.
 *
 *     ELF header | program headers | RAM, a segment for each range of addresses | notes
 *
 * The notes are last because their contents depend on the RAM (VMCOREINFO), which is known once it has been written.
 * The headers record the size of the notes, so they are written at the very end.
 */
#include <elf.h>
#include <endian.h>
#include <stdarg.h>
#include <stdio.h>

#include "examine/physical.h"
#include "base/sized.h"
#include "examine/put.h"
#include "image/unpack.h"
#include "examine/x86_cpu.h"

#define ALIGN   4096u
#define RELEASE "OSRELEASE="

struct core {
    struct gw_image *image;
    const struct gw_elf_options *options;
    struct gw_image_devices devices;
    struct gw_physical map;
    struct gw_text notes;
    char *info;       /* VMCOREINFO of a Linux guest */
    uint64_t info_at; /* guest-physical */
    const struct gw_image_out *out;
    struct gw_error *err;
};

static void told(struct core *c, const char *fmt, ...) GW_PRINTF(2, 3);

static void told(struct core *c, const char *fmt, ...)
{
    char line[600];
    va_list ap;

    if (!c->options->told)
        return;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    c->options->told(c->options->opaque, line);
}

/* ---- what is in the RAM ------------------------------------------------------------------------------------------ */

/* A Linux kernel keeps facts for debuggers in one page: lines NAME=VALUE, the release first. Copies of that page (e.g.
 * of a dump file in the page cache) cannot be told from it. */
static bool is_info(const uint8_t *page, size_t bytes)
{
    size_t n = strlen(RELEASE);

    if (bytes < n || memcmp(page, RELEASE, n) != 0)
        return false;
    n = strnlen((const char *)page, bytes);
    return n < bytes && memmem(page, n, "\nPAGESIZE=", 10) && memmem(page, n, "\nSYMBOL(", 8);
}

static int look_for_info(struct core *c, const struct gw_sweep *s, uint64_t address)
{
    uint32_t page = c->image->page_bytes;

    for (uint64_t i = 0; i < s->count && !c->info; i++) {
        const uint8_t *p = s->data + i * page;

        if (!is_info(p, page))
            continue;
        c->info = strndup((const char *)p, page);
        c->info_at = address + i * page;
        if (!c->info)
            return gw_nomem(c->err, "VMCOREINFO");
    }
    return 0;
}

static int put_range(struct core *c, struct gw_sweep *s, const struct gw_physical_range *range, uint64_t at)
{
    uint32_t page = c->image->page_bytes;
    int r;

    gw_sweep_range(s, range->block, range->offset / page, range->bytes / page);
    while ((r = gw_sweep_next(s, c->err)) > 0) {
        uint64_t in = s->first * page - range->offset;

        if (!s->any)
            continue;
        r = gw_sweep_read(s, c->err);
        if (r >= 0)
            r = look_for_info(c, s, range->address + in);
        if (r >= 0)
            r = gw_put_chunk(c->out, s, at + in, c->err);
        if (r < 0)
            break;
    }
    return r;
}

/* ---- headers ----------------------------------------------------------------------------------------------------- */

static uint64_t align(uint64_t n)
{
    return gw_div_up(n, ALIGN) * ALIGN;
}

static uint64_t head_bytes(const struct core *c)
{
    return align(sizeof(Elf64_Ehdr) + (c->map.count + 1) * sizeof(Elf64_Phdr));
}

static uint16_t elf_machine(enum gw_guest_arch arch)
{
    return arch == GW_ARCH_ARM64 ? EM_AARCH64 : arch == GW_ARCH_RISCV64 ? EM_RISCV : EM_X86_64;
}

static int put_headers(struct core *c, uint64_t notes_at)
{
    GW_AUTOFREE Elf64_Phdr *ph = calloc(c->map.count + 1, sizeof *ph);
    Elf64_Ehdr eh = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                     .e_type = htole16(ET_CORE),
                     .e_machine = htole16(elf_machine(c->map.arch)),
                     .e_version = htole32(EV_CURRENT),
                     .e_phoff = htole64(sizeof eh),
                     .e_ehsize = htole16(sizeof eh),
                     .e_phentsize = htole16(sizeof *ph),
                     .e_phnum = htole16((uint16_t)(c->map.count + 1))};
    uint64_t at = head_bytes(c);
    int r;

    if (!ph)
        return gw_nomem(c->err, "program headers");
    ph[0] = (Elf64_Phdr){.p_type = htole32(PT_NOTE),
                         .p_offset = htole64(notes_at),
                         .p_filesz = htole64(c->notes.bytes),
                         .p_align = htole64(4)};
    for (unsigned i = 0; i < c->map.count; i++) {
        const struct gw_physical_range *range = &c->map.ranges[i];

        ph[1 + i] = (Elf64_Phdr){.p_type = htole32(PT_LOAD),
                                 .p_flags = htole32(PF_R | PF_W | PF_X),
                                 .p_offset = htole64(at),
                                 .p_vaddr = htole64(range->address),
                                 .p_paddr = htole64(range->address),
                                 .p_filesz = htole64(range->bytes),
                                 .p_memsz = htole64(range->bytes),
                                 .p_align = htole64(1)};
        at = align(at + range->bytes);
    }
    r = gw_put_part(c->out, &eh, sizeof eh, 0, c->err);
    return r < 0 ? r : gw_put_part(c->out, ph, (c->map.count + 1) * sizeof *ph, sizeof eh, c->err);
}

/* ---- notes ------------------------------------------------------------------------------------------------------- */

static int put_notes(struct core *c, uint64_t at)
{
    unsigned cpus = 0;

    for (unsigned i = 0; i < c->devices.count; i++) {
        struct gw_x86_cpu cpu;
        int r = gw_x86_cpu_read(&c->devices.list[i], &cpu, c->err);

        if (r < 0)
            return r;
        if (r)
            gw_x86_cpu_notes(&cpu, ++cpus, &c->notes);
    }
    if (c->info)
        gw_elf_note(&c->notes, "VMCOREINFO", 0, c->info, strlen(c->info));
    if (c->notes.failed)
        return gw_nomem(c->err, "notes of the core");
    if (cpus)
        told(c, "registers of %u processor%s", cpus, cpus == 1 ? "" : "s");
    else
        told(c, "no registers: %s",
             c->map.arch == GW_ARCH_ARM64 || c->map.arch == GW_ARCH_RISCV64
                 ? "those of this kind of processor are not decoded"
                 : "there is no processor whose state is described");
    if (c->info)
        told(c, "VMCOREINFO found at 0x%" PRIx64 ": Linux %.*s", c->info_at,
             (int)strcspn(c->info + strlen(RELEASE), "\n"), c->info + strlen(RELEASE));
    return gw_put_part(c->out, c->notes.data, c->notes.bytes, at, c->err);
}

static void tell_ranges(struct core *c)
{
    for (unsigned i = 0; i < c->map.count; i++) {
        const struct gw_physical_range *range = &c->map.ranges[i];

        told(c, "0x%012" PRIx64 " %s, %" PRIu64 " bytes from 0x%" PRIx64 " on", range->address,
             c->image->blocks[range->block].name, range->bytes, range->offset);
    }
    for (unsigned i = 0; i < c->map.left_count; i++) {
        const struct gw_physical_left *l = &c->map.left[i];
        const struct gw_elf_left left = {c->image->blocks[l->block].name, l->offset, l->bytes, l->why};

        told(c, "left out: %s, %" PRIu64 " bytes from 0x%" PRIx64 " on: %s", left.block, l->bytes, l->offset, l->why);
        if (c->options->left_out && !l->device)
            c->options->left_out(c->options->opaque, &left);
    }
}

static int put_core(struct core *c)
{
    uint64_t at = head_bytes(c), total = 0;
    struct gw_sweep s;
    int r;

    if (c->map.count >= PN_XNUM - 1)
        return gw_fail(c->err, -E2BIG, GW_BLAME_CALLER,
                       "%u ranges of memory are more than an ELF file has segments for", c->map.count);
    for (unsigned i = 0; i < c->map.count; i++)
        if (gw_add_overflows(total, c->map.ranges[i].bytes, &total) || total > INT64_MAX / 2)
            return gw_fail(c->err, -EFBIG, GW_BLAME_CALLER, "the RAM is larger than any file");
    r = gw_sweep_init(&s, c->image, total, c->options->progress, c->options->opaque, c->err);
    for (unsigned i = 0; i < c->map.count && r >= 0; i++) {
        r = put_range(c, &s, &c->map.ranges[i], at);
        at = align(at + c->map.ranges[i].bytes);
    }
    gw_sweep_close(&s);
    if (r >= 0)
        r = gw_put_size(c->out, at, c->err); /* the end may be a hole */
    if (r >= 0)
        r = put_notes(c, at);
    return r < 0 ? r : put_headers(c, at);
}

int gw_extract_elf_sized(struct gw_image *image, const char *path, const struct gw_elf_options *options,
                         size_t options_bytes, struct gw_error *err)
{
    struct gw_elf_options own;
    struct core c = {.image = image, .options = &own, .err = err};
    struct gw_image_out out = {.fd = -1};
    int r = gw_sized_in(&own, sizeof own, options, options_bytes, 1, "struct gw_elf_options", err);

    if (r >= 0)
        r = gw_image_devices_read(image, &c.devices, err);
    if (r >= 0)
        r = gw_physical_map(image, &c.devices, c.options, &c.map, err);
    if (r >= 0)
        r = gw_image_out_open(&out, path, c.options->replace, err);
    if (r >= 0) {
        c.out = &out;
        tell_ranges(&c);
        r = put_core(&c);
        if (r >= 0)
            r = gw_image_out_commit(&out, err);
        gw_image_out_close(&out);
    }
    gw_physical_close(&c.map);
    gw_image_devices_close(&c.devices);
    gw_text_free(&c.notes);
    free(c.info);
    return r;
}
