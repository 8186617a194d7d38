/* SPDX-License-Identifier: MIT
 *
 * log: a parked file whose pages are written in the order of arrival; a page may arrive any number of times.
 *
 *     gw_parked_log_new --> gw_parked_log_block, gw_parked_log_page ... --> gw_parked_log_finish --> gw_parked_log_free
 *
 * The file is an ordinary parked file of pages as they are (docs/formats/parked.md): the page of number n lies at byte
 * 64 + n * page_bytes. Numbers are given as pages arrive. A page that arrives again gets a new number, and the old slot is
 * garbage, until its whole segment is garbage and is reused:
 *
 *     |header, numbers 0 ..   254 |- |255 is never used: it would lie in two segments|  256 ..  510 |- | ...
 *     '------- segment 0 (1 MiB) -----'                                              '- segment 1 --'
 *
 * So everything is written in whole, aligned segments, and nothing is read back. When the file is more than a quarter
 * larger than its live data, segments with little live data are cleaned: `again` is called for their live pages, and
 * the owner puts these again.
 *
 * Memory: 4 bytes for each page of a block, 8 for each number, and the pieces of the spool.
 * Threads: one owner.
 * Errors:  -ENOMEM; -EFBIG: more pages than a file can have; what the spool says.
 */
#ifndef GW_IMAGE_PARKED_LOG_H
#define GW_IMAGE_PARKED_LOG_H

#include "image/image.h"

#define GW_PARKED_LOG_SEGMENT (1u << 20) /* bytes: of the spool's pieces */

struct gw_spool;
struct gw_parked_log;

/* spool: of an empty file, with pieces of GW_PARKED_LOG_SEGMENT; borrowed. again: of pages that were put, from inside
 * gw_parked_log_page. page_bytes: of a parked file. */
int gw_parked_log_new(struct gw_spool *spool, uint32_t page_bytes,
                      void (*again)(void *opaque, unsigned block, uint64_t page), void *opaque,
                      struct gw_parked_log **ret, struct gw_error *err);
void gw_parked_log_free(struct gw_parked_log *log);
/* The machine may have unknown live sections. The thread that puts pages reads `others`. */
void gw_parked_log_carries(struct gw_parked_log *log, const struct gw_image_others *others);
/* After finish: the final header, which records the file's end. The owner writes it to byte 0. */
void gw_parked_log_header(const struct gw_parked_log *log, uint8_t ret[64]);
/* Adds the next block, whose pages are zeros at first. */
int gw_parked_log_block(struct gw_parked_log *log, uint64_t pages, struct gw_error *err);
/* The page's current contents. src may be modified meanwhile if the page is put again afterwards: it is read once. */
int gw_parked_log_page(struct gw_parked_log *log, unsigned block, uint64_t page, const void *src, struct gw_error *err);
/* All pages have arrived: writes the rest of the file, up to its trailer. The image has the blocks that were given
 * here. xml: as in gw_image_write_options. *ret_bytes: the final size, to which the owner must truncate the file. */
int gw_parked_log_finish(struct gw_parked_log *log, const struct gw_image *image, const char *xml, uint64_t *ret_bytes,
                         struct gw_error *err);

#endif
