/* SPDX-License-Identifier: MIT
 *
 * landed store: stands in front of another store and marks pages that have arrived, for a watcher on another thread.
 *
 *     layout --> landed --> direct                 the watcher takes bits out of the block's map
 *
 * A page's bit is set after its contents are in place, each time that it arrives. The watcher takes a bit (an atomic
 * exchange of the word, gw_bitmap_take_word_atomic) and sees those contents, or later ones: while it reads, the page may be
 * arriving again, and what it read may be half of each; but then the bit is set again afterwards. So a watcher that has
 * taken every bit after the last page arrived has read every page as it is. A page that was never marked is unchanged:
 * a prediction that failed, or is not checked yet, sets no bit.
 *
 * A zero record for a page that was never received in a GW_RAM_FRESH block changes nothing and sets no bit.
 */
#ifndef GW_STORE_LANDED_H
#define GW_STORE_LANDED_H

#include "ram/page/ops.h"

/* Returns the map of a block whose pages begin to arrive: zeros, at least one bit for each page, valid until the
 * session has ended or the store was reset. The watcher owns it. */
typedef int (*gw_landed_map_fn)(void *opaque, struct gw_ram_block *b, uint64_t **ret_map, struct gw_error *err);

/* Takes the next store, also on failure. */
int gw_store_landed_new(struct gw_store *take_next, gw_landed_map_fn map, void *opaque, struct gw_store **ret,
                        struct gw_error *err);

#endif
