/* SPDX-License-Identifier: MIT
 *
 * kvm_slots: which pages of which block a KVM memory slot holds, and its dirty logging on and off.
 *
 * A slot may hold several blocks, a block may lie in several slots, and parts of either may have no counterpart: the
 * guest cannot write memory that is in no slot.
 *
 * Pages of a slot are host pages (`slot_page` is such a number), pages of a block are target pages.
 */
#ifndef GW_KVM_SLOTS_H
#define GW_KVM_SLOTS_H

#include "ram/tracker/tracker.h"

struct gw_kvm_piece {
    struct gw_ram_block *block;
    unsigned slot; /* index into config->slots */
    uint64_t slot_page, slot_pages;
    uint64_t offset; /* offset of its first byte in the block */
    bool leads;      /* the first piece of its slot */
};

struct gw_kvm_slots {
    const struct gw_tracker_config *config; /* borrowed */
    unsigned host_page_bits;
    struct gw_kvm_piece *pieces; /* in the order of slots; only blocks that are logged */
    unsigned piece_count;
};

/* Finds the pieces. Blocks that do not migrate or are read-only are left out. */
int gw_kvm_slots_open(struct gw_kvm_slots *s, const struct gw_ram *ram, const struct gw_tracker_config *config,
                      struct gw_error *err);
void gw_kvm_slots_close(struct gw_kvm_slots *s);

/* Dirty logging of all slots with pieces. When on fails, none is logged. */
int gw_kvm_slots_log(struct gw_kvm_slots *s, bool on, struct gw_error *err);

/* Target pages that slot page `page` of the piece contains or is part of: first and count, within the block. */
void gw_kvm_piece_pages(const struct gw_kvm_slots *s, const struct gw_kvm_piece *p, uint64_t page, uint64_t pages,
                        unsigned page_bits, uint64_t *ret_first, uint64_t *ret_pages);

/* Checks the config for the constructors of both back ends. */
int gw_kvm_config_check(const struct gw_tracker_config *config, struct gw_error *err);

#endif
