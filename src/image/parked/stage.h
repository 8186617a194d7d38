/* SPDX-License-Identifier: MIT
 *
 * stage: writes a machine to a parked file while it arrives, so that little work is left when it is complete.
 *
 *     idle --block--> staging --commit--> committed          (forget: back to idle; what is committed stays)
 *                        |
 *                        '-- it fails --> failed             (no file; the machine arrives all the same)
 *
 * A thread takes the marks of pages that have landed (ram/store/landed.h) and gives the pages to a log
 * (log.h), which writes them past the page cache (spool.h). Pages are not compressed, so that the file is complete
 * early; it may be packed afterwards.
 *
 * Write errors are reported by commit: if the disk is full while pages arrive, that is reported then, nothing is
 * left there, and the image can still be written in one go.
 *
 * Memory: a bit and 4 bytes for each page, 8 for each that holds more than zeros; 8 MiB of pieces.
 * Threads: one owner. While it is staging, memory of its blocks is read by a thread of its own, up to commit or forget.
 */
#ifndef GW_IMAGE_STAGE_H
#define GW_IMAGE_STAGE_H

#include "image/image.h"

struct gw_stage;

/* options, path: as gw_image_write; checked, and copied. image: borrowed. -EINVAL, -ENOTSUP. */
int gw_stage_new(struct gw_image *image, const char *path, const struct gw_image_write_options *options,
                 struct gw_stage **ret, struct gw_error *err);
/* Takes NULL. */
void gw_stage_free(struct gw_stage *s);
/* The next block of the image: zeros, at host. *ret_landed: the bitmap in which the caller marks pages that have
 * landed, valid until forget. The first one begins the file. -ENOMEM. */
int gw_stage_block(struct gw_stage *s, const uint8_t *host, uint64_t pages, uint64_t **ret_landed,
                   struct gw_error *err);
/* Called when all pages were marked and the image is complete: completes the file, syncs it and gives it its name. On
 * error the file is removed. */
int gw_stage_commit(struct gw_stage *s, struct gw_error *err);
/* Discards what is not committed; the image is not accessed any more. Takes NULL. */
void gw_stage_forget(struct gw_stage *s);
/* Writes the committed file again with the compression that the options ask for, and replaces it, if its name still has
 * that file. 0: also if there is nothing to do. On error that file stays. progress: as in gw_image_write_options. */
int gw_stage_pack(struct gw_stage *s, bool (*progress)(void *opaque, uint64_t done_bytes, uint64_t total_bytes),
                  void *opaque, struct gw_error *err);

#endif
