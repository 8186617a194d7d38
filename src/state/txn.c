/* SPDX-License-Identifier: MIT */
#include "state/txn.h"

#define TXN_ALIGN 64 /* structures may have members aligned to a cache line */

/* Makes room for one more element in an array of the transaction. */
static int grow(void *array, uint32_t count, uint32_t *cap, size_t each)
{
    void **p = array;
    uint32_t want = GW_MAX(*cap * 2, 8);
    void *grown;

    if (count < *cap)
        return 0;
    grown = realloc(*p, want * each);
    if (!grown)
        return -ENOMEM;
    *p = grown;
    *cap = want;
    return 0;
}

static void *copy_of(const void *real, size_t bytes)
{
    size_t room = (GW_MAX(bytes, 1) + TXN_ALIGN - 1) / TXN_ALIGN * TXN_ALIGN;
    void *p = aligned_alloc(TXN_ALIGN, room);

    if (p)
        memcpy(p, real, bytes);
    return p;
}

void *gw_txn_real(const struct gw_txn *txn, void *copy)
{
    uintptr_t p = (uintptr_t)copy;

    for (uint32_t i = txn->region_count; i-- > 0;) {
        const struct gw_txn_region *region = &txn->regions[i];
        uintptr_t begin = (uintptr_t)region->copy;

        if (p >= begin && p - begin < GW_MAX(region->bytes, 1))
            return (char *)region->real + (p - begin);
    }
    return copy;
}

/* Copies the future contents of [begin, begin + bytes) of the real memory to the new region, as far as they are in
 * it. */
static void overlay_bytes(const struct gw_txn_region *new, uintptr_t begin, size_t bytes, const void *from)
{
    uintptr_t first = GW_MAX(begin, (uintptr_t) new->real),
              end = GW_MIN(begin + bytes, (uintptr_t) new->real + new->bytes);

    if (first < end)
        memcpy((char *)new->copy + (first - (uintptr_t) new->real), (const char *)from + (first - begin), end - first);
}

/* Applies changes of earlier regions in the same memory: memory may be described twice, or contain pointers into
 * itself. Pointers that were followed there become real pointers here; otherwise they would look like changes. */
static void overlay(const struct gw_txn *txn, const struct gw_txn_region *new)
{
    for (uint32_t i = 0; i < txn->region_count; i++)
        overlay_bytes(new, (uintptr_t)txn->regions[i].real, txn->regions[i].bytes, txn->regions[i].copy);
    for (uint32_t i = 0; i < txn->swap_count; i++)
        overlay_bytes(new, (uintptr_t)txn->swaps[i].slot_real, sizeof(void *), &txn->swaps[i].real);
}

int gw_txn_region(struct gw_txn *txn, void *real, size_t bytes, void **ret_copy)
{
    struct gw_txn_region region = {.real = real, .bytes = bytes};

    if (grow(&txn->regions, txn->region_count, &txn->region_cap, sizeof *txn->regions) < 0)
        return -ENOMEM;
    region.copy = copy_of(real, bytes);
    region.was = copy_of(real, bytes);
    if (!region.copy || !region.was) {
        free(region.copy);
        free(region.was);
        return -ENOMEM;
    }
    overlay(txn, &region);
    txn->regions[txn->region_count++] = region;
    *ret_copy = region.copy;
    return 0;
}

int gw_txn_pointee(struct gw_txn *txn, void **slot, size_t bytes, void **ret_copy)
{
    void *real = gw_txn_real(txn, *slot); /* if the pointer leads to a copy, it was followed before */
    void *copy;

    if (grow(&txn->swaps, txn->swap_count, &txn->swap_cap, sizeof *txn->swaps) < 0 ||
        gw_txn_region(txn, real, bytes, &copy) < 0)
        return -ENOMEM;
    txn->swaps[txn->swap_count++] = (struct gw_txn_swap){slot, gw_txn_real(txn, slot), real};
    *slot = copy;
    *ret_copy = copy;
    return 0;
}

int gw_txn_list(struct gw_txn *txn, const struct gw_list_ops *ops, void *owner, uint32_t *ret_index)
{
    if (grow(&txn->lists, txn->list_count, &txn->list_cap, sizeof *txn->lists) < 0)
        return -ENOMEM;
    *ret_index = txn->list_count++;
    txn->lists[*ret_index] = (struct gw_txn_list){.ops = ops, .owner = gw_txn_real(txn, owner)};
    return 0;
}

int gw_txn_element(struct gw_txn *txn, uint32_t index, void **ret_element)
{
    struct gw_txn_list *list = &txn->lists[index];
    void *element;

    if (grow(&list->elements, list->count, &list->cap, sizeof *list->elements) < 0)
        return -ENOMEM;
    element = list->ops->alloc(list->owner);
    if (!element)
        return -ENOMEM;
    list->elements[list->count++] = element;
    *ret_element = element;
    return 0;
}

int gw_txn_loaded(struct gw_txn *txn, const struct gw_state *state, void *copy, uint32_t version)
{
    if (grow(&txn->loaded, txn->loaded_count, &txn->loaded_cap, sizeof *txn->loaded) < 0)
        return -ENOMEM;
    txn->loaded[txn->loaded_count++] = (struct gw_txn_loaded){state, gw_txn_real(txn, copy), version};
    return 0;
}

static void restore_pointers(struct gw_txn *txn)
{
    for (uint32_t i = 0; i < txn->swap_count; i++)
        *txn->swaps[i].slot = txn->swaps[i].real;
}

static void write_changes(const struct gw_txn_region *region)
{
    const uint8_t *copy = region->copy, *was = region->was;
    uint8_t *real = region->real;
    size_t i = 0;

    while (i < region->bytes) {
        size_t begin = i;

        if (region->bytes - i >= 64 && !memcmp(copy + i, was + i, 64)) {
            i += 64;
            continue;
        }
        while (i < region->bytes && copy[i] != was[i])
            i++;
        if (i > begin)
            memcpy(real + begin, copy + begin, i - begin);
        else
            i++;
    }
}

static void finish(struct gw_txn *txn)
{
    for (uint32_t i = 0; i < txn->region_count; i++) {
        free(txn->regions[i].copy);
        free(txn->regions[i].was);
    }
    for (uint32_t i = 0; i < txn->list_count; i++)
        free(txn->lists[i].elements);
    free(txn->regions);
    free(txn->swaps);
    free(txn->lists);
    free(txn->loaded);
    *txn = (struct gw_txn){0};
}

void gw_txn_commit(struct gw_txn *txn)
{
    restore_pointers(txn);
    for (uint32_t i = 0; i < txn->region_count; i++)
        write_changes(&txn->regions[i]);
    for (uint32_t i = 0; i < txn->list_count; i++) {
        struct gw_txn_list *list = &txn->lists[i];

        list->ops->clear(list->owner);
        for (uint32_t k = 0; k < list->count; k++)
            list->ops->append(list->owner, list->elements[k]);
    }
    for (uint32_t i = 0; i < txn->loaded_count; i++)
        txn->loaded[i].state->loaded(txn->loaded[i].real, txn->loaded[i].version);
    finish(txn);
}

void gw_txn_abort(struct gw_txn *txn)
{
    restore_pointers(txn);
    for (uint32_t i = txn->list_count; i-- > 0;) {
        struct gw_txn_list *list = &txn->lists[i];

        for (uint32_t k = list->count; k-- > 0;)
            list->ops->free_element(list->owner, list->elements[k]);
    }
    finish(txn);
}
