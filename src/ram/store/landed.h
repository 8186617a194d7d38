/* SPDX-License-Identifier: MIT
 *
 * landed store: stands in front of another store and tells somebody on another thread which pages have arrived.
 *
 *     layout --> landed --> direct                 who wants to know takes bits out of block->landed
 *
 * A page's bit is set after its contents are in place, each time that it arrives. Who takes a bit (an atomic exchange
 * of the word, gw_bitmap_take_word_atomic) sees those contents, or later ones: while he reads, the page may be arriving
 * again, and what he read may be half of each; but then its bit is set again afterwards. So who has taken every bit
 * after the last page arrived has read every page as it is. A page that was never marked is as it was before: of a
 * guess that failed, or was not decided yet, nothing is told.
 *
 * A record of zeros for a page that was never received in a block that was given as GW_RAM_FRESH changes nothing, and
 * is not told.
 *
 * Every block that pages arrive in has a map `landed`, of at least its pages, before the first one does; its owner
 * keeps it until the session has ended or was told that the source is gone.
 */
#ifndef GW_STORE_LANDED_H
#define GW_STORE_LANDED_H

#include "ram/page/ops.h"

/* The next one is this one's from here on, also on failure. */
int gw_store_landed_new(struct gw_store *take_next, struct gw_store **ret, struct gw_error *err);

#endif
