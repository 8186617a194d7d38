/* SPDX-License-Identifier: MIT
 *
 * txn: a load that changes either everything or nothing.
 *
 * Each piece of memory that a description leads to (the structure itself, the targets of its pointers) is a region: the
 * real memory, a copy that the decoder and the hooks work on, and a second copy with the old contents. In the copy,
 * pointers lead to copies. Elements of lists are allocated by the embedder and filled in place; they are not in a list
 * before the commit.
 *
 * Commit: pointers in the copies become the real ones again; bytes that differ from the old contents are written to the
 * real memory; lists are cleared and get their new elements; `loaded` hooks are called, innermost first. None of that
 * can fail. Unchanged bytes are not written, so that a lock in the structure keeps its state.
 *
 * Abort: everything is freed, new elements are returned to the embedder, innermost first; the real memory was never
 * written.
 */
#ifndef GW_STATE_TXN_H
#define GW_STATE_TXN_H

#include "base/base.h"
#include "godwit/state.h"

struct gw_txn_region {
    void *real, *copy, *was;
    size_t bytes;
};

struct gw_txn_swap { /* a pointer in a copy (or in a new element) that leads to a copy */
    void **slot;
    void *slot_real; /* address of the slot in the real memory */
    void *real;      /* the value of the pointer there */
};

struct gw_txn_list {
    const struct gw_list_ops *ops;
    void *owner; /* the real structure */
    void **elements;
    uint32_t count, cap;
};

struct gw_txn_loaded {
    const struct gw_state *state;
    void *real;
    uint32_t version;
};

struct gw_txn {
    struct gw_txn_region *regions;
    struct gw_txn_swap *swaps;
    struct gw_txn_list *lists;
    struct gw_txn_loaded *loaded;
    uint32_t region_count, region_cap, swap_count, swap_cap, list_count, list_cap, loaded_count, loaded_cap;
};

/* -ENOMEM without a message; earlier regions stay until commit or abort. */
int gw_txn_region(struct gw_txn *txn, void *real, size_t bytes, void **ret_copy);
/* Like region, for the target of *slot; sets *slot to the copy. */
int gw_txn_pointee(struct gw_txn *txn, void **slot, size_t bytes, void **ret_copy);
/* The real address for an address in a copy; other addresses (in new elements, or real) are returned unchanged. */
void *gw_txn_real(const struct gw_txn *txn, void *copy);
/* owner: the structure in the copy. The list is valid until commit or abort; *ret_index is its number. */
int gw_txn_list(struct gw_txn *txn, const struct gw_list_ops *ops, void *owner, uint32_t *ret_index);
int gw_txn_element(struct gw_txn *txn, uint32_t list, void **ret_element);
int gw_txn_loaded(struct gw_txn *txn, const struct gw_state *state, void *copy, uint32_t version);

void gw_txn_commit(struct gw_txn *txn);
void gw_txn_abort(struct gw_txn *txn);

#endif
