/* SPDX-License-Identifier: MIT
 *
 * stream_file: a file with a migration stream in it as an image: where the last contents of every page are.
 *
 * The stream is walked once. Pages that stand in the file as they are stay there; what they are is read when it is
 * asked for. Pages that came as differences or compressed are decoded into a sparse file without a name (`decoded`), at
 * the place that they have in RAM when all blocks are laid one behind the other, so it is never larger than the RAM.
 *
 * Memory: 8 bytes for each page that came; one bit for each page of a mapped-ram file.
 * Threads: filled by one; the reading functions by any number at once after that.
 */
#ifndef GW_STREAM_FILE_H
#define GW_STREAM_FILE_H

#include "image/image.h"

#define GW_STREAM_RAM_MAX (1ull << 46) /* bytes of RAM in all */

enum {
    GW_STREAM_NEVER = 0, /* the page did not come */
    GW_STREAM_ZERO = 1,  /* no contents begin so early in a file */
};
#define GW_STREAM_DECODED (1ull << 63) /* its contents are in `decoded` */

struct gw_stream_block {
    uint64_t pages, came; /* different ones */
    uint64_t first;       /* of its pages in `decoded` */
    uint64_t *where;      /* for each page: one of the above, or the offset in the file */
    uint64_t *filled;     /* bit g: something that is not zeros came for a page of group g (GW_IMAGE_GROUP) */
    uint8_t *map;         /* mapped-ram: instead of both; bit p % 8 of byte p / 8 */
    uint64_t pages_at;
};

struct gw_stream_file {
    int fd, decoded; /* decoded: -1 while there is nothing in it */
    uint32_t page_bytes;
    struct gw_stream_block *blocks;
    unsigned block_count;
    uint64_t pages; /* of all blocks */
    uint64_t end;   /* of the stream; 0: nothing lies behind it */
};

extern const struct gw_image_ops gw_stream_ops;

/* *ret_file is to be put into image->own. Takes fd, also when it fails. */
int gw_stream_file_new(int fd, struct gw_stream_file **ret_file, struct gw_error *err);
void gw_stream_file_free(struct gw_stream_file *f);
/* map: copied, NULL: the pages come one by one. */
int gw_stream_file_add(struct gw_stream_file *f, uint64_t pages, const uint8_t *map, uint64_t map_bytes,
                       uint64_t pages_at, struct gw_error *err);
/* The page's contents are at this place from now on; one that is not in the file is put into `decoded`. */
void gw_stream_file_set(struct gw_stream_file *f, unsigned block, uint64_t page, uint64_t where);
int gw_stream_file_keep(struct gw_stream_file *f, unsigned block, uint64_t page, const uint8_t *data,
                        const char *temporary_folder, struct gw_error *err);
int gw_stream_file_read(const struct gw_stream_file *f, unsigned block, uint64_t first, uint64_t count, uint8_t *dst,
                        struct gw_error *err);

#endif
