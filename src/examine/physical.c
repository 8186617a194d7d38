/* SPDX-License-Identifier: MIT */
#include "examine/physical.h"

#include "state/values.h"

#define FOUR_GIB   (4 * GW_GIB)
#define CMOS_BYTES 128u

enum kind { KIND_UNKNOWN, KIND_PC, KIND_Q35, KIND_MICROVM, KIND_VIRT_ARM, KIND_VIRT_RISCV, KIND_FLAT, KIND_GODWIT };

struct mapper {
    const struct gw_image *image;
    enum kind kind;
    struct gw_physical map;
    bool *placed; /* of each block */
    struct gw_error *err;
};

static bool begins(const char *s, const char *with)
{
    return !strncmp(s, with, strlen(with));
}

static bool has_block(const struct gw_image *image, const char *name)
{
    for (unsigned i = 0; i < image->block_count; i++)
        if (!strcmp(image->blocks[i].name, name))
            return true;
    return false;
}

/* The bridge at the root of a PC's buses: for types of other vendors' names, and streams that do not tell the type. */
static enum kind kind_by_bridge(const struct gw_image_devices *devices)
{
    for (unsigned i = 0; i < devices->count; i++) {
        if (!strcmp(devices->list[i].name, "0000:00:00.0/I440FX"))
            return KIND_PC;
        if (!strcmp(devices->list[i].name, "0000:00:00.0/mch"))
            return KIND_Q35;
    }
    return KIND_UNKNOWN;
}

static enum kind kind_of(const struct gw_image *image, const struct gw_image_devices *devices)
{
    const char *m = image->machine;

    if (begins(m, "pc-q35-"))
        return KIND_Q35;
    if (begins(m, "pc-") || !strcmp(m, "isapc"))
        return KIND_PC;
    if (begins(m, "microvm"))
        return KIND_MICROVM;
    if (has_block(image, "riscv_virt_board.ram"))
        return KIND_VIRT_RISCV;
    if (begins(m, "virt-"))
        return KIND_VIRT_ARM;
    if (begins(m, "godwit"))
        return KIND_GODWIT;
    return !strcmp(m, "none") ? KIND_FLAT : kind_by_bridge(devices);
}

/* ---- placing ----------------------------------------------------------------------------------------------------- */

static int place(struct mapper *m, unsigned block, uint64_t offset, uint64_t bytes, uint64_t address)
{
    struct gw_physical_range *grown;
    uint64_t end;

    m->placed[block] = true;
    if (!bytes)
        return 0;
    if (gw_add_overflows(address, bytes - 1, &end))
        return gw_fail(m->err, -EINVAL, GW_BLAME_CALLER,
                       "RAM block %s at 0x%" PRIx64 " goes beyond the end of all addresses",
                       m->image->blocks[block].name, address);
    grown = realloc(m->map.ranges, (m->map.count + 1) * sizeof *grown);
    if (!grown)
        return gw_nomem(m->err, "physical memory");
    m->map.ranges = grown;
    grown[m->map.count++] = (struct gw_physical_range){block, offset, bytes, address};
    return 0;
}

static int find(struct mapper *m, const char *name)
{
    for (unsigned i = 0; i < m->image->block_count; i++)
        if (!strcmp(m->image->blocks[i].name, name) && !m->placed[i])
            return (int)i;
    return -1;
}

/* Ends at top. */
static int place_below(struct mapper *m, const char *name, uint64_t *top)
{
    int i = find(m, name);
    uint64_t bytes = i < 0 ? 0 : m->image->blocks[i].used_bytes;

    if (i < 0 || bytes > *top)
        return 0;
    *top -= bytes;
    return place(m, (unsigned)i, 0, bytes, *top);
}

static int place_at(struct mapper *m, const char *name, uint64_t address)
{
    int i = find(m, name);

    return i < 0 ? 0 : place(m, (unsigned)i, 0, m->image->blocks[i].used_bytes, address);
}

/* ---- which block is the RAM -------------------------------------------------------------------------------------- */

static bool of_a_device(const char *name)
{
    static const char *const known[] = {"pc.bios",       "pc.rom",        "isa-bios",    "vga.vram",
                                        "system.flash0", "system.flash1", "virt.flash0", "virt.flash1",
                                        "ramfb",         "tpm-crb-cmd",   "tpm-ppi"};

    for (size_t i = 0; i < GW_ARRAY_LEN(known); i++)
        if (!strcmp(name, known[i]))
            return true;
    return strchr(name, '/') != NULL && !begins(name, "/objects/");
}

/* "ram-node0", "ram-node1", ...: memory of NUMA nodes, one behind the other. 1: it is *ret's successor of this number.
 */
static bool is_numbered(const char *name, const char *first, unsigned number)
{
    size_t n = strlen(first), stem = n;
    char *end;

    if (!n || first[n - 1] != '0')
        return false;
    stem--;
    return !strncmp(name, first, stem) && name[stem] >= '0' && name[stem] <= '9' &&
           strtoul(name + stem, &end, 10) == number && !*end;
}

/* The blocks of the RAM in the order of their addresses. */
static int find_ram(struct mapper *m, unsigned *order, unsigned *ret_count)
{
    unsigned candidates = 0, zero = 0, count = 0;
    char names[200] = "";

    for (unsigned i = 0; i < m->image->block_count; i++) {
        const char *name = m->image->blocks[i].name;
        size_t used = strlen(names);

        if (m->placed[i] || of_a_device(name))
            continue;
        if (used + strlen(name) + 3 < sizeof names) {
            strcpy(names + used, used ? ", " : "");
            strcat(names, name);
        }
        order[candidates++] = i;
        if (is_numbered(name, name, 0))
            zero = i;
    }
    if (candidates <= 1 || m->kind == KIND_FLAT) {
        *ret_count = GW_MIN(candidates, 1u);
        return 0;
    }
    for (; count < candidates; count++) {
        unsigned i = 0;

        while (i < m->image->block_count &&
               (m->placed[i] || of_a_device(m->image->blocks[i].name) ||
                !is_numbered(m->image->blocks[i].name, m->image->blocks[zero].name, count)))
            i++;
        if (i == m->image->block_count)
            return gw_fail(m->err, -EINVAL, GW_BLAME_CALLER,
                           "which of the RAM blocks %s lies where in the guest's memory has to be told (NAME=ADDRESS)",
                           names);
        order[count] = i;
    }
    *ret_count = count;
    return 0;
}

/* ---- PCs --------------------------------------------------------------------------------------------------------- */

struct cmos {
    uint8_t bytes[CMOS_BYTES];
    bool found;
};

static int on_cmos(void *opaque, const struct gw_value *v)
{
    struct cmos *cmos = opaque;

    if (strcmp(v->path, "cmos_data") != 0 || v->bytes * v->count != CMOS_BYTES)
        return 0;
    memcpy(cmos->bytes, v->data, CMOS_BYTES);
    cmos->found = true;
    return 0;
}

/* How much RAM lies below 4 GiB, as the firmware finds it in CMOS; 0: it says nothing that can be. */
static int below_by_cmos(const struct gw_image_devices *devices, uint64_t ram_bytes, uint64_t *ret,
                         struct gw_error *err)
{
    struct cmos cmos = {.found = false};
    uint64_t below, above;

    *ret = 0;
    for (unsigned i = 0; i < devices->count && !cmos.found; i++) {
        const struct gw_image_device *d = &devices->list[i];
        int r;

        if (!d->state || strcmp(d->name, "mc146818rtc") != 0)
            continue;
        r = gw_values_walk(d->state, d->body, (size_t)d->body_bytes, on_cmos, &cmos, err);
        if (r < 0)
            return r;
    }
    if (!cmos.found)
        return 0;
    below = (uint64_t)(cmos.bytes[0x34] | cmos.bytes[0x35] << 8) * 65536 + 16 * GW_MIB;
    above = (uint64_t)(cmos.bytes[0x5b] | cmos.bytes[0x5c] << 8 | (uint32_t)cmos.bytes[0x5d] << 16) * 65536;
    if (below <= ram_bytes && below + above == ram_bytes)
        *ret = below;
    return 0;
}

static uint64_t below_by_type(enum kind kind, const char *machine, uint64_t ram_bytes)
{
    if (kind == KIND_PC && (begins(machine, "pc-i440fx-1.") || begins(machine, "pc-1.") || begins(machine, "pc-0.")))
        return GW_MIN(ram_bytes, 3584 * GW_MIB);
    if (kind == KIND_PC)
        return ram_bytes >= 3584 * GW_MIB ? 3 * GW_GIB : ram_bytes;
    if (kind == KIND_MICROVM)
        return GW_MIN(ram_bytes, 3 * GW_GIB);
    return ram_bytes >= 2816 * GW_MIB ? 2 * GW_GIB : ram_bytes;
}

static int place_ram(struct mapper *m, const unsigned *order, unsigned count, uint64_t split, uint64_t low,
                     uint64_t high)
{
    uint64_t at = 0; /* in the RAM as a whole */
    int r = 0;

    for (unsigned i = 0; i < count && r >= 0; i++) {
        uint64_t bytes = m->image->blocks[order[i]].used_bytes;
        uint64_t first = at < split ? GW_MIN(bytes, split - at) : 0;

        r = place(m, order[i], 0, first, low + at);
        if (r >= 0)
            r = place(m, order[i], first, bytes - first, high + (at + first - split));
        at += bytes;
    }
    return r;
}

static int map_pc(struct mapper *m, const struct gw_image_devices *devices, const unsigned *order, unsigned count,
                  uint64_t ram_bytes)
{
    uint64_t split = 0, top = FOUR_GIB;
    int r = below_by_cmos(devices, ram_bytes, &split, m->err);

    if (r < 0)
        return r;
    m->map.arch = GW_ARCH_X86;
    if (!split)
        split = below_by_type(m->kind, m->image->machine, ram_bytes);
    r = place_ram(m, order, count, split, 0, FOUR_GIB);
    if (r >= 0)
        r = place_below(m, "pc.bios", &top);
    if (r >= 0)
        r = place_below(m, "system.flash0", &top);
    if (r >= 0)
        r = place_below(m, "system.flash1", &top);
    return r;
}

/* The machine in the box: each block at the next multiple of 1 GiB (docs/machine.md). */
static int map_godwit(struct mapper *m)
{
    uint64_t at = 0;
    int r = 0;

    m->map.arch = GW_ARCH_X86;
    for (unsigned i = 0; i < m->image->block_count && r >= 0; i++) {
        uint64_t bytes = m->image->blocks[i].used_bytes;

        if (!m->placed[i])
            r = place(m, i, 0, bytes, at);
        if (gw_add_overflows(at, gw_div_up(bytes, GW_GIB) * GW_GIB, &at))
            return gw_fail(m->err, -EINVAL, GW_BLAME_PEER, "the RAM is larger than all addresses");
    }
    return r;
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

static int map_by_type(struct mapper *m, const struct gw_image_devices *devices)
{
    GW_AUTOFREE unsigned *order = calloc(GW_MAX(m->image->block_count, 1u), sizeof *order);
    uint64_t ram_bytes = 0;
    unsigned count = 0;
    int r;

    if (!order)
        return gw_nomem(m->err, "physical memory");
    if (m->kind == KIND_UNKNOWN)
        return 0;
    if (m->kind == KIND_GODWIT)
        return map_godwit(m);
    r = find_ram(m, order, &count);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < count; i++)
        if (gw_add_overflows(ram_bytes, m->image->blocks[order[i]].used_bytes, &ram_bytes))
            return gw_fail(m->err, -EINVAL, GW_BLAME_PEER, "the RAM is larger than all addresses");
    switch (m->kind) {
    case KIND_PC:
    case KIND_Q35:
    case KIND_MICROVM:
        return map_pc(m, devices, order, count, ram_bytes);
    case KIND_VIRT_ARM:
        m->map.arch = GW_ARCH_ARM64;
        r = place_ram(m, order, count, ram_bytes, GW_GIB, 0);
        if (r >= 0)
            r = place_at(m, "virt.flash0", 0);
        return r < 0 ? r : place_at(m, "virt.flash1", 64 * GW_MIB);
    case KIND_VIRT_RISCV:
        m->map.arch = GW_ARCH_RISCV64;
        return place_ram(m, order, count, ram_bytes, 2 * GW_GIB, 0);
    default:
        return place_ram(m, order, count, ram_bytes, 0, 0);
    }
}

static int place_told(struct mapper *m, const struct gw_elf_place *places, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        int at = find(m, places[i].block), r;

        if (at < 0)
            return gw_fail(m->err, -EINVAL, GW_BLAME_CALLER, "there is no RAM block %s that could be at 0x%" PRIx64,
                           places[i].block, places[i].address);
        r = place(m, (unsigned)at, 0, m->image->blocks[at].used_bytes, places[i].address);
        if (r < 0)
            return r;
    }
    return 0;
}

static int by_address(const void *a, const void *b)
{
    const struct gw_physical_range *x = a, *y = b;

    return x->address < y->address ? -1 : x->address > y->address;
}

static int check(struct mapper *m)
{
    const struct gw_physical_range *list = m->map.ranges;

    if (!m->map.count)
        return gw_fail(m->err, -EINVAL, GW_BLAME_CALLER,
                       "where the RAM of machine '%s' lies in its guest's memory is not known and has to be told "
                       "(NAME=ADDRESS)",
                       m->image->machine);
    qsort(m->map.ranges, m->map.count, sizeof *list, by_address);
    for (unsigned i = 1; i < m->map.count; i++)
        if (list[i].address - list[i - 1].address < list[i - 1].bytes)
            return gw_fail(m->err, -EINVAL, GW_BLAME_CALLER,
                           "RAM block %s at 0x%" PRIx64 " overlaps RAM block %s at 0x%" PRIx64,
                           m->image->blocks[list[i].block].name, list[i].address,
                           m->image->blocks[list[i - 1].block].name, list[i - 1].address);
    return 0;
}

int gw_physical_map(const struct gw_image *image, const struct gw_image_devices *devices,
                    const struct gw_elf_place *places, unsigned place_count, struct gw_physical *ret,
                    struct gw_error *err)
{
    struct mapper m = {.image = image, .kind = kind_of(image, devices), .err = err};
    int r;

    m.placed = calloc(GW_MAX(image->block_count, 1u), sizeof *m.placed);
    if (!m.placed)
        return gw_nomem(err, "physical memory");
    r = place_told(&m, places, place_count);
    if (r >= 0)
        r = map_by_type(&m, devices);
    if (r >= 0)
        r = check(&m);
    free(m.placed);
    if (r < 0)
        gw_physical_close(&m.map);
    else
        *ret = m.map;
    return r;
}

void gw_physical_close(struct gw_physical *p)
{
    free(p->ranges);
    *p = (struct gw_physical){0};
}
