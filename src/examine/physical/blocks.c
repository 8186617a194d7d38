/* SPDX-License-Identifier: MIT */
#include "examine/physical/blocks.h"

#include "examine/physical/peek.h"

#define ROOTS_MAX 64u /* limit of blocks searched for tables, if there is a choice of blocks */

struct finder {
    struct gw_image *image;
    const uint64_t *told;
    uint64_t first_bytes;
    struct gw_ram_blocks *ret;
    bool *taken; /* of each block */
    struct gw_error *err;
};

bool gw_ram_of_a_device(const char *name)
{
    static const char *const known[] = {
        "pc.bios",     "pc.rom",      "isa-bios",    "vga.vram", "vmsvga.fifo", "system.flash0",        "system.flash1",
        "virt.flash0", "virt.flash1", "tpm-crb-cmd", "tpm-ppi",  "ramfb",       "riscv_virt_board.mrom"};

    for (size_t i = 0; i < GW_ARRAY_LEN(known); i++)
        if (!strcmp(name, known[i]))
            return true;
    return strchr(name, '/') != NULL && strncmp(name, "/objects/", 9) != 0;
}

static bool is_candidate(const struct finder *f, unsigned i)
{
    return f->told[i] != GW_RAM_ELSEWHERE && !f->taken[i] && !gw_ram_of_a_device(f->image->blocks[i].name);
}

static bool fits(const struct gw_ram_total *total, uint64_t bytes)
{
    if (!total->bytes)
        return true;
    if (total->exact || bytes < total->bytes)
        return bytes == total->bytes;
    return (bytes - total->bytes) % (1024 * GW_GIB) == 0 || (total->below_only && bytes - total->bytes < 65536);
}

/* ---- by what is in them ------------------------------------------------------------------------------------------ */

/* 1: if this block is the first, the firmware's tables begin in it; *ret_slot at *ret_offset has the root table. */
static int find_root(struct finder *f, unsigned block, unsigned *ret_slot, uint64_t *ret_offset)
{
    uint64_t root = 0;
    int r = gw_acpi_root(f->image, block, &root, f->err);

    if (r < 0 || !root || root >= f->first_bytes)
        return r;
    for (unsigned i = 0; i < f->ret->count; i++) {
        const struct gw_ram_slot *s = &f->ret->slots[i];

        if (root >= s->offset && root - s->offset < s->bytes) {
            *ret_slot = i;
            *ret_offset = root - s->offset;
            return 1;
        }
    }
    return 0;
}

static bool may_be(const struct finder *f, unsigned block, unsigned slot)
{
    const struct gw_ram_slot *s = &f->ret->slots[slot];

    if (s->block >= 0)
        return s->block == (int)block;
    return is_candidate(f, block) && f->image->blocks[block].used_bytes == s->bytes &&
           (f->told[block] == GW_RAM_ANYWHERE || f->told[block] == s->offset);
}

/* 1: exactly one block can be the first, with one block for the root table that it points to. */
static int by_tables(struct finder *f, unsigned *ret_first, unsigned *ret_slot, unsigned *ret_block)
{
    unsigned found = 0, searched = 0;

    for (unsigned i = 0; i < f->image->block_count && f->first_bytes; i++) {
        unsigned slot = 0;
        uint64_t offset = 0;
        int r;

        if (!may_be(f, i, 0))
            continue;
        r = ++searched > ROOTS_MAX ? 0 : find_root(f, i, &slot, &offset);
        if (r < 0)
            return r;
        for (unsigned k = 0; r && k < f->image->block_count; k++) {
            int is;

            if ((k == i) != (slot == 0) || !may_be(f, k, slot))
                continue;
            is = ++searched > ROOTS_MAX ? 0 : gw_acpi_is_root(f->image, k, offset, f->err);
            if (is < 0)
                return is;
            if (!is)
                continue;
            found++;
            *ret_first = i;
            *ret_slot = slot;
            *ret_block = k;
        }
    }
    return found == 1 && searched <= ROOTS_MAX;
}

/* ---- by size ----------------------------------------------------------------------------------------------------- */

static void take(struct finder *f, unsigned slot, unsigned block)
{
    f->ret->slots[slot].block = (int)block;
    f->taken[block] = true;
}

static void by_word(struct finder *f)
{
    for (unsigned s = 0; s < f->ret->count; s++)
        for (unsigned i = 0; i < f->image->block_count && f->ret->slots[s].block < 0; i++)
            if (f->told[i] == f->ret->slots[s].offset && may_be(f, i, s))
                take(f, s, i);
}

/* Fills slots whose size only one remaining block and one remaining slot have. */
static void by_size(struct finder *f)
{
    for (unsigned s = 0; s < f->ret->count; s++) {
        unsigned slots = 0, blocks = 0, block = 0;

        if (f->ret->slots[s].block >= 0)
            continue;
        for (unsigned i = 0; i < f->ret->count; i++)
            slots += f->ret->slots[i].block < 0 && f->ret->slots[i].bytes == f->ret->slots[s].bytes;
        for (unsigned i = 0; i < f->image->block_count; i++) {
            if (may_be(f, i, s)) {
                blocks++;
                block = i;
            }
        }
        if (slots == 1 && blocks == 1)
            take(f, s, block);
    }
}

static int assign(struct finder *f)
{
    unsigned first = 0, slot = 0, block = 0;
    int r;

    by_word(f);
    by_size(f);
    r = by_tables(f, &first, &slot, &block);
    if (r < 0)
        return r;
    if (r) {
        take(f, 0, first);
        take(f, slot, block);
    }
    by_size(f);
    return 0;
}

/* ---- one or several ---------------------------------------------------------------------------------------------- */

/* Whether there are enough blocks of each size. */
static bool enough(const struct finder *f, const uint64_t *nodes, unsigned count)
{
    for (unsigned s = 0; s < count; s++) {
        unsigned slots = 0, blocks = 0;

        for (unsigned i = 0; i < count; i++)
            slots += nodes[i] == nodes[s];
        for (unsigned i = 0; i < f->image->block_count; i++)
            blocks += is_candidate(f, i) && f->image->blocks[i].used_bytes == nodes[s];
        if (blocks < slots)
            return false;
    }
    return true;
}

static bool may_be_all(const struct finder *f, struct gw_ram_total total, unsigned i)
{
    return is_candidate(f, i) && fits(&total, f->image->blocks[i].used_bytes) &&
           (f->told[i] == GW_RAM_ANYWHERE || !f->told[i]);
}

static int find(struct finder *f, struct gw_ram_total total, const uint64_t *nodes, unsigned node_count)
{
    unsigned alone = 0, sizes = 0;
    uint64_t bytes = 0;
    bool told = false; /* whether the caller has placed one of them there */

    for (unsigned i = 0; i < f->image->block_count; i++)
        told |= !f->told[i] && may_be_all(f, total, i);
    for (unsigned i = 0; i < f->image->block_count; i++) {
        if (!may_be_all(f, total, i) || (told && f->told[i]))
            continue;
        sizes += f->image->blocks[i].used_bytes != bytes;
        bytes = f->image->blocks[i].used_bytes;
        alone++;
    }
    if (alone && node_count > 1 && enough(f, nodes, node_count)) {
        f->ret->choice = true;
        return 0;
    }
    if (alone && (sizes > 1 || (alone > 1 && !total.bytes))) {
        f->ret->choice = true;
        return 0;
    }
    if (alone) {
        f->ret->slots[0] = (struct gw_ram_slot){0, bytes, -1};
        f->ret->count = 1;
    } else if (node_count > 1 && enough(f, nodes, node_count)) {
        for (unsigned i = 0; i < node_count; i++) {
            f->ret->slots[i] = (struct gw_ram_slot){bytes, nodes[i], -1};
            bytes += nodes[i];
        }
        f->ret->count = node_count;
    } else {
        return 0;
    }
    return assign(f);
}

int gw_ram_blocks_find(struct gw_image *image, const uint64_t *told, struct gw_ram_total total, const uint64_t *nodes,
                       unsigned node_count, uint64_t first_bytes, struct gw_ram_blocks *ret, struct gw_error *err)
{
    GW_AUTOFREE bool *taken = calloc(GW_MAX(image->block_count, 1u), sizeof *taken);
    struct finder f = {
        .image = image, .told = told, .first_bytes = first_bytes, .ret = ret, .taken = taken, .err = err};

    *ret = (struct gw_ram_blocks){.count = 0};
    return taken ? find(&f, total, nodes, node_count) : gw_nomem(err, "physical memory");
}
