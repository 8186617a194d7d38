/* SPDX-License-Identifier: MIT */
#include "ram/page/block.h"

#include "wire/numbers.h"

int gw_ram_init(struct gw_ram *ram, uint32_t page_bytes, void *opaque, struct gw_error *err)
{
    if (page_bytes < 1u << GW_PAGE_BITS_MIN || page_bytes > 1u << GW_PAGE_BITS_MAX || !gw_is_pow2(page_bytes))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "target page of %u bytes: a power of two from %u to %u is needed",
                       page_bytes, 1u << GW_PAGE_BITS_MIN, 1u << GW_PAGE_BITS_MAX);
    *ram = (struct gw_ram){.page_bytes = page_bytes, .page_bits = (unsigned)__builtin_ctz(page_bytes), .opaque = opaque};
    pthread_mutex_init(&ram->lock, NULL);
    pthread_mutex_init(&ram->flush, NULL);
    return 0;
}

static void free_block(struct gw_ram *ram, struct gw_ram_block *b)
{
    gw_bitmap_free(b->discarded, b->max_bytes >> ram->page_bits);
    gw_bitmap_free(b->given, b->max_bytes >> ram->page_bits);
    free(b);
}

void gw_ram_remove(struct gw_ram *ram, struct gw_ram_block *b)
{
    ram->count--;
    for (unsigned i = b->index; i < ram->count; i++) {
        ram->blocks[i] = ram->blocks[i + 1];
        ram->blocks[i]->index = i;
    }
    free_block(ram, b);
}

void gw_ram_clear(struct gw_ram *ram)
{
    for (unsigned i = 0; i < ram->count; i++)
        free_block(ram, ram->blocks[i]);
    free(ram->blocks);
    ram->blocks = NULL;
    ram->count = 0;
}

void gw_ram_close(struct gw_ram *ram)
{
    gw_ram_clear(ram);
    if (ram->page_bytes) {
        pthread_mutex_destroy(&ram->lock);
        pthread_mutex_destroy(&ram->flush);
    }
    *ram = (struct gw_ram){0};
}

struct gw_ram_block *gw_ram_find(const struct gw_ram *ram, const char *name)
{
    for (unsigned i = 0; i < ram->count; i++)
        if (!strcmp(ram->blocks[i]->name, name))
            return ram->blocks[i];
    return NULL;
}

const struct gw_ram_block *gw_ram_persistent(const struct gw_ram *ram)
{
    for (unsigned i = 0; i < ram->count; i++)
        if (ram->blocks[i]->flags & GW_RAM_PERSISTENT && gw_ram_migrates(ram->blocks[i]))
            return ram->blocks[i];
    return NULL;
}

struct gw_ram_block *gw_ram_at(const struct gw_ram *ram, uint64_t gpa)
{
    for (unsigned i = 0; i < ram->count; i++)
        if (gpa >= ram->blocks[i]->gpa && gpa - ram->blocks[i]->gpa < ram->blocks[i]->max_bytes)
            return ram->blocks[i];
    return NULL;
}

const struct gw_ram_block *gw_ram_behind(const struct gw_ram *ram, uint64_t gpa)
{
    const struct gw_ram_block *next = NULL;

    for (unsigned i = 0; i < ram->count; i++)
        if (ram->blocks[i]->gpa > gpa && (!next || ram->blocks[i]->gpa < next->gpa))
            next = ram->blocks[i];
    return next;
}

void gw_ram_leave_shared(struct gw_ram *ram, bool stays)
{
    pthread_mutex_lock(&ram->lock);
    ram->shared_stays = stays;
    pthread_mutex_unlock(&ram->lock);
}

void gw_ram_seal(struct gw_ram *ram, bool sealed)
{
    pthread_mutex_lock(&ram->lock);
    for (unsigned i = 0; i < ram->count; i++)
        atomic_store(&ram->blocks[i]->sealed, sealed && ram->blocks[i]->dirty);
    pthread_mutex_unlock(&ram->lock);
}

void *gw_ram_table(void *table, unsigned *count, size_t entry_bytes, const struct gw_ram_block *b)
{
    uint8_t *grown;

    if (b->index < *count)
        return table;
    grown = realloc(table, (b->index + 1) * entry_bytes);
    if (!grown)
        return NULL;
    memset(grown + *count * entry_bytes, 0, (b->index + 1 - *count) * entry_bytes);
    *count = b->index + 1;
    return grown;
}

int gw_ram_listed_add(struct gw_ram_listed *l, const struct gw_ram_block *b, struct gw_error *err)
{
    bool *has = gw_ram_table(l->has, &l->count, sizeof *has, b);

    if (!has)
        return gw_nomem(err, "list of RAM blocks");
    l->has = has;
    has[b->index] = true;
    return 0;
}

struct gw_ram_block *gw_ram_listed_find(const struct gw_ram_listed *l, const struct gw_ram *ram, const char *name)
{
    struct gw_ram_block *b = gw_ram_find(ram, name);

    return b && b->index < l->count && l->has[b->index] ? b : NULL;
}

void gw_ram_listed_clear(struct gw_ram_listed *l)
{
    free(l->has);
    *l = (struct gw_ram_listed){0};
}

int gw_ram_add(struct gw_ram *ram, const struct gw_ram_desc *desc, struct gw_error *err)
{
    uint64_t max = desc->max_bytes ? desc->max_bytes : desc->used_bytes, end;
    struct gw_ram_block **grown, *b;
    size_t n = desc->name ? strlen(desc->name) : 0;

    if (!n || n > 255)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "a RAM block's name has 1 to 255 bytes, not %zu", n);
    if (gw_ram_find(ram, desc->name))
        return gw_fail(err, -EEXIST, GW_BLAME_CALLER, "RAM block %s is there already", desc->name);
    if (!desc->host != !!(desc->flags & GW_RAM_ELSEWHERE) || !max || desc->used_bytes > max || (desc->used_bytes | max) % ram->page_bytes)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                       "RAM block %s: %" PRIu64 " of %" PRIu64 " bytes at %p: sizes must be multiples of the page (%u)",
                       desc->name, desc->used_bytes, max, desc->host, ram->page_bytes);
    if ((uintptr_t)desc->host % GW_RAM_ALIGNMENT)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "RAM block %s: memory at %p is not aligned to %u bytes", desc->name,
                       desc->host, GW_RAM_ALIGNMENT);
    if (gw_add_overflows(desc->gpa, max, &end))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "RAM block %s ends beyond the address space", desc->name);
    if (desc->page_bytes && (!gw_is_pow2(desc->page_bytes) || desc->page_bytes < ram->page_bytes))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "RAM block %s: its host pages cannot have %" PRIu64 " bytes", desc->name,
                       desc->page_bytes);
    for (unsigned i = 0; i < ram->count; i++) {
        const struct gw_ram_block *o = ram->blocks[i];

        if (desc->gpa < o->gpa + o->max_bytes && o->gpa < end)
            return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "RAM blocks %s and %s overlap at guest address 0x%" PRIx64,
                           desc->name, o->name, GW_MAX(desc->gpa, o->gpa));
    }
    grown = realloc(ram->blocks, (ram->count + 1) * sizeof *grown);
    if (!grown)
        return gw_nomem(err, "RAM block list");
    ram->blocks = grown;
    b = calloc(1, sizeof *b);
    if (!b)
        return gw_nomem(err, "RAM block");
    gw_strcopy(b->name, sizeof b->name, desc->name);
    b->index = ram->count;
    b->host = desc->host;
    b->used_bytes = desc->used_bytes;
    b->max_bytes = max;
    b->page_bytes = desc->page_bytes ? desc->page_bytes : (uint64_t)sysconf(_SC_PAGESIZE);
    b->gpa = desc->gpa;
    b->flags = desc->flags;
    b->resized = desc->resized;
    b->pages = b->used_bytes >> ram->page_bits;
    ram->blocks[ram->count++] = b;
    return 0;
}

uint64_t gw_ram_host_pages(const struct gw_ram *ram)
{
    uint64_t sizes = 0;

    for (unsigned i = 0; i < ram->count; i++)
        if (gw_ram_migrates(ram->blocks[i]))
            sizes |= GW_MAX(ram->blocks[i]->page_bytes, (uint64_t)ram->page_bytes);
    return sizes;
}

bool gw_ram_large_pages(const struct gw_ram *ram, const struct gw_ram_block *b)
{
    return b->page_bytes > GW_MAX((uint64_t)ram->page_bytes, (uint64_t)sysconf(_SC_PAGESIZE));
}
