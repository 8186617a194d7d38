/* SPDX-License-Identifier: MIT
 *
 * scan: walks through a migration stream and reports its contents to a visitor (docs/wire-format.md).
 *
 * No machine is needed, and streams can be walked that the engine does not load: multifd's main stream, postcopy,
 * xbzrle, compressed pages, disks, dirty bitmaps, COLO checkpoints, mapped-ram. Device sections carry no length; their
 * ends are found with the description at the end (wire-format.md 13.3) or, without one, from what may follow.
 *
 *     head --> elements --EOF--> [description] --COLO--> checkpoints
 *
 * Hostile: everything in the stream. Memory is allocated only for bytes that arrived (device state, at most
 * GW_SCAN_TAIL_MAX) and for at most GW_SCAN_BLOCKS_MAX RAM blocks; the maps of mapped blocks need none for zeros, so
 * that a sparse file costs only its contents.
 * Errors: -EPROTO what is wrong and the offset, -ENODATA the stream ends too early, -ENOMEM. A negative return of the
 * visitor ends the walk and is handed on.
 * Threads: one owner.
 */
#ifndef GW_SCAN_H
#define GW_SCAN_H

#include "channel/reader.h"
#include "state/vmdesc_read.h"
#include "wire/head.h"
#include "wire/numbers.h"
#include "wire/section.h"

#define GW_SCAN_TAIL_MAX      (1ull << 30) /* bytes of device state, all in memory */
#define GW_SCAN_TAIL_LIVE_MAX (1ull << 29) /* the same beside a machine's RAM (virtio-gpu alone may have 256 MiB) */
#define GW_SCAN_RAM_MAX    (1ull << 46) /* bytes in all */
#define GW_SCAN_BLOCKS_MAX 4096u

struct gw_scan_command {
    uint64_t at, bytes; /* bytes: the whole element, without the contents of a package */
    uint16_t number;
    const uint8_t *payload; /* valid during the call */
    uint16_t payload_bytes;
    bool packaged; /* inside a package */
};

struct gw_scan_section {
    uint8_t element; /* START PART END FULL */
    uint32_t id, instance, version;
    const char *name;        /* valid until gw_scan_close */
    uint64_t at, bytes;      /* from the type byte to the end of the footer */
    uint64_t body_bytes;
    const uint8_t *body;     /* device state: valid until gw_scan_close (in a checkpoint, or for an unknown live section, during
                              * the call); else NULL */
    const struct gw_vmdesc_state *state; /* its description; NULL: none, or it comes later */
    bool packaged;
    bool early;              /* a device that comes in the set-up, before contents of RAM */
    unsigned checkpoint;     /* COLO: 1, 2, ...; else 0 */
};

struct gw_scan_block {
    char name[256];
    uint64_t used_bytes;
    uint64_t host_page_bytes; /* 0: not recorded */
    bool has_gpa, mapped;
    uint64_t gpa;
    uint64_t bitmap_at, bitmap_bytes, pages_at; /* mapped */
    unsigned index;
};

enum gw_scan_page_kind { GW_SCAN_ZERO, GW_SCAN_PLAIN, GW_SCAN_XBZRLE, GW_SCAN_COMPRESSED, GW_SCAN_MAPPED,
                         GW_SCAN_PAGE_KINDS };

struct gw_scan_page {
    const struct gw_scan_block *block;
    uint64_t offset; /* in the block */
    enum gw_scan_page_kind kind;
    const uint8_t *data; /* PLAIN and MAPPED: the page, valid during the call; else NULL */
    const uint8_t *coded; /* XBZRLE and COMPRESSED: the encoded page, valid during the call; else NULL */
    uint32_t coded_bytes;
    uint64_t at;          /* offset of data or coded in the stream */
    uint32_t head_bytes, payload_bytes; /* of the record */
};

struct gw_scan_disk { /* a chunk of a disk */
    const char *name;
    uint64_t sector;
    bool zero;
};

enum gw_scan_bitmap_what { GW_SCAN_BITMAP_START, GW_SCAN_BITMAP_BITS, GW_SCAN_BITMAP_COMPLETE };
struct gw_scan_bitmap {
    const char *node, *name;
    enum gw_scan_bitmap_what what;
    uint32_t granularity_bytes; /* START */
    uint8_t flags;              /* START: GW_BITMAP_ENABLED, GW_BITMAP_PERSISTENT (wire/bitmap_record.h) */
};

/* Any member may be NULL. */
struct gw_scan_visitor {
    int (*head)(void *opaque, const struct gw_wire_head *head);
    int (*command)(void *opaque, const struct gw_scan_command *command);
    int (*section)(void *opaque, const struct gw_scan_section *section); /* called at its end, when its size is known */
    int (*page_size)(void *opaque, uint32_t page_bytes);                 /* called before the RAM blocks */
    int (*block)(void *opaque, const struct gw_scan_block *block);       /* the block stays until gw_scan_close */
    int (*page)(void *opaque, const struct gw_scan_page *page);
    /* The map of a mapped block, block->bitmap_bytes long. If the visitor has this function, the mapped pages are
     * neither read nor reported; the scan still checks that the file reaches to their end. */
    int (*map)(void *opaque, const struct gw_scan_block *block, const uint8_t *map);
    int (*flush)(void *opaque);                                          /* MULTIFD_FLUSH */
    int (*disk)(void *opaque, const struct gw_scan_disk *disk);
    int (*bitmap)(void *opaque, const struct gw_scan_bitmap *bitmap);
    int (*description)(void *opaque, const struct gw_vmdesc_tree *tree, uint64_t at, uint64_t bytes);
    int (*eof)(void *opaque, uint64_t at);
    /* Data after the end of the stream. With gw_scan.stops `bytes` is only the part that was already read. */
    int (*trailing)(void *opaque, uint64_t at, uint64_t bytes);
};

struct gw_scan {
    struct gw_reader *r;
    const struct gw_scan_visitor *v;
    void *opaque;
    struct gw_wire_head head;
    uint32_t page_bytes;
    unsigned page_bits;   /* set by the caller if neither the head nor any record says it; 0: not known */
    bool mapped, ignore_shared, colo, listed;
    uint64_t host_pages;  /* from ADVISE: the set of page sizes in use */
    int footers;          /* -1: not known yet */
    unsigned early;       /* device sections of the set-up */
    bool set_up;          /* the set-up has ended: PART, END or SWITCHOVER_START was seen */
    unsigned checkpoint;
    bool packaged;
    char guessed[256];    /* the last live section whose end had to be searched for; "": none */
    uint32_t guessed_id;
    bool stops;           /* do not read after the end: it may be the rest of a large volume */
    bool live;            /* the peer may wait for an answer instead of closing: a time-out may mean the end */
    unsigned silences;    /* live: this many time-outs in a row end the stream, wherever it is; 0: never */
    struct gw_section_head bound[16];
    unsigned bound_count;
    struct gw_scan_block **blocks;
    unsigned block_count;
    struct gw_scan_block *last;
    char disk[256], node[256], bitmap[256]; /* names that later chunks omit */
    struct gw_vmdesc_tree *tree;
    uint8_t *tail;        /* the device sections */
    size_t tail_bytes, tail_cap;
    struct gw_arena kept; /* other bodies and names */
};

/* Walks the whole stream. r is at the header, with the file offset as its offset; if its channel can seek, absent pages
 * of a mapped-ram file are skipped. gw_scan_close is needed also after a failure. */
void gw_scan_init(struct gw_scan *s, struct gw_reader *r, const struct gw_scan_visitor *v, void *opaque);
int gw_scan_run(struct gw_scan *s, struct gw_error *err);
void gw_scan_close(struct gw_scan *s);
/* Appends a section with its body as in the stream. */
void gw_scan_put_section(const struct gw_scan *s, const struct gw_scan_section *section, struct gw_out *out);

#endif
