/* SPDX-License-Identifier: MIT
 *
 * staging: the memory in which one lane assembles units before they are placed.
 *
 * Target pages of a unit come in sequence, and those of the next unit only when it is complete. The memory for contents
 * may be requested ahead (a packet lists its pages before their contents come): for as many target pages as a batch
 * has, in the order of the block.
 *
 * Threads: one owner.
 */
#ifndef GW_STORE_STAGING_H
#define GW_STORE_STAGING_H

#include "ram/store/units.h"

struct gw_staging;

/* Allocates slots for units of all these blocks. */
int gw_staging_new(const struct gw_unit_table *t, struct gw_staging **ret, struct gw_error *err);
struct gw_staging *gw_staging_free(struct gw_staging *s); /* takes NULL, returns NULL */

/* Memory for the contents of a target page. If the page is out of order, or there is no slot, returns other memory of
 * the same size; gw_staging_put then reports the error. */
uint8_t *gw_staging_where(struct gw_staging *s, const struct gw_units *u, uint64_t page);
/* The page's contents are in that memory (zeros: they are zeros, and gw_staging_where need not have been called). 1:
 * its unit is complete, and *ret_from has its contents, NULL for zeros, until the next call. 0: not yet. -EPROTO, blame
 * PEER: another unit is incomplete. */
int gw_staging_put(struct gw_staging *s, const struct gw_units *u, uint64_t page, bool zeros, const uint8_t **ret_from,
                   struct gw_error *err);
/* Discards all units that are not complete. */
void gw_staging_forget(struct gw_staging *s);

#endif
