/* SPDX-License-Identifier: MIT
 *
 * stream_file: a file with a migration stream in it as an image: where the last contents of every page are.
 *
 * The stream is walked once. Pages that the file has uncompressed are read from it on demand. Pages that came as
 * differences or compressed are decoded into an unnamed sparse file (`decoded`), at their offset in RAM with all blocks
 * one after the other, so it is never larger than the RAM.
 *
 * Memory: 8 bytes for each page that came; one bit for each page of a mapped-ram file.
 * Threads: filled by one; the reading functions by any number at once after that.
 */
#ifndef GW_STREAM_FILE_H
#define GW_STREAM_FILE_H

#include "image/image.h"

#define GW_STREAM_RAM_MAX (1ull << 46) /* bytes of RAM in all */

enum {
    GW_STREAM_NEVER = 0, /* the stream has no record of the page */
    GW_STREAM_ZERO = 1,  /* zeros; no contents begin at such a low offset */
};
#define GW_STREAM_DECODED (1ull << 63) /* its contents are in `decoded` */

struct gw_stream_block {
    uint64_t pages, came; /* came: the number of different pages that came */
    uint64_t first;       /* page number in `decoded` of the block's first page */
    uint64_t *where;      /* for each page: one of the above, or a file offset */
    uint64_t *filled;     /* bit g: contents other than zeros came for a page of group g (GW_IMAGE_GROUP) */
    uint8_t *map;         /* mapped-ram: replaces both; bit p % 8 of byte p / 8 */
    uint64_t pages_at;
};

struct gw_stream_file {
    int fd, decoded; /* decoded: -1 while it is empty */
    uint32_t page_bytes;
    struct gw_stream_block *blocks;
    unsigned block_count;
    uint64_t pages; /* of all blocks */
    uint64_t end;   /* end of the stream; 0: no data follows it */
};

extern const struct gw_image_ops gw_stream_ops;

/* The caller stores *ret_file in image->own. Takes fd, also on failure. */
int gw_stream_file_new(int fd, struct gw_stream_file **ret_file, struct gw_error *err);
void gw_stream_file_free(struct gw_stream_file *f);
/* map: copied; NULL: pages are set one by one. */
int gw_stream_file_add(struct gw_stream_file *f, uint64_t pages, const uint8_t *map, uint64_t map_bytes,
                       uint64_t pages_at, struct gw_error *err);
/* Sets the place of the page's contents; contents that are not in the file are written to `decoded`. */
void gw_stream_file_set(struct gw_stream_file *f, unsigned block, uint64_t page, uint64_t where);
int gw_stream_file_keep(struct gw_stream_file *f, unsigned block, uint64_t page, const uint8_t *data,
                        const char *temporary_folder, struct gw_error *err);
int gw_stream_file_read(const struct gw_stream_file *f, unsigned block, uint64_t first, uint64_t count, uint8_t *dst,
                        struct gw_error *err);

#endif
