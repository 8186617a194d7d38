/* SPDX-License-Identifier: MIT */
#include "examine/physical/layout.h"

#include <stdio.h>

#include "examine/physical/acpi.h"
#include "examine/physical/chipset.h"
#include "examine/physical/peek.h"
#include "examine/physical/smbios.h"

#define FOUR_GIB (4 * GW_GIB)
#define TIB      (1024 * GW_GIB)

static bool begins(const char *s, const char *with)
{
    return !strncmp(s, with, strlen(with));
}

/* ---- kinds ------------------------------------------------------------------------------------------------------- */

/* Derives the kind from the host bridge: for renamed machine types, and streams that do not record the type. */
static enum gw_machine_kind kind_by_bridge(const struct gw_image_devices *devices)
{
    for (unsigned i = 0; i < devices->count; i++) {
        if (!strcmp(devices->list[i].name, "0000:00:00.0/I440FX"))
            return GW_KIND_PC;
        if (!strcmp(devices->list[i].name, "0000:00:00.0/mch"))
            return GW_KIND_Q35;
    }
    return GW_KIND_UNKNOWN;
}

enum gw_machine_kind gw_machine_kind_of(const struct gw_image *image, const struct gw_image_devices *devices)
{
    const char *m = image->machine;

    if (begins(m, "pc-q35-"))
        return GW_KIND_Q35;
    if (begins(m, "pc-"))
        return GW_KIND_PC;
    if (!strcmp(m, "isapc"))
        return GW_KIND_ISAPC;
    if (begins(m, "microvm"))
        return GW_KIND_MICROVM;
    if (gw_peek_block(image, "riscv_virt_board.ram") >= 0 || gw_peek_block(image, "riscv_virt_board.mrom") >= 0)
        return GW_KIND_VIRT_RISCV;
    if (begins(m, "virt-"))
        return GW_KIND_VIRT_ARM;
    if (begins(m, "godwit"))
        return GW_KIND_GODWIT;
    return !strcmp(m, "none") ? GW_KIND_FLAT : kind_by_bridge(devices);
}

/* The address of the RAM's first byte. */
static uint64_t ram_first(enum gw_machine_kind kind)
{
    return kind == GW_KIND_VIRT_ARM ? GW_GIB : kind == GW_KIND_VIRT_RISCV ? 2 * GW_GIB : 0;
}

/* From 7.1 on, RAM above 4 GiB of a guest with an AMD processor begins at 1 TiB if RAM would otherwise reach into the
 * 12 GiB below 1 TiB. Renamed types may be based on any version. */
static bool may_move_up(const struct gw_image *image, enum gw_machine_kind kind)
{
    const char *p = image->machine;
    unsigned major, minor;

    if (kind != GW_KIND_PC && kind != GW_KIND_Q35)
        return false;
    p += begins(p, "pc-i440fx-") ? 10 : begins(p, "pc-q35-") ? 7 : begins(p, "pc-") ? 3 : 0;
    return sscanf(p, "%3u.%3u", &major, &minor) != 2 || major > 7 || (major == 7 && minor > 0);
}

/* ---- what is told ------------------------------------------------------------------------------------------------ */

struct finder {
    struct gw_image *image;
    const struct gw_image_devices *devices;
    enum gw_machine_kind kind;
    const struct gw_ram_told *told;
    gw_examine_progress_fn progress;
    void *opaque;
    struct gw_acpi acpi;
    uint64_t nodes[GW_SRAT_MAX]; /* parts of the RAM by their NUMA node */
    unsigned node_count;
    struct gw_ram_layout *ret;
    struct gw_error *err;
};

/* The areas from the SRAT; false: none, or not one of such a machine. */
static bool take_srat(struct finder *f, uint64_t first_address)
{
    struct gw_ram_layout *l = f->ret;
    uint64_t end = 0;

    l->area_count = f->node_count = 0;
    for (unsigned i = 0; i < f->acpi.part_count; i++) {
        const struct gw_acpi_part *p = &f->acpi.parts[i];

        if (i && p->node == f->acpi.parts[i - 1].node)
            f->nodes[f->node_count - 1] += p->bytes;
        else
            f->nodes[f->node_count++] = p->bytes;
        if (l->area_count && p->address == end) {
            l->areas[l->area_count - 1].bytes += p->bytes;
        } else if (l->area_count == GW_ARRAY_LEN(l->areas)) {
            return false;
        } else {
            l->areas[l->area_count++] = (struct gw_ram_area){p->address, p->bytes};
        }
        end = p->address + p->bytes;
    }
    return l->area_count && l->areas[0].address == first_address &&
           (l->area_count == 1 || (l->areas[0].bytes <= FOUR_GIB && l->areas[1].address >= FOUR_GIB));
}

static uint64_t ram_bytes(const struct gw_ram_layout *l)
{
    return l->areas[0].bytes + (l->area_count > 1 ? l->areas[1].bytes : 0);
}

/* The block's offset in the whole RAM, from the caller's placement. */
static uint64_t told_offset(const struct finder *f, unsigned block)
{
    const struct gw_ram_told *t = &f->told[block];
    uint64_t begin = 0;

    for (unsigned i = 0; i < f->ret->area_count && t->begin; i++) {
        const struct gw_ram_area *a = &f->ret->areas[i];

        if (t->address >= a->address && t->address - a->address < a->bytes)
            return begin + (t->address - a->address);
        begin += a->bytes;
    }
    if (t->begin && t->address == ram_first(f->kind))
        return 0;
    return t->whole ? GW_RAM_ELSEWHERE : GW_RAM_ANYWHERE;
}

static int find_blocks(struct finder *f, struct gw_ram_total total, uint64_t first_bytes)
{
    struct gw_ram_layout *l = f->ret;
    GW_AUTOFREE uint64_t *told = calloc(GW_MAX(f->image->block_count, 1u), sizeof *told);
    int r;

    if (!told)
        return gw_nomem(f->err, "physical memory");
    for (unsigned i = 0; i < f->image->block_count; i++)
        told[i] = told_offset(f, i);
    r = gw_ram_blocks_find(f->image, told, total, f->nodes, f->node_count, first_bytes, &l->blocks, f->err);
    l->why = l->blocks.choice
                 ? "it may be RAM of the machine, and so may other blocks; nothing in the machine says which"
             : total.bytes ? "no block has the size of the RAM that the machine says it has"
                           : "no block looks like the RAM of the machine";
    return r;
}

/* ---- PCs --------------------------------------------------------------------------------------------------------- */

/* Where RAM above 4 GiB begins. Memory of PCI devices lies behind all RAM; the firmware moves it upwards, and hardly
 * ever below RAM at 1 TiB. By default it begins on the next GiB. */
static int find_upper(struct finder *f, uint64_t below, uint64_t above, uint64_t *ret)
{
    uint64_t window = f->acpi.window;
    int r = 0;

    *ret = FOUR_GIB;
    if (!may_move_up(f->image, f->kind) || (window && window < TIB && window - FOUR_GIB >= above))
        return 0;
    *ret = 0;
    if (f->ret->blocks.count == 1 && f->ret->blocks.slots[0].block >= 0)
        r = gw_smbios_upper(f->image, (unsigned)f->ret->blocks.slots[0].block, below, above, ret, f->progress,
                            f->opaque, f->err);
    if (r >= 0 && !*ret && window)
        *ret = window == gw_div_up(FOUR_GIB + above, GW_GIB) * GW_GIB ? FOUR_GIB
               : window == gw_div_up(TIB + above, GW_GIB) * GW_GIB    ? TIB
                                                                      : 0;
    if (!*ret)
        *ret = GW_AREA_UNKNOWN;
    return r;
}

static int find_pc(struct finder *f)
{
    struct gw_ram_total total = {.exact = false};
    struct gw_ram_layout *l = f->ret;
    uint64_t below = 0, above = 0, bytes;
    int r;

    if (take_srat(f, 0))
        return find_blocks(f, (struct gw_ram_total){.bytes = ram_bytes(l), .exact = true}, l->areas[0].bytes);
    l->area_count = f->node_count = 0;
    if (gw_chipset_cmos(f->devices, &below, &above)) {
        total = (struct gw_ram_total){.bytes = below + above, .below_only = !above};
    } else if (f->kind != GW_KIND_MICROVM) {
        l->why = "the machine does not say how much RAM it has below 4 GiB";
        return 0;
    }
    r = find_blocks(f, total, below);
    if (r < 0 || !l->blocks.count)
        return r;
    bytes = l->blocks.slots[0].bytes;
    if (f->kind == GW_KIND_MICROVM)
        below = 3 * GW_GIB;
    else if (total.below_only && bytes - below < 65536)
        below = bytes;
    l->areas[l->area_count++] = (struct gw_ram_area){0, GW_MIN(below, bytes)};
    if (below >= bytes)
        return 0;
    l->areas[l->area_count++].bytes = bytes - below;
    return find_upper(f, below, bytes - below, &l->areas[1].address);
}

/* ---- other machines ---------------------------------------------------------------------------------------------- */

static int find_flat(struct finder *f)
{
    struct gw_ram_layout *l = f->ret;
    uint64_t address = ram_first(f->kind);
    int r;

    if (take_srat(f, address))
        return find_blocks(f, (struct gw_ram_total){.bytes = ram_bytes(l), .exact = true}, 0);
    f->node_count = 0;
    r = find_blocks(f, (struct gw_ram_total){.bytes = 0}, 0);
    l->area_count = l->blocks.count;
    l->areas[0] = (struct gw_ram_area){address, l->blocks.slots[0].bytes};
    return r;
}

int gw_ram_layout_find(struct gw_image *image, const struct gw_image_devices *devices, enum gw_machine_kind kind,
                       const struct gw_ram_told *told, gw_examine_progress_fn progress, void *opaque,
                       struct gw_ram_layout *ret, struct gw_error *err)
{
    GW_AUTOFREE struct finder *f = calloc(1, sizeof *f);
    int r;

    *ret = (struct gw_ram_layout){.area_count = 0};
    if (!f)
        return gw_nomem(err, "physical memory");
    *f = (struct finder){.image = image,
                         .devices = devices,
                         .kind = kind,
                         .told = told,
                         .progress = progress,
                         .opaque = opaque,
                         .ret = ret,
                         .err = err};
    r = gw_acpi_read(image, &f->acpi, err);
    if (r < 0)
        return r;
    return kind == GW_KIND_VIRT_ARM || kind == GW_KIND_VIRT_RISCV || kind == GW_KIND_FLAT ? find_flat(f) : find_pc(f);
}
