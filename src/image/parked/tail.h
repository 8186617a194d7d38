/* SPDX-License-Identifier: MIT
 *
 * tail: the parts after the frames of a parked file: the index, the rest of the machine, the trailer.
 *
 *     gw_parked_tail_group, gw_parked_tail_frame (in order, any mixture) --> gw_parked_tail_write -->
 * gw_parked_tail_close
 *
 * The writer of the frames adds index entries here and provides `put` for the bytes. Page numbering is the writer's.
 *
 * Memory: 12 bytes and the runs for each group of pages, 8 bytes for each frame.
 * Threads: one owner.
 */
#ifndef GW_IMAGE_PARKED_TAIL_H
#define GW_IMAGE_PARKED_TAIL_H

#include "image/parked/parked.h"

struct gw_parked_buffer {
    uint8_t *data;
    size_t bytes, room;
};

struct gw_parked_tail {
    struct gw_parked_trailer
        trailer; /* before the first frame: needs, page_bytes, frame_pages. Before write: numbers */
    uint64_t at; /* file offset of the next write */
    /* Writes all bytes at offset `at`, or fails. */
    int (*put)(void *opaque, const void *src, size_t bytes, struct gw_error *err);
    void *opaque;
    const uint8_t *dictionary; /* borrowed until write */
    size_t dictionary_bytes;   /* 0: none */
    struct gw_parked_buffer pages, page_directory, frames;
};

/* Adds a complete group: its runs, and the number that they began with. -ENOMEM. */
int gw_parked_tail_group(struct gw_parked_tail *t, const struct gw_parked_runs *runs, uint32_t first,
                         struct gw_error *err);
/* Adds the next frame: its size in the file and its checksum. -ENOMEM. */
int gw_parked_tail_frame(struct gw_parked_tail *t, uint32_t bytes, uint32_t crc, struct gw_error *err);
/* Writes bytes at `at`, which advances. Returns the errors of `put`. */
int gw_parked_tail_put(struct gw_parked_tail *t, const void *src, size_t bytes, struct gw_error *err);
/* Parts and trailer. The frames end at `at`, which is the end of the file afterwards. xml NULL: the image's own; packer
 * NULL: parts are not compressed. */
int gw_parked_tail_write(struct gw_parked_tail *t, const struct gw_image *image, const char *xml,
                         struct gw_packer *packer, struct gw_error *err);
void gw_parked_tail_close(struct gw_parked_tail *t);

#endif
