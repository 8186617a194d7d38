/* SPDX-License-Identifier: MIT
 *
 * landed store: stands in front of another store and marks pages that have arrived, for a watcher on another thread.
 *
 *     layout --> landed --> direct                 the watcher takes bits out of the block's map
 *
 * A page's bit is set after its contents are in place, each time that it arrives. The watcher takes a bit (an atomic
 * exchange of the word, gw_bitmap_take_word_atomic) and sees those contents, or later ones: while it reads, the page may be
 * arriving again, and what it read may be half of each; but then the bit is set again afterwards. So a watcher that has
 * taken every bit after the last page arrived has read every page as it is. A page that was never marked is as it was
 * before: a guess that failed, or is not decided yet, sets no bit.
 *
 * A record of zeros for a page that was never received in a block that was given as GW_RAM_FRESH changes nothing and sets
 * no bit.
 */
#ifndef GW_STORE_LANDED_H
#define GW_STORE_LANDED_H

#include "ram/page/ops.h"

/* Gives the map of a block whose pages begin to arrive: zeros, at least a bit for each page, until the session has ended
 * or the store was reset. It stays the watcher's. */
typedef int (*gw_landed_map_fn)(void *opaque, struct gw_ram_block *b, uint64_t **ret_map, struct gw_error *err);

/* The next store is this one's from here on, also on failure. */
int gw_store_landed_new(struct gw_store *take_next, gw_landed_map_fn map, void *opaque, struct gw_store **ret,
                        struct gw_error *err);

#endif
