/* SPDX-License-Identifier: MIT
 *
 * A parked file that is open for reading. What it takes in memory: the two directories (32 bytes for 16 MiB of guest
 * and 24 for 512 frames), the parts of the index that were asked for as they stand in the file, and a few unpacked
 * frames.
 *
 * Threads: everything here may be called by several at a time. A group of the index is loaded by the thread that needs it first; if
 * two load it at once, the second discards its copy. The cache of frames has a lock, which is not held while a thread reads or
 * unpacks.
 */
#ifndef GW_IMAGE_PARKED_READER_H
#define GW_IMAGE_PARKED_READER_H

#include <pthread.h>

#include "image/bytes.h"
#include "image/parked/bulk.h"
#include "image/parked/parked.h"

#define GW_PARKED_BULK_BYTES (1u << 20) /* of frames that are read in one go */

struct gw_parked_group { /* of GW_PARKED_GROUP_PAGES pages of a block */
    uint64_t at;         /* in the file */
    uint32_t bytes, crc; /* bytes 0: zeros only */
    uint32_t next;       /* number of the first fresh page */
    _Atomic(uint8_t *) runs;
};

struct gw_parked_frames { /* GW_PARKED_GROUP_FRAMES entries of the frame table */
    uint64_t at;          /* of its first frame in the file */
    uint32_t crc;         /* of the entries */
    _Atomic(uint8_t *) table;
};

struct gw_parked_slot {
    enum { GW_SLOT_EMPTY, GW_SLOT_BUSY, GW_SLOT_READY } state;
    uint32_t frame;
    unsigned pins;
    uint64_t used; /* the least was used longest ago */
    uint8_t *pages;
};

struct gw_parked_decoder {        /* what one thread needs to unpack */
    struct gw_unpacker *unpacker; /* NULL: the file has nothing packed */
    uint8_t *stored;              /* of one frame */
    uint8_t *bulk;                /* of many: gw_bulk_room(GW_PARKED_BULK_BYTES), aligned; NULL: not needed yet */
    struct gw_parked_decoder *next;
};

struct gw_parked_extent { /* of a frame */
    uint64_t at;          /* in the file */
    uint32_t bytes, crc;  /* as it is stored */
    uint32_t raw_bytes;   /* of its pages; `bytes` is as much or less */
};

struct gw_parked {
    struct gw_bytes *bytes;
    struct gw_bulk bulk;
    char name[256]; /* for messages */
    struct gw_parked_trailer trailer;
    const struct gw_parked_part *part[GW_PARKED_PART_KINDS]; /* NULL: not there */
    uint32_t frame_count, frame_bytes;
    struct gw_dictionary *dictionary; /* NULL: frames need none */

    struct gw_parked_group **groups; /* of each block */
    struct gw_parked_frames *frames;
    uint32_t frames_groups;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct gw_parked_slot *slots;
    unsigned slot_count;
    uint64_t clock;
    struct gw_parked_decoder *decoders; /* free ones */
};

#define GW_PARKED_SLICE     512u /* pages that are looked up and read in one go */
#define GW_PARKED_NO_NUMBER UINT32_MAX

/* Bytes of the file. -EIO; -EPROTO: they are not there. */
int gw_parked_pread(struct gw_parked *p, uint64_t at, void *dst, size_t bytes, struct gw_error *err);
/* Bytes of the index, checked, malloc'd. */
int gw_parked_load(struct gw_parked *p, uint64_t at, size_t bytes, uint32_t crc, uint8_t **ret, struct gw_error *err);
/* Others may have loaded the same meanwhile: the first stays, and is returned. Takes data. */
const uint8_t *gw_parked_publish(_Atomic(uint8_t *) *where, uint8_t *data);
/* Where a frame lies, checked. */
int gw_parked_find_frame(struct gw_parked *p, uint32_t frame, struct gw_parked_extent *ret, struct gw_error *err);
/* A free one, for the caller alone until it is put back. */
int gw_parked_get_decoder(struct gw_parked *p, struct gw_parked_decoder **ret, struct gw_error *err);
void gw_parked_put_decoder(struct gw_parked *p, struct gw_parked_decoder *d);
/* The pages of a frame to dst (raw_bytes). stored: its bytes in the file, which may be at dst where they are the pages;
 * NULL: they are read. The checksum is looked at first. */
int gw_parked_unpack(struct gw_parked *p, struct gw_parked_decoder *d, uint32_t frame, const struct gw_parked_extent *x,
                     const uint8_t *stored, uint8_t *dst, struct gw_error *err);
/* A frame, unpacked, until it is unpinned: soon, and no thread pins two. The rest as above. */
int gw_parked_pin(struct gw_parked *p, struct gw_parked_decoder *d, uint32_t frame, const struct gw_parked_extent *x,
                  const uint8_t *stored, struct gw_parked_slot **ret, struct gw_error *err);
void gw_parked_unpin(struct gw_parked *p, struct gw_parked_slot *s);
/* Pages of these numbers to dst, at most GW_PARKED_SLICE. GW_PARKED_NO_NUMBER: zeros, or, without `zeros`, nothing is
 * written. pages.c */
int gw_parked_pages(struct gw_parked *p, const uint32_t *numbers, uint32_t count, bool zeros, uint8_t *dst,
                    struct gw_error *err);
int gw_parked_frames_open(struct gw_parked *p, struct gw_error *err);
void gw_parked_frames_close(struct gw_parked *p);
/* What reading all pages does not look at. */
int gw_parked_check(struct gw_image *image, struct gw_error *err);
/* The ops of an image behind whose `own` is a struct gw_parked. */
extern const struct gw_image_ops gw_parked_ops;

#endif
