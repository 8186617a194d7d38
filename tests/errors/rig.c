/* SPDX-License-Identifier: MIT */
#include "rig.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>

#include "engine/recv.h"

#include "../unit/state/zoo.h"

#define GUARD 4096

const struct gw_ram_desc rig_blocks[RIG_BLOCKS] = {
    {.name = "low", .used_bytes = 8 * 4096, .max_bytes = 8 * 4096, .flags = GW_RAM_FRESH},
    {.name = "high", .used_bytes = 16 * 4096, .max_bytes = 16 * 4096, .gpa = 1 << 20, .flags = GW_RAM_FRESH},
    {.name = "rom", .used_bytes = 2 * 4096, .max_bytes = 2 * 4096, .gpa = 2 << 20, .flags = GW_RAM_READONLY},
    {.name = "vram", .used_bytes = 4 * 4096, .max_bytes = 8 * 4096, .gpa = 3 << 20, .flags = GW_RAM_RESIZEABLE},
    {.name = "local", .used_bytes = 2 * 4096, .max_bytes = 4 * 4096, .gpa = 4 << 20,
     .flags = GW_RAM_RESIZEABLE | GW_RAM_NO_MIGRATE},
};

/* ---- the machine -------------------------------------------------------------------------------------------------- */

static int op_stop(void *opaque, struct gw_error *err)
{
    struct rig *g = opaque;

    g->running = false;
    g->stops++;
    return 0;
}

static int op_start(void *opaque, struct gw_error *err)
{
    struct rig *g = opaque;

    if (g->fail_start)
        return gw_fail(err, -EIO, GW_BLAME_EMBEDDER, "a vCPU does not start");
    g->running = true;
    g->starts++;
    return 0;
}

static bool op_running(void *opaque)
{
    return ((struct rig *)opaque)->running;
}

static void op_handed_over(void *opaque, enum gw_hand_over what)
{
    struct rig *g = opaque;

    g->arrived += what == GW_HAND_OVER_ARRIVED;
    g->left += what == GW_HAND_OVER_LEFT;
    g->revoked += what == GW_HAND_OVER_REVOKED;
}

static const struct gw_vm_ops vm_ops = {
    GW_SIZED(struct gw_vm_ops), .stop = op_stop, .start = op_start, .running = op_running, .handed_over = op_handed_over};

static int old_save(void *device, struct gw_sink *sink, struct gw_error *err)
{
    const struct rig_old *o = device;

    gw_sink_put(sink, &o->n, sizeof o->n);
    gw_sink_put(sink, o->bytes, o->n);
    return 0;
}

static int old_load(void *device, uint32_t version, struct gw_supply *supply, struct gw_error *err)
{
    struct rig_old *o = device;
    uint32_t n;
    int r = gw_supply_get(supply, &n, sizeof n, err);

    if (r < 0)
        return r;
    if (n > sizeof o->bytes)
        return -EPROTO; /* fails without a text, as embedders do */
    o->n = n;
    return gw_supply_get(supply, o->bytes, n, err);
}

static const struct gw_legacy_ops old_ops = {.save = old_save, .load = old_load};

static bool is_rig(const struct rig *g)
{
    return g->block_count == RIG_BLOCKS;
}

static void fill(struct rig *g, uint64_t seed, unsigned pages)
{
    struct zoo_rng rng = {seed};
    unsigned left = pages;

    for (unsigned i = 0; i < g->block_count; i++)
        memset(g->ram[i], 0, g->blocks[i].max_bytes);
    if (is_rig(g))
        memset(g->ram[RIG_LOCAL], 0x5c, rig_blocks[RIG_LOCAL].max_bytes);
    if (!pages)
        return;
    /* A run of pages in "high", the block used for guesses; then single pages elsewhere. */
    for (unsigned k = 0; k < 9 && left; k++, left--)
        zoo_fill(g->ram[1] + 4096 * (k + 2), 4096, &rng);
    for (unsigned k = 0; k < 2 && left; k++, left--)
        zoo_fill(g->ram[2] + 4096 * k, 4096, &rng);
    for (unsigned k = 0; k < 4 && left; k++, left--)
        zoo_fill(g->ram[0] + 4096 * (2 * k + 1), 4096, &rng);
    if (left)
        zoo_fill(g->ram[3] + 4096, 4096, &rng);
}

/* Moves the contents of `from` to `to`, whose address stays. */
static void zoo_become(struct zoo *to, struct zoo *from)
{
    struct zoo old = *to;
    struct zoo *gone = malloc(sizeof *gone);

    *to = *from;
    *gone = old;
    free(from);
    zoo_free(gone);
}

/* The conditions of subsections are not sent: they are the same on both sides, or false where the subsection may
 * come. */
static void settle(struct zoo *z, unsigned i, bool waits)
{
    z->has_sub = z->has_deep = i == 0;
    z->has_sub2 = true;
    if (!waits)
        return;
    z->cage.bits = z->far_cage->bits = 0;
    for (unsigned k = 0; k < 5; k++)
        z->cages_n[k].bits = 0;
    for (unsigned k = 0; k < 4; k++)
        if (z->maybe[k])
            z->maybe[k]->bits = 0;
}

static uint64_t device_seed(uint64_t seed, unsigned pages, unsigned i)
{
    return (pages ? seed : ~seed) * 2 + i;
}

void rig_reset(struct rig *g, uint64_t seed, unsigned pages)
{
    struct zoo_rng rng = {seed + pages};

    for (unsigned i = 0; is_rig(g) && i < 2; i++) {
        zoo_become(g->zoo[i], zoo_make(device_seed(seed, pages, i), i ? 5 : 2));
        settle(g->zoo[i], i, !pages);
    }
    g->timer.ticks = g->timer.clock = 0;
    g->old = (struct rig_old){.n = pages ? 11 : 0};
    zoo_fill(g->old.bytes, g->old.n, &rng);
    fill(g, seed, pages);
    for (unsigned i = 0; i < g->block_count; i++) {
        struct gw_ram_block *b = g->vm->ram.blocks[i];

        b->flags = g->blocks[i].flags;
        b->used_bytes = g->blocks[i].used_bytes;
        b->pages = b->used_bytes >> g->vm->ram.page_bits;
    }
    g->running = g->fail_start = false;
    g->starts = g->stops = g->arrived = g->left = g->revoked = 0;
    g->log[0] = 0;
}

static int make(struct rig *g, const char *machine, const struct gw_ram_desc *blocks, unsigned count,
                struct gw_error *err)
{
    struct gw_vm_config config = {.machine = machine, .page_bytes = 4096, .ops = &vm_ops, .opaque = g};
    int r;

    memset(g, 0, sizeof *g);
    pthread_mutex_init(&g->lock, NULL);
    g->blocks = blocks;
    g->block_count = count;
    r = gw_vm_new(&config, &g->vm, err);
    for (unsigned i = 0; r >= 0 && i < count; i++) {
        struct gw_ram_desc d = blocks[i];
        uint8_t *p = mmap(NULL, d.max_bytes + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (p == MAP_FAILED || mprotect(p + GUARD, d.max_bytes, PROT_READ | PROT_WRITE))
            return gw_nomem(err, "test machine");
        d.host = g->ram[i] = p + GUARD;
        r = gw_vm_add_ram(g->vm, &d, err);
    }
    return r < 0 ? r : gw_vm_set_tracker(g->vm, &(struct gw_tracker_config){.kind = GW_TRACKER_EXPLICIT}, err);
}

struct rig_timer {
    int64_t ticks, clock;
};

int rig_new_none(struct rig *g, struct gw_error *err)
{
    static const struct gw_ram_desc block = {.name = "r", .used_bytes = 65536, .max_bytes = 65536, .flags = GW_RAM_FRESH};
    static const struct gw_field fields[] = {
        GW_FIELD(struct rig_timer, ticks),
        GW_UNUSED_BYTES(8),
        GW_FIELD_SINCE(2, struct rig_timer, clock),
        GW_END,
    };
    static const struct gw_state timer = {.name = "timer", .version = 2, .oldest = 1, .fields = fields};
    int r = make(g, "none", &block, 1, err);

    return r < 0 ? r : gw_registry_add(gw_vm_registry(g->vm), &timer, "timer", 0, &g->timer, err);
}

int rig_new(struct rig *g, uint64_t seed, unsigned pages, struct gw_error *err)
{
    struct gw_registry *reg;
    int r = make(g, "rig-1", rig_blocks, RIG_BLOCKS, err);

    if (r < 0)
        return r;
    reg = gw_vm_registry(g->vm);
    for (unsigned i = 0; i < 2; i++)
        g->zoo[i] = zoo_make(device_seed(seed, pages, i), i ? 5 : 2);
    r = gw_registry_add(reg, &zoo_state, "zoo", 0, g->zoo[0], err);
    if (r >= 0)
        r = gw_registry_add(reg, &zoo_state, "yard/zoo", 3, g->zoo[1], err);
    if (r >= 0)
        r = gw_registry_add_alias(reg, g->zoo[1], "zoo", 1, err);
    if (r >= 0)
        r = gw_registry_add_legacy(reg, &old_ops, "old", 0, 2, &g->old, err);
    if (r >= 0)
        rig_reset(g, seed, pages);
    return r;
}

void rig_free(struct rig *g)
{
    gw_vm_free(g->vm);
    for (unsigned i = 0; i < RIG_BLOCKS; i++)
        if (g->ram[i])
            munmap(g->ram[i] - GUARD, g->blocks[i].max_bytes + 2 * GUARD);
    for (unsigned i = 0; i < 2; i++)
        if (g->zoo[i])
            zoo_free(g->zoo[i]);
    pthread_mutex_destroy(&g->lock);
}

bool rig_local_untouched(const struct rig *g)
{
    uint8_t same[4096];

    if (!is_rig(g))
        return true;
    for (uint64_t i = 0; i < rig_blocks[RIG_LOCAL].max_bytes; i += sizeof same) {
        memset(same, 0x5c, sizeof same);
        if (memcmp(g->ram[RIG_LOCAL] + i, same, sizeof same))
            return false;
    }
    return g->vm->ram.blocks[RIG_LOCAL]->used_bytes == rig_blocks[RIG_LOCAL].used_bytes;
}

/* Encoded: the data a pointer leads to instead of the pointer, and only described fields. */
static void encoded(struct rig *g, void **ret, size_t *ret_bytes)
{
    bool running = g->running;

    g->running = false;
    *ret = NULL;
    if (gw_state_save(g->vm, ret, ret_bytes, NULL) < 0)
        *ret_bytes = 0;
    g->running = running;
}

bool rig_same(const struct rig *a, const struct rig *b)
{
    void *da, *db;
    size_t na = 0, nb = 0;
    bool same = true;

    for (unsigned i = 0; i < RIG_LOCAL; i++) {
        for (uint64_t p = 0; p < rig_blocks[i].used_bytes; p += 4096) {
            if (!memcmp(a->ram[i] + p, b->ram[i] + p, 4096))
                continue;
            fprintf(stderr, "block %s differs at 0x%" PRIx64 "\n", rig_blocks[i].name, p);
            same = false;
        }
    }
    encoded((struct rig *)a, &da, &na);
    encoded((struct rig *)b, &db, &nb);
    if (!na || na != nb || memcmp(da, db, na)) {
        fprintf(stderr, "devices differ (%zu and %zu bytes)\n", na, nb);
        same = false;
    }
    free(da);
    free(db);
    return same;
}

void rig_event(void *opaque, const struct gw_event *e)
{
    struct rig *g = opaque;
    size_t n;

    if (e->type != GW_EVENT_LOG)
        return;
    pthread_mutex_lock(&g->lock);
    n = strlen(g->log);
    snprintf(g->log + n, sizeof g->log - n, "%s\n", e->text);
    pthread_mutex_unlock(&g->lock);
}
