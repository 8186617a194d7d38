/* SPDX-License-Identifier: MIT
 *
 * parked: godwit's own file format of a machine at rest, for its reader and its writer. docs/formats/parked.md is the
 * contract; the constants of the format are defined only here.
 *
 *     header | frames ... | parts ... | trailer            written front to back, read from the back
 *
 * Pages that hold more than zeros are numbered in the order in which they first appear; page n lies in frame
 * n / frame_pages. An index of runs says for each page of each block which number it has.
 */
#ifndef GW_IMAGE_PARKED_H
#define GW_IMAGE_PARKED_H

#include "base/crc32c.h"
#include "base/endian.h"
#include "image/image.h"

#define GW_PARKED_TRAILER_MAGIC "gdwttail"
#define GW_PARKED_VERSION       1u
#define GW_PARKED_HEADER_BYTES  64u
#define GW_PARKED_TRAILER_BYTES 4096u
#define GW_PARKED_PARTS_MAX     64u
#define GW_PARKED_PART_BYTES    40u /* of an entry of the trailer */
#define GW_PARKED_PARTS_AT      72u /* in the trailer */

/* Features that a reader must know to read the file. */
#define GW_PARKED_NEEDS_ZSTD 1u
#define GW_PARKED_NEEDS_LIVE 2u
#define GW_PARKED_NEEDS_DICTIONARY 4u
#define GW_PARKED_NEEDS_RECEIVED 8u
#define GW_PARKED_NEEDS_END 16u /* the header says where the file ends */
#define GW_PARKED_KNOWN                                                                                                \
    (GW_PARKED_NEEDS_ZSTD | GW_PARKED_NEEDS_LIVE | GW_PARKED_NEEDS_DICTIONARY | GW_PARKED_NEEDS_RECEIVED | GW_PARKED_NEEDS_END)

#define GW_PARKED_PAGE_BITS_MIN 10u
#define GW_PARKED_PAGE_BITS_MAX 20u
#define GW_PARKED_FRAME_MAX     (4u << 20) /* bytes of a frame, unpacked */
#define GW_PARKED_NUMBERS_MAX   0xfffffffeull
#define GW_PARKED_UNPACKED_MAX  (16u << 20) /* a part that is larger is never compressed */
#define GW_PARKED_DICTIONARY_MAX (4u << 20)
#define GW_PARKED_GROUP_PAGES   4096u       /* pages that have one entry in the page directory */
#define GW_PARKED_GROUP_FRAMES  512u        /* frames that have one entry in the frame directory */
#define GW_PARKED_PAGE_ENTRY    12u         /* bytes: of the page directory, */
#define GW_PARKED_FRAMES_ENTRY  12u         /* of the frame directory, */
#define GW_PARKED_FRAME_ENTRY   8u          /* of the frame table */
#define GW_PARKED_RUN_BYTES_MAX 7u          /* the longest run */

enum gw_parked_part_kind {
    GW_PARKED_HEAD = 1,
    GW_PARKED_BLOCKS,
    GW_PARKED_PAGE_DIRECTORY,
    GW_PARKED_PAGES,
    GW_PARKED_FRAME_DIRECTORY,
    GW_PARKED_FRAMES,
    GW_PARKED_EARLY,
    GW_PARKED_DEVICES,
    GW_PARKED_DESCRIPTION,
    GW_PARKED_LIBVIRT_XML,
    GW_PARKED_LIBVIRT_STATE,
    GW_PARKED_EARLY_SPLIT,
    GW_PARKED_CONFIGURATION,
    GW_PARKED_LIVE,
    GW_PARKED_DICTIONARY,
    GW_PARKED_RECEIVED,
    GW_PARKED_PART_KINDS
};
const char *gw_parked_part_name(uint32_t kind);

/* A reader that does not support live sections would lose them, so they are a required feature. */
static inline uint32_t gw_parked_needs(const struct gw_image_others *others)
{
    return atomic_load(&others->any) ? GW_PARKED_NEEDS_LIVE : 0;
}

#define GW_PARKED_PART_ZSTD 1u /* flag of a part: one zstd frame */

struct gw_parked_part {
    uint32_t kind, flags, crc; /* crc: of the stored bytes */
    uint64_t at, bytes, raw_bytes;
};

struct gw_parked_trailer {
    uint32_t needs, may; /* features */
    uint32_t page_bytes, frame_pages;
    uint64_t file_bytes, frames_end, numbers; /* numbers: stored pages */
    uint32_t part_count;
    struct gw_parked_part parts[GW_PARKED_PARTS_MAX];
};

void gw_parked_put_header(uint8_t dst[GW_PARKED_HEADER_BYTES], const struct gw_parked_trailer *t);
void gw_parked_put_trailer(uint8_t dst[GW_PARKED_TRAILER_BYTES], const struct gw_parked_trailer *t);
/* The end of the file and of its frames, if this header records them plausibly. Nothing else has been checked yet. */
bool gw_parked_header_end(const uint8_t src[GW_PARKED_HEADER_BYTES], uint64_t size, uint64_t *ret_file_bytes, uint64_t *ret_frames_end);
/* Whether the header agrees with the trailer. */
int gw_parked_check_header(const uint8_t src[GW_PARKED_HEADER_BYTES], const struct gw_parked_trailer *t,
                           struct gw_error *err);
/* Everything in it is checked against the size of the file and itself: parts lie back to back between the frames and
 * the trailer, and no known kind occurs twice. */
int gw_parked_get_trailer(const uint8_t src[GW_PARKED_TRAILER_BYTES], uint64_t file_bytes, struct gw_parked_trailer *t,
                          struct gw_error *err);

/* ---- the index: runs of pages ----------------------------------------------------------------------------------- */

enum gw_parked_run_kind {
    GW_PARKED_ZERO,   /* zeros */
    GW_PARKED_FRESH,  /* numbers that continue those of the fresh runs before */
    GW_PARKED_AGAIN,  /* ascending numbers from one that is given */
    GW_PARKED_REPEAT, /* one number, repeated */
};

struct gw_parked_run {
    enum gw_parked_run_kind kind;
    uint32_t pages, number; /* number: of the first page; 0 for ZERO */
};

/* One group being written: pages in order. bytes: of runs that are complete. */
struct gw_parked_runs {
    struct gw_parked_run run; /* the run being extended; pages 0: none */
    uint32_t next;            /* the number of the next fresh page, and */
    uint32_t base;            /* what it would be after the last run written */
    uint32_t pages, bytes;
    uint8_t out[GW_PARKED_GROUP_PAGES * GW_PARKED_RUN_BYTES_MAX];
};

void gw_parked_runs_begin(struct gw_parked_runs *w, uint32_t next);
void gw_parked_runs_zero(struct gw_parked_runs *w, uint32_t pages);
/* Adds a page of this number; w->next is a page never seen before. */
void gw_parked_runs_page(struct gw_parked_runs *w, uint32_t number);
/* Completes the group; 0 bytes: it has only zeros. */
void gw_parked_runs_end(struct gw_parked_runs *w);

struct gw_parked_runs_reader {
    const uint8_t *p, *end;
    uint32_t next;
};
/* The next run, or -EPROTO: invalid bytes. Only to be called while bytes are left. */
int gw_parked_runs_get(struct gw_parked_runs_reader *r, struct gw_parked_run *ret, struct gw_error *err);

/* ---- zstd, if the library is there ------------------------------------------------------------------------------- */

struct gw_packer;
struct gw_unpacker;
struct gw_dictionary; /* any number of threads may use it at once */

bool gw_pack_known(void);
/* data: GW_PARKED_DICTIONARY_ZEROS bytes of zeros, then what frames have in common; copied. level: for packing; 0: for
 * unpacking. -EPROTO: it does not begin with zeros, or has too many bytes. */
#define GW_PARKED_DICTIONARY_ZEROS 8u
int gw_dictionary_new(const uint8_t *data, size_t bytes, int level, struct gw_dictionary **ret, struct gw_error *err);
void gw_dictionary_free(struct gw_dictionary *d);
/* dictionary: borrowed; its level takes precedence; NULL: none. */
int gw_packer_new(int level, const struct gw_dictionary *dictionary, struct gw_packer **ret, struct gw_error *err);
void gw_packer_free(struct gw_packer *p);
/* Returns the bytes written, or 0: they do not fit. */
size_t gw_packer_pack(struct gw_packer *p, const void *src, size_t bytes, void *dst, size_t room);
int gw_unpacker_new(const struct gw_dictionary *dictionary, struct gw_unpacker **ret, struct gw_error *err);
void gw_unpacker_free(struct gw_unpacker *u);
/* Whether src is one frame of exactly `bytes` bytes. */
bool gw_unpacker_unpack(struct gw_unpacker *u, const void *src, size_t stored, void *dst, size_t bytes);

#endif
