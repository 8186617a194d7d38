/* SPDX-License-Identifier: MIT */
#include "examine/physical.h"

#include "examine/physical/chipset.h"
#include "examine/physical/layout.h"
#include "examine/physical/peek.h"
#include "examine/physical/plugged.h"

#define FOUR_GIB  (4 * GW_GIB)
#define VGA_FIRST 0xa0000ull
#define LIST_MAX  65533u     /* limit of an ELF file's segments */
#define BIOS_SEEN 0x20000ull /* bytes of a BIOS, at its end, that also appear below 1 MiB */

static const char of_device[] = "memory of a device; its address depends on the guest's registers",
                  no_type[] = "the memory layout of this machine type is not known",
                  no_order[] = "it is a part of the RAM; nothing in the machine says which of several blocks of this size",
                  plugged[] = "it was not part of the machine's initial RAM; the address where it was plugged in is not saved",
                  no_upper[] = "nothing in the machine says whether its RAM above 4 GiB begins at 4 GiB or at 1 TiB",
                  part_told[] = "its address was given only for other parts of it";

struct list {
    struct gw_physical_range *ranges;
    unsigned count;
};

struct mapper {
    struct gw_image *image;
    const struct gw_image_devices *devices;
    const struct gw_elf_options *options;
    enum gw_machine_kind kind;
    enum gw_guest_arch arch;
    struct list placed, hidden; /* hidden: ranges behind a device or a ROM; their addresses mean nothing */
    unsigned told;              /* the first ones of `placed` are the caller's */
    struct gw_ram_told *word;   /* the caller's placement of each block */
    bool ram;                   /* some RAM was placed */
    struct gw_ram_layout layout;
    struct gw_error *err;
};

/* ---- placing ----------------------------------------------------------------------------------------------------- */

static int add(struct mapper *m, struct list *l, struct gw_physical_range range)
{
    struct gw_physical_range *grown, *last = l->count ? &l->ranges[l->count - 1] : NULL;
    uint64_t end;

    if (!range.bytes)
        return 0;
    if (gw_add_overflows(range.address, range.bytes - 1, &end))
        return gw_fail(m->err, -EINVAL, GW_BLAME_CALLER,
                       "RAM block %s at 0x%" PRIx64 " goes beyond the end of all addresses",
                       m->image->blocks[range.block].name, range.address);
    if (last && (l == &m->hidden || l->count > m->told) && last->block == range.block &&
        last->offset + last->bytes == range.offset && last->address + last->bytes == range.address) {
        last->bytes += range.bytes;
        return 0;
    }
    if (l->count == LIST_MAX)
        return gw_fail(m->err, -E2BIG, GW_BLAME_PEER, "the RAM lies in more than %u pieces", LIST_MAX);
    grown = realloc(l->ranges, (l->count + 1) * sizeof *grown);
    if (!grown)
        return gw_nomem(m->err, "physical memory");
    l->ranges = grown;
    grown[l->count++] = range;
    return 0;
}

/* Places a range, except where the caller has placed this block. */
static int place(struct mapper *m, unsigned block, uint64_t offset, uint64_t bytes, uint64_t address)
{
    while (bytes) {
        uint64_t end = offset + bytes, next = end, resume = end;
        int r;

        for (unsigned i = 0; i < m->told; i++) {
            const struct gw_physical_range *t = &m->placed.ranges[i];

            if (t->block == block && t->offset < next && t->offset + t->bytes > offset) {
                next = GW_MAX(t->offset, offset);
                resume = t->offset + t->bytes;
            }
        }
        r = add(m, &m->placed, (struct gw_physical_range){block, offset, next - offset, address});
        if (r < 0)
            return r;
        resume = GW_MIN(resume, end);
        address += resume - offset;
        bytes = end - resume;
        offset = resume;
    }
    return 0;
}

static int place_block(struct mapper *m, const char *name, uint64_t address)
{
    int i = gw_peek_block(m->image, name);

    return i < 0 ? 0 : place(m, (unsigned)i, 0, m->image->blocks[i].used_bytes, address);
}

/* Places a block so that it ends at *top. */
static int place_below(struct mapper *m, const char *name, uint64_t *top)
{
    int i = gw_peek_block(m->image, name);
    uint64_t bytes = i < 0 ? 0 : m->image->blocks[i].used_bytes;

    if (bytes > *top)
        return 0;
    *top -= bytes;
    return place_block(m, name, *top);
}

static int hide(struct mapper *m, unsigned block, uint64_t offset, uint64_t bytes)
{
    return add(m, &m->hidden, (struct gw_physical_range){block, offset, bytes, offset});
}

/* ---- below 1 MiB of a PC ----------------------------------------------------------------------------------------- */

/* The bytes of the BIOS that also appear below 1 MiB; 0: no BIOS, or flash. */
static uint64_t bios_bytes(const struct mapper *m)
{
    int bios = gw_peek_block(m->image, "pc.bios");

    return bios < 0 ? 0 : GW_MIN(m->image->blocks[bios].used_bytes, BIOS_SEEN);
}

/* For each 16 KiB from 0xc0000 on whether the guest sees RAM there. */
static uint16_t shadow_of(const struct mapper *m)
{
    uint16_t bits = UINT16_MAX;

    if (m->kind != GW_KIND_MICROVM)
        return m->kind == GW_KIND_ISAPC ? 0 : gw_chipset_shadow(m->devices);
    for (unsigned n = 0; n < GW_PAM_COUNT; n++)
        if (GW_PAM_FIRST + (n + 1) * (uint64_t)GW_PAM_BYTES > GW_MIB - bios_bytes(m))
            bits &= (uint16_t) ~(1u << n);
    return bits;
}

/* Places a part of the first MiB of the guest's memory: [address, address + bytes) in the block and in memory. */
static int place_seen(struct mapper *m, unsigned block, uint64_t address, uint64_t bytes)
{
    uint16_t shadow = shadow_of(m);
    uint64_t end = address + bytes;
    int r = 0;

    while (address < end && r >= 0) {
        bool vga = address >= VGA_FIRST && address < GW_PAM_FIRST, seen = true;
        uint64_t next = address < VGA_FIRST ? VGA_FIRST : GW_PAM_FIRST;

        if (vga)
            seen = m->kind == GW_KIND_MICROVM;
        if (address >= GW_PAM_FIRST) {
            seen = shadow >> (address - GW_PAM_FIRST) / GW_PAM_BYTES & 1;
            next = (address / GW_PAM_BYTES + 1) * GW_PAM_BYTES;
        }
        next = GW_MIN(next, end);
        r = seen ? place(m, block, address, next - address, address) : hide(m, block, address, next - address);
        address = next;
    }
    return r;
}

static bool is_told_at(const struct mapper *m, uint64_t address, uint64_t bytes)
{
    for (unsigned i = 0; i < m->told; i++) {
        const struct gw_physical_range *t = &m->placed.ranges[i];

        if (t->address < address + bytes && t->address + (t->bytes - 1) >= address)
            return true;
    }
    return false;
}

/* Places ROMs where the guest does not see RAM: option ROMs, and the end of the BIOS. */
static int place_roms(struct mapper *m)
{
    uint16_t shadow = shadow_of(m);
    int bios = gw_peek_block(m->image, "pc.bios"), rom = gw_peek_block(m->image, "pc.rom"), r = 0;
    uint64_t used = bios < 0 ? 0 : m->image->blocks[bios].used_bytes;

    for (unsigned n = 0; n < GW_PAM_COUNT && r >= 0; n++) {
        uint64_t at = GW_PAM_FIRST + n * (uint64_t)GW_PAM_BYTES, from = GW_MAX(at, GW_MIB - bios_bytes(m));
        uint64_t in = at - GW_PAM_FIRST;

        if (shadow >> n & 1 || is_told_at(m, at, GW_PAM_BYTES))
            continue;
        if (from < at + GW_PAM_BYTES)
            r = place(m, (unsigned)bios, used - (GW_MIB - from), at + GW_PAM_BYTES - from, from);
        else if (rom >= 0 && in + GW_PAM_BYTES <= m->image->blocks[rom].used_bytes)
            r = place(m, (unsigned)rom, in, GW_PAM_BYTES, at);
    }
    return r;
}

/* ---- RAM --------------------------------------------------------------------------------------------------------- */

static bool is_pc(enum gw_machine_kind kind)
{
    return kind == GW_KIND_PC || kind == GW_KIND_Q35 || kind == GW_KIND_ISAPC || kind == GW_KIND_MICROVM;
}

/* The block is bytes [at, at + bytes) of the whole RAM. */
static int place_part(struct mapper *m, unsigned block, uint64_t at, uint64_t bytes)
{
    uint64_t begin = 0;
    int r = 0;

    for (unsigned i = 0; i < m->layout.area_count && r >= 0; i++) {
        const struct gw_ram_area *a = &m->layout.areas[i];
        uint64_t first = GW_MAX(at, begin), end = GW_MIN(at + bytes, begin + a->bytes), low = 0;

        if (first < end && a->address != GW_AREA_UNKNOWN) {
            if (is_pc(m->kind) && !i && !at) {
                low = GW_MIN(end, GW_MIB);
                r = place_seen(m, block, 0, low);
            }
            first += low;
            if (r >= 0)
                r = place(m, block, first - at, end - first, a->address + (first - begin));
            m->ram = true;
        }
        begin += a->bytes;
    }
    return r;
}

static int place_ram(struct mapper *m)
{
    int r = gw_ram_layout_find(m->image, m->devices, m->kind, m->word, m->options->progress, m->options->opaque,
                               &m->layout, m->err);

    for (unsigned i = 0; i < m->layout.blocks.count && r >= 0; i++) {
        const struct gw_ram_slot *s = &m->layout.blocks.slots[i];

        if (s->block >= 0)
            r = place_part(m, (unsigned)s->block, s->offset, s->bytes);
    }
    return r;
}

/* The guest does not see memory that is not plugged in. */
static int place_plugged(struct mapper *m)
{
    struct gw_plugged g;
    int r = 0;

    for (unsigned i = 0; i < m->devices->count; i++) {
        if (!gw_plugged_read(m->image, &m->devices->list[i], &g))
            continue;
        for (uint64_t n = 0; n < g.pieces && r >= 0; n++) {
            uint64_t at = n * g.piece_bytes;

            r = gw_plugged_has(&g, n) ? place(m, g.block, at, g.piece_bytes, g.address + at)
                                      : hide(m, g.block, at, g.piece_bytes);
        }
    }
    return r;
}

/* The built-in test machine: each block at the next multiple of 1 GiB (docs/machine.md). */
static int place_godwit(struct mapper *m)
{
    uint64_t at = 0;
    int r = 0;

    for (unsigned i = 0; i < m->image->block_count && r >= 0; i++) {
        uint64_t bytes = m->image->blocks[i].used_bytes;

        r = place(m, i, 0, bytes, at);
        m->ram = true;
        if (gw_add_overflows(at, gw_div_up(bytes, GW_GIB) * GW_GIB, &at))
            return gw_fail(m->err, -EINVAL, GW_BLAME_PEER, "the RAM is larger than all addresses");
    }
    return r;
}

static int place_by_type(struct mapper *m)
{
    uint64_t top = FOUR_GIB;
    int r;

    if (m->kind == GW_KIND_UNKNOWN)
        return 0;
    m->arch = m->kind == GW_KIND_VIRT_ARM     ? GW_ARCH_ARM64
              : m->kind == GW_KIND_VIRT_RISCV ? GW_ARCH_RISCV64
              : m->kind == GW_KIND_FLAT       ? GW_ARCH_UNKNOWN
                                              : GW_ARCH_X86;
    if (m->kind == GW_KIND_GODWIT)
        return place_godwit(m);
    r = place_ram(m);
    if (r >= 0)
        r = place_plugged(m);
    if (r >= 0 && m->kind == GW_KIND_VIRT_ARM) {
        r = place_block(m, "virt.flash0", 0);
        return r < 0 ? r : place_block(m, "virt.flash1", 64 * GW_MIB);
    }
    if (r < 0 || !is_pc(m->kind))
        return r;
    r = place_roms(m);
    if (r >= 0)
        r = place_below(m, "pc.bios", &top);
    if (r >= 0)
        r = place_below(m, "system.flash0", &top);
    return r < 0 ? r : place_below(m, "system.flash1", &top);
}

static int place_told(struct mapper *m)
{
    for (unsigned i = 0; i < m->options->place_count; i++) {
        const struct gw_elf_place *p = &m->options->places[i];
        int block = gw_peek_block(m->image, p->block), r;
        uint64_t used = block < 0 ? 0 : m->image->blocks[block].used_bytes, page = m->image->page_bytes;
        uint64_t bytes = p->bytes || p->offset > used ? p->bytes : used - p->offset;

        if (block < 0)
            return gw_fail(m->err, -EINVAL, GW_BLAME_CALLER, "there is no RAM block %s that could be at 0x%" PRIx64,
                           p->block, p->address);
        if (p->offset > used || bytes > used - p->offset || p->offset % page || bytes % page)
            return gw_fail(m->err, -EINVAL, GW_BLAME_CALLER,
                           "0x%" PRIx64 " bytes from 0x%" PRIx64 " on are not a part of RAM block %s, which has 0x%" PRIx64
                           " bytes, in whole pages of %" PRIu64,
                           bytes, p->offset, p->block, used, page);
        m->told = m->placed.count + 1; /* keeps the caller's ranges */
        r = add(m, &m->placed, (struct gw_physical_range){(unsigned)block, p->offset, bytes, p->address});
        if (r < 0)
            return r;
        m->ram = true;
        if (!p->offset && (!m->word[block].begin || p->address < m->word[block].address))
            m->word[block] = (struct gw_ram_told){.begin = true, .address = p->address, .whole = bytes == used};
    }
    m->told = m->placed.count;
    return 0;
}

/* ---- what is left ------------------------------------------------------------------------------------------------ */

static int by_address(const void *a, const void *b)
{
    const struct gw_physical_range *x = a, *y = b;

    return x->address < y->address ? -1 : x->address > y->address;
}

static int by_block(const void *a, const void *b)
{
    const struct gw_physical_range *x = a, *y = b;

    if (x->block != y->block)
        return x->block < y->block ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static bool is_told(const struct mapper *m, unsigned block)
{
    for (unsigned i = 0; i < m->told; i++)
        if (m->placed.ranges[i].block == block)
            return true;
    return false;
}

static const char *why_left(const struct mapper *m, unsigned block)
{
    const struct gw_ram_blocks *b = &m->layout.blocks;

    if (gw_plugged_is(m->devices, m->image->blocks[block].name))
        return plugged;
    if (gw_ram_of_a_device(m->image->blocks[block].name))
        return of_device;
    for (unsigned i = 0; i < b->count; i++)
        if (b->slots[i].block == (int)block)
            return no_upper;
    for (unsigned i = 0; i < b->count; i++)
        if (b->slots[i].block < 0 && b->slots[i].bytes == m->image->blocks[block].used_bytes)
            return no_order;
    if (is_told(m, block))
        return part_told;
    return m->kind == GW_KIND_UNKNOWN ? no_type : b->count ? plugged : m->layout.why;
}

static int add_left(struct mapper *m, struct gw_physical *map, unsigned block, uint64_t offset, uint64_t end)
{
    struct gw_physical_left *grown;
    const char *why;

    if (offset >= end)
        return 0;
    grown = realloc(map->left, (map->left_count + 1) * sizeof *grown);
    if (!grown)
        return gw_nomem(m->err, "physical memory");
    map->left = grown;
    why = why_left(m, block);
    grown[map->left_count++] = (struct gw_physical_left){block, offset, end - offset, why, why == of_device};
    return 0;
}

static int find_left(struct mapper *m, struct gw_physical *map)
{
    unsigned count = m->placed.count + m->hidden.count, k = 0;
    GW_AUTOFREE struct gw_physical_range *all = calloc(GW_MAX(count, 1u), sizeof *all);
    int r = 0;

    if (!all)
        return gw_nomem(m->err, "physical memory");
    for (unsigned i = 0; i < m->placed.count; i++)
        all[i] = m->placed.ranges[i];
    for (unsigned i = 0; i < m->hidden.count; i++)
        all[m->placed.count + i] = m->hidden.ranges[i];
    qsort(all, count, sizeof *all, by_block);
    for (unsigned i = 0; i < m->image->block_count && r >= 0; i++) {
        uint64_t at = 0;

        for (; k < count && all[k].block == i && r >= 0; k++) {
            r = add_left(m, map, i, at, all[k].offset);
            at = GW_MAX(at, all[k].offset + all[k].bytes);
        }
        if (r >= 0)
            r = add_left(m, map, i, at, m->image->blocks[i].used_bytes);
    }
    return r;
}

static int check(struct mapper *m, const struct gw_physical *map)
{
    const struct gw_physical_range *list = m->placed.ranges;

    for (unsigned i = 0; i < map->left_count && !m->ram; i++)
        if (!map->left[i].device)
            return gw_fail(
                m->err, -EINVAL, GW_BLAME_CALLER,
                "nothing of the RAM of machine '%s' can be placed: give its addresses (NAME=ADDRESS): %s: %s",
                m->image->machine, m->image->blocks[map->left[i].block].name, map->left[i].why);
    if (!m->ram)
        return gw_fail(m->err, -EINVAL, GW_BLAME_CALLER, "machine '%s' has no block that could be its RAM",
                       m->image->machine);
    qsort(m->placed.ranges, m->placed.count, sizeof *list, by_address);
    for (unsigned i = 1; i < m->placed.count; i++)
        if (list[i].address - list[i - 1].address < list[i - 1].bytes)
            return gw_fail(m->err, -EINVAL, GW_BLAME_CALLER,
                           "RAM block %s at 0x%" PRIx64 " overlaps RAM block %s at 0x%" PRIx64,
                           m->image->blocks[list[i].block].name, list[i].address,
                           m->image->blocks[list[i - 1].block].name, list[i - 1].address);
    return 0;
}

int gw_physical_map(struct gw_image *image, const struct gw_image_devices *devices,
                    const struct gw_elf_options *options, struct gw_physical *ret, struct gw_error *err)
{
    GW_AUTOFREE struct gw_ram_told *word = calloc(GW_MAX(image->block_count, 1u), sizeof *word);
    GW_AUTOFREE struct mapper *m = calloc(1, sizeof *m);
    struct gw_physical map = {.count = 0};
    int r;

    if (!word || !m)
        return gw_nomem(err, "physical memory");
    *m = (struct mapper){.image = image,
                         .devices = devices,
                         .options = options,
                         .kind = gw_machine_kind_of(image, devices),
                         .word = word,
                         .err = err};
    r = place_told(m);
    if (r >= 0)
        r = place_by_type(m);
    if (r >= 0)
        r = find_left(m, &map);
    if (r >= 0)
        r = check(m, &map);
    free(m->hidden.ranges);
    map.arch = m->arch;
    map.ranges = m->placed.ranges;
    map.count = m->placed.count;
    if (r < 0)
        gw_physical_close(&map);
    else
        *ret = map;
    return r;
}

void gw_physical_close(struct gw_physical *p)
{
    free(p->ranges);
    free(p->left);
    *p = (struct gw_physical){0};
}
