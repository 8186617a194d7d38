/* SPDX-License-Identifier: MIT
 *
 * stage: a machine is written to a parked file while it arrives, so that little is left to be done when it is complete.
 *
 *     idle --block--> staging --commit--> committed          (forget: back to idle; what is committed stays)
 *                        |
 *                        '-- it fails --> failed             (no file; the machine arrives all the same)
 *
 * A thread takes the marks of pages that have landed (ram/store/landed.h) and gives the pages to a log
 * (log.h), which writes them past the page cache (spool.h). Pages are not compressed: the file is whole as soon
 * as it can be, and may be packed afterwards.
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

/* options, path: as gw_image_write; checked, and kept as they are. image: borrowed. -EINVAL, -ENOTSUP. */
int gw_stage_new(struct gw_image *image, const char *path, const struct gw_image_write_options *options,
                 struct gw_stage **ret, struct gw_error *err);
/* Takes NULL. */
void gw_stage_free(struct gw_stage *s);
/* The next block of the image: zeros, at host. *ret_landed: where its pages are to be marked when they have landed,
 * valid until forget. The first one begins the file. -ENOMEM. */
int gw_stage_block(struct gw_stage *s, const uint8_t *host, uint64_t pages, uint64_t **ret_landed,
                   struct gw_error *err);
/* Everything has arrived and was marked, and the image is complete: the file is whole, synced, and appears under its
 * name. An error: there is none, and nothing of it is left. */
int gw_stage_commit(struct gw_stage *s, struct gw_error *err);
/* What is not committed is gone; nothing of the image is touched any more. Takes NULL. */
void gw_stage_forget(struct gw_stage *s);
/* Writes what was committed anew, as the options say, and puts it in its place, if that is still the file that was
 * committed there. 0: also if there is nothing to do. An error: that file stays as it is. progress: as in
 * gw_image_write_options. */
int gw_stage_pack(struct gw_stage *s, bool (*progress)(void *opaque, uint64_t done_bytes, uint64_t total_bytes),
                  void *opaque, struct gw_error *err);

#endif
