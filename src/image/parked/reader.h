/* SPDX-License-Identifier: MIT
 *
 * A parked file that is open for reading. Memory: the two directories (32 bytes for 16 MiB of guest and 24 for 512
 * frames), the parts of the index read so far, in the file's form, and a few unpacked frames.
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

#define GW_PARKED_BULK_BYTES (1u << 20) /* bytes of frames read at once */

struct gw_parked_group { /* of GW_PARKED_GROUP_PAGES pages of a block */
    uint64_t at;         /* offset in the file */
    uint32_t bytes, crc; /* bytes 0: zeros only */
    uint32_t next;       /* number of the first fresh page */
    _Atomic(uint8_t *) runs;
};

struct gw_parked_frames { /* GW_PARKED_GROUP_FRAMES entries of the frame table */
    uint64_t at;          /* file offset of its first frame */
    uint32_t crc;         /* checksum of the entries */
    _Atomic(uint8_t *) table;
};

struct gw_parked_slot {
    enum { GW_SLOT_EMPTY, GW_SLOT_BUSY, GW_SLOT_READY } state;
    uint32_t frame;
    unsigned pins;
    uint64_t used; /* the lowest value is the least recently used */
    uint8_t *pages;
};

struct gw_parked_decoder {        /* state that one thread needs to unpack */
    struct gw_unpacker *unpacker; /* NULL: the file has no compressed frames */
    uint8_t *stored;              /* room for one stored frame */
    uint8_t *bulk;                /* room for many: gw_bulk_room(GW_PARKED_BULK_BYTES), aligned; NULL: not needed yet */
    struct gw_parked_decoder *next;
};

struct gw_parked_extent { /* position of a frame */
    uint64_t at;          /* offset in the file */
    uint32_t bytes, crc;  /* as it is stored */
    uint32_t raw_bytes;   /* of its pages; `bytes` is at most this */
};

struct gw_parked {
    struct gw_bytes *bytes;
    struct gw_bulk bulk;
    char name[256]; /* for messages */
    struct gw_parked_trailer trailer;
    const struct gw_parked_part *part[GW_PARKED_PART_KINDS]; /* NULL: the file has no such part */
    uint32_t frame_count, frame_bytes;
    struct gw_dictionary *dictionary; /* NULL: frames need none */

    struct gw_parked_group **groups; /* for each block */
    struct gw_parked_frames *frames;
    uint32_t frames_groups;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct gw_parked_slot *slots;
    unsigned slot_count;
    uint64_t clock;
    struct gw_parked_decoder *decoders; /* those that are not in use */
};

#define GW_PARKED_SLICE     512u /* pages that are looked up and read in one go */
#define GW_PARKED_NO_NUMBER UINT32_MAX

/* Reads bytes of the file. -EIO; -EPROTO: the file is too short. */
int gw_parked_pread(struct gw_parked *p, uint64_t at, void *dst, size_t bytes, struct gw_error *err);
/* Loads bytes of the index and checks them; malloc'd. */
int gw_parked_load(struct gw_parked *p, uint64_t at, size_t bytes, uint32_t crc, uint8_t **ret, struct gw_error *err);
/* Publishes loaded data. If another thread was first, its copy stays and is returned. Takes data. */
const uint8_t *gw_parked_publish(_Atomic(uint8_t *) *where, uint8_t *data);
/* The position of a frame, checked. */
int gw_parked_find_frame(struct gw_parked *p, uint32_t frame, struct gw_parked_extent *ret, struct gw_error *err);
/* A free decoder; the caller's until it is put back. */
int gw_parked_get_decoder(struct gw_parked *p, struct gw_parked_decoder **ret, struct gw_error *err);
void gw_parked_put_decoder(struct gw_parked *p, struct gw_parked_decoder *d);
/* The pages of a frame to dst (raw_bytes). stored: its bytes from the file, which may already be at dst if
 * uncompressed; NULL: they are read. The checksum is verified first. */
int gw_parked_unpack(struct gw_parked *p, struct gw_parked_decoder *d, uint32_t frame, const struct gw_parked_extent *x,
                     const uint8_t *stored, uint8_t *dst, struct gw_error *err);
/* Pins an unpacked frame in the cache. The caller unpins it soon, and no thread pins two. The other parameters as
 * above. */
int gw_parked_pin(struct gw_parked *p, struct gw_parked_decoder *d, uint32_t frame, const struct gw_parked_extent *x,
                  const uint8_t *stored, struct gw_parked_slot **ret, struct gw_error *err);
void gw_parked_unpin(struct gw_parked *p, struct gw_parked_slot *s);
/* Copies the pages of these numbers to dst, at most GW_PARKED_SLICE. GW_PARKED_NO_NUMBER: zeros, or, without `zeros`,
 * nothing is written. pages.c */
int gw_parked_pages(struct gw_parked *p, const uint32_t *numbers, uint32_t count, bool zeros, uint8_t *dst,
                    struct gw_error *err);
int gw_parked_frames_open(struct gw_parked *p, struct gw_error *err);
void gw_parked_frames_close(struct gw_parked *p);
/* Where the file ends in its container, as its header says or as a trailer is found; the container's size: neither does. The
 * caller checks the trailer there. end.c */
uint64_t gw_parked_find_end(struct gw_parked *p, const uint8_t header[GW_PARKED_HEADER_BYTES]);
int gw_parked_behind(struct gw_image *image, struct gw_behind *ret, struct gw_error *err);
/* Checks what reading all pages does not cover. */
int gw_parked_check(struct gw_image *image, struct gw_error *err);
/* The ops of an image whose `own` is a struct gw_parked. */
extern const struct gw_image_ops gw_parked_ops;

#endif
