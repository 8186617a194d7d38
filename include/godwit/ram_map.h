/* SPDX-License-Identifier: MIT
 *
 * ram_map: classifies each page of a machine at rest: zero, unique contents, contents shared with other pages, or missing.
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
    GW_RAM_IS_ZERO,    /* all zeros, whether marked as zero in the file or stored */
    GW_RAM_IS_DATA,    /* contents that no other page has */
    GW_RAM_IS_SHARED,  /* the same contents as another page: a parked file stores them once */
    GW_RAM_IS_MISSING, /* not received because the source was lost; reads as zeros */
    GW_RAM_KINDS
};
/* "zero", "data", "shared", "missing" */
GW_API const char *gw_ram_kind_name(enum gw_ram_kind kind);

struct gw_ram_map;

/* Reads all contents once. entropy: also computes the entropy of each page, which takes longer. progress may be NULL. -EIO,
 * -EPROTO: the file is damaged, the text says where; -ECANCELED, -ENOMEM. */
GW_API int gw_ram_map_new(struct gw_image *image, bool entropy, gw_examine_progress_fn progress, void *opaque,
                          struct gw_ram_map **ret_map, struct gw_error *err);
/* Bytes of a block that are of this kind. */
GW_API uint64_t gw_ram_map_bytes(const struct gw_ram_map *map, unsigned block, enum gw_ram_kind kind);

/* Consecutive pages of one kind. */
struct gw_ram_run {
    unsigned block;
    enum gw_ram_kind kind;
    uint64_t offset, bytes; /* of the block */
    /* place: offset of the first page in the file; stride: distance from one page to the next (a stream has a header before each
     * page). Not for compressed or zero pages, nor for a file that had to be unpacked first. */
    bool has_place;
    uint64_t place, stride;
};
/* Calls run for each run of a block, in order. places: also sets place and stride, and splits runs where the pages are not
 * evenly spaced in the file. */
GW_API int gw_ram_map_runs(const struct gw_ram_map *map, unsigned block, bool places,
                           void (*run)(void *opaque, const struct gw_ram_run *run), void *opaque, struct gw_error *err);

/* A piece of a block, for pictures. */
struct gw_ram_cell {
    uint64_t pages[GW_RAM_KINDS];
    double bits; /* entropy in bits per byte, 0 to 8, mean over the pages with contents; 0 without `entropy` */
};
/* Divides the block into pieces of cell_pages and fills the first `count` of them. */
GW_API int gw_ram_map_cells(const struct gw_ram_map *map, unsigned block, uint64_t cell_pages, struct gw_ram_cell *cells, size_t count,
                            struct gw_error *err);

#define GW_RAM_ENTROPY_STEPS 32u
/* ret_pages[i]: the number of pages with contents whose entropy is in [i / 4, (i + 1) / 4) bits per byte; 8 bits count in the
 * last one. Pages with equal contents are counted each. */
GW_API void gw_ram_map_entropy(const struct gw_ram_map *map, uint64_t ret_pages[GW_RAM_ENTROPY_STEPS]);

/* Takes NULL, returns NULL. */
GW_API struct gw_ram_map *gw_ram_map_free(struct gw_ram_map *map);

#ifdef __cplusplus
}
#endif
#endif
