/* SPDX-License-Identifier: MIT
 *
 * inspect: the data that a scan's visitor collects (godwit/inspect.h), and its output.
 */
#ifndef GW_IMAGE_INSPECT_H
#define GW_IMAGE_INSPECT_H

#include "godwit/inspect.h"
#include "examine/author.h"
#include "examine/pages.h"
#include "image/behind.h"
#include "scan/scan.h"
#include "state/text.h"

#define GW_INSPECT_LISTED_MAX (1u << 20) /* runs of elements, and devices */
#define GW_INSPECT_NAMED_MAX 256u        /* disks, dirty bitmaps */
#define GW_INSPECT_TRACKED_MAX (1ull << 44) /* largest RAM for which repeated pages are tracked */

/* What the bytes are used for; the sums add up to the size of the stream. F(NAME, "json_name", "for people") */
#define GW_INSPECT_CAUSES(F)                                                                                           \
    F(HEAD, "head", "header and configuration")                                                                        \
    F(COMMANDS, "commands", "commands")                                                                                \
    F(FRAMES, "section_frames", "heads and footers of sections")                                                       \
    F(BLOCKS, "ram_block_list", "list of RAM blocks")                                                                  \
    F(MAPS, "ram_page_maps", "maps of pages")                                                                          \
    F(GAPS, "ram_gaps", "gaps between mapped pages")                                                                   \
    F(PAGE_HEADS, "ram_page_heads", "heads of page records")                                                           \
    F(ZERO, "ram_zero", "zero pages")                                                                                  \
    F(PLAIN, "ram_plain", "plain pages")                                                                               \
    F(XBZRLE, "ram_xbzrle", "xbzrle pages")                                                                            \
    F(COMPRESSED, "ram_compressed", "compressed pages")                                                                \
    F(MAPPED, "ram_mapped", "mapped pages")                                                                            \
    F(RAM_MARKS, "ram_marks", "end marks of RAM sections")                                                             \
    F(DISK, "disk", "contents of disks")                                                                               \
    F(BITMAPS, "dirty_bitmaps", "dirty bitmaps")                                                                       \
    F(UNKNOWN, "unknown_live_sections", "live sections that are not known")                                            \
    F(DEVICES, "devices", "device state")                                                                              \
    F(DESCRIPTION, "description", "description of the device state")                                                   \
    F(TRAILING, "trailing", "behind the end")                                                                          \
    F(OTHER, "other", "ends of streams and checkpoint messages")

enum gw_inspect_spent {
#define F(name, json, text) GW_SPENT_##name,
    GW_INSPECT_CAUSES(F)
#undef F
        GW_SPENT_COUNT
};

/* Consecutive elements of one kind. */
struct gw_inspect_run {
    uint8_t element;
    bool packaged, unknown;
    uint16_t command;
    uint32_t id, version, instance;
    unsigned checkpoint;
    const char *name; /* of a section */
    uint64_t at, bytes, count;
    uint64_t value; /* PING: its value */
};

struct gw_inspect_device {
    const char *name;
    uint32_t instance, version, id;
    uint64_t at;
    const uint8_t *body;
    uint64_t body_bytes;
    const struct gw_vmdesc_state *state; /* NULL: the structure of the state is not known */
};

struct gw_inspect_block {
    const struct gw_scan_block *block;
    uint64_t pages[GW_SCAN_PAGE_KINDS];
    uint64_t again; /* records of pages that had one before */
    uint64_t *seen; /* NULL: not tracked */
};

struct gw_inspect_disk {
    char name[256];
    uint64_t data, zero; /* chunks of 1 MiB */
};

struct gw_inspect_bitmap {
    char node[256], name[256];
    uint32_t granularity_bytes;
    uint8_t flags;
    uint64_t chunks;
    bool complete;
};

enum gw_inspect_hint {
    GW_HINT_SWITCHOVER = 1 << 0, GW_HINT_FLUSH = 1 << 1, GW_HINT_MAPPED = 1 << 2, GW_HINT_DESCRIBES_HEAD = 1 << 3,
    GW_HINT_DESCRIBES_NO_HEAD = 1 << 4, GW_HINT_COMPRESSED = 1 << 5, GW_HINT_DISK = 1 << 6, GW_HINT_STATE_NEW = 1 << 7,
    GW_HINT_STATE_OLD = 1 << 8,
};

/* What contains the stream; inspect_file.c. */
struct gw_inspect_container {
    const char *kind;    /* "libvirt", "parked"; NULL: the file is the stream */
    const char *program; /* the program that compressed the stream; NULL: none. Offsets are those in the uncompressed stream */
    uint64_t head_bytes; /* bytes of the file before the stream */
    bool was_running;    /* libvirt */
    uint64_t lacking_bytes; /* parked: bytes of its memory that never arrived */
    struct gw_behind behind; /* data after the stream, in an uncompressed file or block device */
};

struct gw_inspect {
    struct gw_reader reader;
    struct gw_scan scan;
    bool open, has_head, ended;
    const struct gw_wire_head *head;
    uint64_t bytes, cause[GW_SPENT_COUNT];
    uint64_t trailing_at; /* where the stream ends and other data follows; 0: none follows */
    uint64_t ram_bytes; /* bytes of page records since the last section */
    struct gw_inspect_run *runs;
    size_t run_count, run_cap;
    uint64_t unlisted; /* elements that are not in runs */
    struct gw_inspect_device *devices;
    size_t device_count, device_cap;
    struct gw_inspect_block *blocks;
    unsigned block_count;
    uint64_t tracked_bytes;
    struct gw_pages pages; /* plain and mapped */
    struct gw_inspect_disk *disks;
    unsigned disk_count;
    struct gw_inspect_bitmap *bitmaps;
    unsigned bitmap_count;
    struct gw_author author;
    unsigned hints, checkpoints;
    bool postcopy, multifd;
    char run_state[33];
    struct gw_error error; /* where the walk ended early */
    bool (*progress)(void *opaque, uint64_t done_bytes, uint64_t total_bytes);
    void *progress_opaque;
    uint64_t total_bytes; /* size of the file; 0: not known */
    uint64_t end_bytes;   /* set before the walk: the end of the file, so that data after the stream need not be read; 0: not
                           * known */
    uint64_t told_at;     /* number of records at the last progress call */
    struct gw_inspect_container container;
    struct gw_image *parked; /* the image whose outline (inspect_parked.h) the stream is; NULL: the stream has its pages */
};

/* Reads the stream: `ahead` holds bytes already read from it; base: the file offset of its first byte. */
int gw_inspect_walk(struct gw_inspect *in, struct gw_channel *channel, const void *ahead, size_t ahead_bytes,
                    uint64_t base, struct gw_error *err);

/* What the stream shows of its source; version numbers as "10.0", "" if there is no such bound. */
struct gw_inspect_source {
    const char *program; /* the program that wrote it: "QEMU", "godwit"; NULL: unknown */
    /* The version of the QEMU that wrote it or, if godwit did, of the QEMU whose machine it is. */
    const char *at_least, *before;
    const char *because[24];
    unsigned because_count;
};
void gw_inspect_source(const struct gw_inspect *in, struct gw_inspect_source *ret);
bool gw_inspect_matches(const struct gw_inspect_device *d, const char *name);
/* "precopy", "postcopy", "checkpoints" */
const char *gw_inspect_kind(const struct gw_inspect *in);

void gw_inspect_json(const struct gw_inspect *in, const struct gw_inspect_options *options, struct gw_text *t);
void gw_inspect_text(const struct gw_inspect *in, const struct gw_inspect_options *options, struct gw_text *t);
/* inspect_screen.c: uses only the title of the options. */
#define GW_SCREEN_LINES 60u
#define GW_SCREEN_COLUMNS 100u
void gw_inspect_screen(const struct gw_inspect *in, const struct gw_inspect_options *options, struct gw_text *t);

/* "1.5 MiB" */
struct gw_human {
    char text[32];
};
struct gw_human gw_inspect_human(uint64_t bytes);

#endif
