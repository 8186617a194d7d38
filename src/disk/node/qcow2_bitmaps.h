/* SPDX-License-Identifier: MIT
 *
 * qcow2_bitmaps: the directory of stored bitmaps, as it is in the file.
 */
#ifndef GW_DISK_QCOW2_BITMAPS_H
#define GW_DISK_QCOW2_BITMAPS_H

#include "base/bitmap.h"
#include "disk/node/qcow2_inner.h"

struct gw_qcow2_directory_entry {
    uint64_t table; /* offset */
    uint32_t table_entries, flags, extra_bytes;
    uint8_t type, granularity_bits;
    uint16_t name_bytes;
    const char *name;   /* not terminated */
    uint64_t at, bytes; /* its position in the directory */
};

struct gw_qcow2_directory {
    uint64_t offset;
    size_t bytes;
    uint8_t *data;
    unsigned count;
    struct gw_qcow2_directory_entry *entries;
};

/* Empty if the image has no bitmaps, or they are stale. d can be freed in any case. */
int gw_qcow2_directory_read(struct gw_qcow2 *q, struct gw_qcow2_directory *d, struct gw_error *err);
void gw_qcow2_directory_free(struct gw_qcow2_directory *d);
/* NULL: the header has none. */
struct gw_qcow2_extension *gw_qcow2_bitmaps_extension(struct gw_qcow2 *q);
/* Visits the clusters that one bitmap uses: its table and its data. */
int gw_qcow2_bitmap_visit(struct gw_qcow2 *q, uint64_t table, uint64_t entries, gw_qcow2_visit *visit, void *opaque,
                          struct gw_error *err);

#endif
