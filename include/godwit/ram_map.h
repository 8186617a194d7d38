/* SPDX-License-Identifier: MIT
 *
 * ram_map: what each page of a machine at rest is: zeros, contents, contents that other pages have too, or lost.
 *
 *     gw_ram_map_new --> gw_ram_map_bytes, gw_ram_map_runs, gw_ram_map_cells (any number of times) --> gw_ram_map_free
 *
 * Memory: 16 to 33 bytes for each page that has contents of its own in the file.
 * Threads: one owner; the image is in use until gw_ram_map_free.
 */
#ifndef GODWIT_RAM_MAP_H
#define GODWIT_RAM_MAP_H

#include "godwit/examine.h"

#ifdef __cplusplus
extern "C" {
#endif

enum gw_ram_kind {
    GW_RAM_IS_ZERO,    /* zeros, whether the file says so or has them as contents */
    GW_RAM_IS_DATA,    /* contents that no other page has */
    GW_RAM_IS_SHARED,  /* contents that another page has as well: a parked file has them once */
    GW_RAM_IS_MISSING, /* never came, since the source was lost; reads as zeros */
    GW_RAM_KINDS
};
/* "zero", "data", "shared", "missing" */
GW_API const char *gw_ram_kind_name(enum gw_ram_kind kind);

struct gw_ram_map;

/* Reads all contents once. entropy: also how dense each page is, which takes longer. progress: may be NULL. -EIO, -EPROTO: the file
 * is broken, the text says where; -ECANCELED, -ENOMEM. */
GW_API int gw_ram_map_new(struct gw_image *image, bool entropy, gw_examine_progress_fn progress, void *opaque,
                          struct gw_ram_map **ret_map, struct gw_error *err);
/* Bytes of a block that are of this kind. */
GW_API uint64_t gw_ram_map_bytes(const struct gw_ram_map *map, unsigned block, enum gw_ram_kind kind);

/* Pages of one kind that follow each other. */
struct gw_ram_run {
    unsigned block;
    enum gw_ram_kind kind;
    uint64_t offset, bytes; /* of the block */
    /* Where the first page begins in the file, and how far it is from there to the next page: a stream has heads between its pages.
     * Not of what is compressed, of zeros, or of a file that was unpacked first. */
    bool has_place;
    uint64_t place, stride;
};
/* All runs of a block, in order. places: each run is told with its place, and ends where the next page is elsewhere in the file. */
GW_API int gw_ram_map_runs(const struct gw_ram_map *map, unsigned block, bool places,
                           void (*run)(void *opaque, const struct gw_ram_run *run), void *opaque, struct gw_error *err);

/* A piece of a block, for pictures. */
struct gw_ram_cell {
    uint64_t pages[GW_RAM_KINDS];
    double bits; /* of entropy for a byte, mean of the pages with contents, 0 to 8; 0 without `entropy` */
};
/* The block in pieces of cell_pages; count: how many pieces there is room for, what lies behind is left out. */
GW_API int gw_ram_map_cells(const struct gw_ram_map *map, unsigned block, uint64_t cell_pages, struct gw_ram_cell *cells, size_t count,
                            struct gw_error *err);

#define GW_RAM_ENTROPY_STEPS 32u
/* How many of the pages with contents have an entropy in [i / 4, (i + 1) / 4) bits for a byte; 8 bits count to the last step. Each of
 * the places that have the same contents counts. */
GW_API void gw_ram_map_entropy(const struct gw_ram_map *map, uint64_t ret_pages[GW_RAM_ENTROPY_STEPS]);

/* Takes NULL, returns NULL. */
GW_API struct gw_ram_map *gw_ram_map_free(struct gw_ram_map *map);

#ifdef __cplusplus
}
#endif
#endif
