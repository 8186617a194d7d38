/* SPDX-License-Identifier: MIT
 *
 * image: a machine at rest, as the files of this folder see it (godwit/image.h is the public side).
 *
 * A format that can be read is a gw_image_ops behind a gw_image that its open function filled; one that can be written
 * is a function that reads everything from any gw_image. Neither knows another format.
 *
 *     parked, stream, mapped-ram, libvirt, memory  --gw_image_ops-->  writers, send, verify, diff, extract
 *
 * The head, the lists and the blobs are filled once, before other threads see the image, and do not change afterwards.
 */
#ifndef GW_IMAGE_IMAGE_H
#define GW_IMAGE_IMAGE_H

#include <sys/types.h>

#include "base/base.h"
#include "godwit/image.h"
#include "image/behind.h"
#include "image/others.h"
#include "wire/head.h"

struct gw_bytes;
struct gw_held;
struct gw_ram_block;

struct gw_image_block {
    char name[256];
    uint64_t used_bytes, pages;
    uint64_t host_page_bytes; /* 0: not recorded */
    uint64_t gpa;             /* guest-physical address, if recorded (has_gpa) */
    bool has_gpa;
};

struct gw_image_inode {
    dev_t device;
    ino_t number;
};

/* The file that the image was opened from (origin.c). Kept open so that its inode number is not reused. */
struct gw_image_origin {
    bool known; /* false: it was not a regular file */
    bool part;  /* the machine begins inside the file: other data may lie before and after it */
    int fd;
    struct gw_image_inode inode;
    char path[4096]; /* absolute, without symbolic links, as resolved at opening */
};

/* Pages are target pages of a block. `read` and `map` are called by several threads at a time. gw_image_* below have
 * checked that the range lies inside the block. */
struct gw_image_ops {
    /* kinds[i] = 1: page first+i may have contents, 0: it is known to be zeros. Cheap: no page is read for it. */
    int (*map)(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *kinds,
               struct gw_error *err);
    /* Contents of count pages to dst, zeros included. */
    int (*read)(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *dst,
                struct gw_error *err);
    /* Frees `own`; gw_image_free frees the common parts. */
    void (*close)(struct gw_image *image);
    /* Checks the parts of the file that no other function reads. NULL: there are none. */
    int (*check)(struct gw_image *image, struct gw_error *err);
    /* map and read in one call, for a reader of the whole image: where kinds[i] is 0, dst is unchanged. NULL: map and read are
     * called. */
    int (*fetch)(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *kinds, uint8_t *dst,
                 struct gw_error *err);
    /* Whether all pages of group number `group` of the block (GW_IMAGE_GROUP pages) are known to be zeros. No page is read or
     * mapped for it, so readers skip empty groups at no cost. NULL: never. */
    bool (*empty)(const struct gw_image *image, unsigned block, uint64_t group);
    /* numbers[i]: below stored_pages, and pages of one number have the same contents; or GW_IMAGE_ZEROS. No page is read for it.
     * NULL: not known. */
    int (*numbers)(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint32_t *numbers,
                   struct gw_error *err);
    /* at[i]: the file offset where the page is stored unchanged; GW_IMAGE_NOWHERE: zeros, or stored in another form. No
     * page is read for it. NULL: not known. */
    int (*places)(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint64_t *at, struct gw_error *err);
    /* What lies in the file after the machine. NULL: nothing can, or `check` looks at it. */
    int (*behind)(struct gw_image *image, struct gw_behind *ret, struct gw_error *err);
};
#define GW_IMAGE_NOWHERE UINT64_MAX
#define GW_IMAGE_GROUP 4096u
#define GW_IMAGE_ZEROS UINT32_MAX

struct gw_image {
    const struct gw_image_ops *ops;
    void *own; /* data of the format */
    enum gw_image_format format;

    struct gw_image_origin origin;
    const char *temporary_folder; /* used while opening; NULL: the default */
    bool unpacked;  /* the bytes read are not those of the file, which was compressed or is a disk image */
    unsigned depth; /* useful number of concurrent reads; 0: one per processor */

    /* head */
    char machine[256];   /* "": the stream had no configuration section */
    uint32_t page_bytes;
    unsigned page_bits;
    bool has_uuid;
    uint8_t uuid[16];
    bool footers;        /* sections end with one; false in machine types up to 2.3 */
    struct gw_wire_head *head; /* as received, with its unknown parts. NULL: only the fields above are kept */
    uint32_t ram_id;     /* section id of "ram": unique among those in the blobs */

    struct gw_image_block *blocks; /* calloc'd, as the blobs are */
    unsigned block_count;
    uint64_t stored_pages; /* of images whose ops have `numbers` */

    /* Whole elements, as in the stream. early: FULL sections of the set-up (virtio-mem), of which early_before bytes
     * came before the RAM's START and the others between that and its first PART; devices: the FULL sections behind the
     * RAM, without EOF; description: the JSON text behind EOF, 0 bytes where there was none. */
    uint8_t *early, *devices;
    char *description;
    size_t early_bytes, early_before, devices_bytes, description_bytes;

    /* For a machine whose source was lost in postcopy: for each block a bitmap of the pages received; the others read as zeros.
     * NULL: the machine is complete. */
    uint64_t **received;
    bool awaits; /* in memory: the rest of another image, whose `received` map it starts with; pages that are in that image need
                  * not arrive here */

    struct gw_image_others others; /* unknown live sections */

    char *libvirt_xml; /* of a libvirt save image: the domain, NUL-terminated; else NULL. Kept by parked files */
    char *libvirt_cookie;      /* the cookie that libvirt wrote after it; NULL: none */
    bool libvirt_saved, libvirt_was_running; /* whether libvirt saved it, and whether it ran before that: libvirt stops a guest
                                              * first, so the device state says paused. Kept by parked files, as the cookie is */

    unsigned readers; /* threads that read ahead for a source; 0: one per processor */

    char *far_uri;      /* of the server it is read from; else NULL */
    uint64_t far_bytes; /* size of the file that was last written to a server */
    struct gw_image_out *kept; /* what gw_image_revert undoes; NULL: nothing */
    struct gw_stage *stage; /* writes the file while the machine arrives (parked/stage.h); NULL: none */
    void (*stage_free)(struct gw_stage *stage);

    struct gw_image_guest *guest; /* the vm made from it; engine/image_vm.c */
    void (*free_guest)(struct gw_image *image);
};

/* What can be done with a format; formats.c has the table. NULL: cannot. */
struct gw_image_format_ops {
    enum gw_image_format format;
    const char *name;
    /* Whether a file that begins with these bytes has this format. */
    bool (*recognise)(const uint8_t *head, size_t bytes);
    /* Fills an image that is zeros. Takes fd, a regular file, also on failure. name: for messages. */
    int (*open)(int fd, const char *name, struct gw_image *image, struct gw_error *err);
    /* The same from bytes, which may be remote; NULL: only files. Takes them, also on failure. */
    int (*open_bytes)(struct gw_bytes *take_bytes, const char *name, struct gw_image *image, struct gw_error *err);
    /* The checks of gw_image_check_options. */
    int (*check)(const struct gw_image_write_options *options, struct gw_error *err);
    /* Writes to an empty file or, if `pipe`, to any descriptor. */
    int (*write)(struct gw_image *image, const struct gw_image_write_options *options, int fd, struct gw_error *err);
    bool pipe;
    /* Writes to bytes that may be larger than the file; it may write the beginning again at the end. NULL: only
     * files. */
    int (*write_bytes)(struct gw_image *image, const struct gw_image_write_options *options, struct gw_bytes *to, struct gw_error *err);
};
extern const struct gw_image_format_ops gw_image_formats[];
extern const unsigned gw_image_format_count;

/* Adds a block of zeros. -EPROTO: the name is taken, or the size is no multiple of the page size. */
int gw_image_add_block(struct gw_image *image, const char *name, uint64_t used_bytes, struct gw_image_block **ret,
                       struct gw_error *err);
/* Pages of this block without a bit in the map are lost: the machine is incomplete. The map is calloc'd, and taken. */
int gw_image_lacks(struct gw_image *image, unsigned block, uint64_t *take_received, struct gw_error *err);
/* From now on missing pages are read from `rest`, which must outlive the image; the caller has compared the two. A page
 * missing in both stays missing. On error the image is unchanged. */
int gw_image_join(struct gw_image *image, struct gw_image *rest, struct gw_error *err);
/* Takes the run state (runs or paused) of the other image, if both record one. */
void gw_image_take_runs(struct gw_image *image, const struct gw_image *from);
/* All pages have arrived: the machine is complete. */
void gw_image_lacks_nothing(struct gw_image *image);
/* Bytes of memory that are lost. 0: it is complete. */
uint64_t gw_image_lacking(const struct gw_image *image);
/* Makes a description with the sections' offsets and sizes for a machine that came without one. -EPROTO: the ends of
 * sections are not known. */
int gw_image_describe(struct gw_image *image, struct gw_error *err);
/* Frees the common parts, and sets them to zeros. */
void gw_image_clear(struct gw_image *image);
int gw_image_map(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *kinds,
                 struct gw_error *err);
int gw_image_pages(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *dst,
                   struct gw_error *err);
/* kinds as by map; dst: the contents of the pages that may have any, the place of the others is undefined. */
int gw_image_fetch(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *kinds, uint8_t *dst,
                   struct gw_error *err);

/* Whether group number `group`, which must exist, is known to be zeros. */
static inline bool gw_image_empty(const struct gw_image *image, unsigned block, uint64_t group)
{
    return image->ops->empty && image->ops->empty(image, block, group);
}

/* Keeps a copy of the head, and sets the image's fields from it. */
int gw_image_keep_head(struct gw_image *image, const struct gw_wire_head *head, struct gw_error *err);
/* The head as a stream of the image begins, without the capabilities that say how RAM is written (mapped-ram, x-ignore-shared):
 * the writer adds those that it uses. */
void gw_image_head(const struct gw_image *image, struct gw_wire_head *ret);

void gw_image_set_origin(struct gw_image *image, int fd, const char *path);
void gw_image_close_origin(struct gw_image *image);
/* Moves this very file to another name. -ENOENT: no file has its name; -ESTALE: another file has, and is left alone;
 * -EEXIST: `to` is taken, or was given to another file that could not be put back. */
int gw_image_take_away(const struct gw_image_inode *own, const char *path, const char *to);

/* What gw_image_write does in common for all formats: the temporary name, its removal, sync, the name, sync of the folder;
 * and the file that it replaces, which is kept until the new one is final. */
struct gw_image_out {
    int fd; /* of the temporary file, open for reading and writing, empty; -1: */
    struct gw_held *far; /* on a server, which does not keep the replaced contents */
    char path[4096], temporary[4096];
    bool replace;
    /* Set before commit: only this file is replaced (number 0: any); the replaced file is kept until close. */
    struct gw_image_inode only;
    bool keep;
    /* After commit. */
    bool placed;
    struct gw_image_inode own;
    char before[4096]; /* name of the replaced file; "": none, or it was not kept */
};
int gw_image_out_open(struct gw_image_out *out, const char *path, bool replace, struct gw_error *err);
/* The same, or on a server (held.h). */
int gw_image_out_open_anywhere(struct gw_image_out *out, const char *path, bool replace, struct gw_error *err);
/* The file is complete: gives it its name. -EEXIST, -ENOENT: with `only`, that name now has another file, or none. On
 * error nothing has changed. */
int gw_image_out_commit(struct gw_image_out *out, struct gw_error *err);
/* After a commit with `keep`: as gw_image_revert. */
int gw_image_out_revert(struct gw_image_out *out, const char *aside, struct gw_error *err);
/* Also after commit: closes, and removes the replaced file. Without a commit the temporary file is removed. */
void gw_image_out_close(struct gw_image_out *out);
/* Makes room for an output that can be reverted, instead of the previous one, whose file stays. -ENOMEM. */
int gw_image_keep(struct gw_image *image, struct gw_error *err);
/* It cannot be reverted any more. */
void gw_image_let_go(struct gw_image *image);

/* The formats' own; see gw_image_format_ops. base: file offset at which the stream begins (libvirt). */
int gw_parked_open(int fd, const char *name, struct gw_image *image, struct gw_error *err);
int gw_parked_open_bytes(struct gw_bytes *take_bytes, const char *name, struct gw_image *image, struct gw_error *err);
int gw_parked_write(struct gw_image *image, const struct gw_image_write_options *options, int fd, struct gw_error *err);
int gw_parked_write_bytes(struct gw_image *image, const struct gw_image_write_options *options, struct gw_bytes *to,
                          struct gw_error *err);
int gw_parked_check_options(const struct gw_image_write_options *options, struct gw_error *err);
int gw_stream_open(int fd, const char *name, struct gw_image *image, struct gw_error *err);
int gw_stream_open_at(int fd, const char *name, uint64_t base, struct gw_image *image, struct gw_error *err);
int gw_stream_write(struct gw_image *image, const struct gw_image_write_options *options, int fd, struct gw_error *err);
int gw_stream_check_options(const struct gw_image_write_options *options, struct gw_error *err);
int gw_mapped_check_options(const struct gw_image_write_options *options, struct gw_error *err);
int gw_mapped_write(struct gw_image *image, const struct gw_image_write_options *options, int fd, struct gw_error *err);
int gw_mapped_write_at(struct gw_image *image, const struct gw_image_write_options *options, int fd, uint64_t base,
                       struct gw_error *err);
int gw_libvirt_open(int fd, const char *name, struct gw_image *image, struct gw_error *err);
int gw_libvirt_write(struct gw_image *image, const struct gw_image_write_options *options, int fd, struct gw_error *err);
int gw_libvirt_check_options(const struct gw_image_write_options *options, struct gw_error *err);

/* An image in memory, for a destination to fill. Gives a block memory that reads as zeros. */
int gw_memory_add_block(struct gw_image *image, const char *name, uint64_t used_bytes, uint8_t **ret_host,
                        struct gw_error *err);
/* Back to empty. */
void gw_memory_forget(struct gw_image *image);
/* From now on reading fails with -ECANCELED, so that whatever writes it ends soon. Any thread. */
void gw_memory_abandon(struct gw_image *image);
/* Where the block is mapped; NULL: this is no image in memory. */
/* For gw_store_direct_set_room; opaque: the image. Memory that is a file gets its room on the disk. */
int gw_memory_room(void *opaque, const struct gw_ram_block *b, uint64_t offset, uint64_t bytes, struct gw_error *err);
bool gw_memory_is_file(const struct gw_image *image);
uint8_t *gw_memory_host(const struct gw_image *image, unsigned block);

/* Parked files begin with this. */
#define GW_PARKED_MAGIC "gdwtpark"

#endif
