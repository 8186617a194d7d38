/* SPDX-License-Identifier: MIT
 *
 * staging: where units are put together before they are placed, of one lane.
 *
 * Target pages of a unit come one after the other, and those of the next unit only when it is complete. Places may be given
 * ahead of what is put into them (a packet names its pages before their contents come): for as many target pages as a
 * batch has, in the order of the block.
 *
 * Threads: one owner.
 */
#ifndef GW_STORE_STAGING_H
#define GW_STORE_STAGING_H

#include "ram/store/units.h"

struct gw_staging;

/* Room for units of all these blocks. */
int gw_staging_new(const struct gw_unit_table *t, struct gw_staging **ret, struct gw_error *err);
struct gw_staging *gw_staging_free(struct gw_staging *s); /* takes NULL, returns NULL */

/* Memory for the contents of a target page. Where it may not come now, or there is no room, memory that is as good; then it is
 * told when it is put. */
uint8_t *gw_staging_where(struct gw_staging *s, const struct gw_units *u, uint64_t page);
/* The page's contents are there (zeros: they are zeros, and nobody need have asked where). 1: its unit is complete: *ret_from has
 * its contents, NULL for zeros, until the next call. 0: not yet. -EPROTO, blame PEER: another unit was left incomplete. */
int gw_staging_put(struct gw_staging *s, const struct gw_units *u, uint64_t page, bool zeros, const uint8_t **ret_from,
                   struct gw_error *err);
/* Forgets all that is not complete. */
void gw_staging_forget(struct gw_staging *s);

#endif
