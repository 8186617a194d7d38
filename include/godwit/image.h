/* SPDX-License-Identifier: MIT
 *
 * image: a machine at rest: in a parked file, a migration stream, a mapped-ram file, a libvirt save image, or in memory.
 *
 * An image can hold the machine of any VMM: device sections are kept as raw bytes (docs/wire-format.md 13.3), so their devices
 * need not be known here. An image is opened from a file of any of these formats (detected by content) or received from a
 * running VMM; it can be written in any of them or sent to a waiting VMM.
 *
 *     gw_image_open ----.                    .--> gw_image_write (any format)
 *                        >-- struct gw_image --> gw_image_vm --> gw_send_start
 *     gw_image_new  ----'                    '--> gw_image_read, verify, ...
 *        '-- gw_image_vm --> gw_recv_start fills it
 *
 * Nothing in a file is trusted. Threads: one owner, except for functions marked (any): several threads may call those at a
 * time once the image is open, or has been received.
 */
#ifndef GODWIT_IMAGE_H
#define GODWIT_IMAGE_H

#include "godwit/vm.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gw_image;

enum gw_image_format {
    GW_IMAGE_MEMORY,     /* received, in this process */
    GW_IMAGE_PARKED,     /* docs/formats/parked.md */
    GW_IMAGE_STREAM,     /* a migration stream as QEMU writes it; also compressed as a whole */
    GW_IMAGE_MAPPED_RAM, /* QEMU's mapped-ram */
    GW_IMAGE_LIBVIRT,    /* a libvirt save image */
    GW_IMAGE_FORMATS
};
/* "memory", "parked", "stream", "mapped-ram", "libvirt". */
GW_API const char *gw_image_format_name(enum gw_image_format format);
/* An enum gw_image_format; -1: there is no format of this name. */
GW_API int gw_image_format_find(const char *name);

/* Opens the file at path; "-" is standard input. PATH,offset=N is a migration stream or mapped-ram file that begins at byte N
 * (decimal or 0x hex, optionally with K, M, G or T), unless a file of that whole name exists. Input that is not seekable (a
 * pipe, a file compressed as a whole) is first unpacked into an unlinked sparse file in /var/tmp. -EPROTO: the file has none
 * of the formats, or is damaged; the text has offset and reason.
 *
 * nbd://HOST[:PORT]/EXPORT, nbds:// and nbd+unix:///EXPORT?socket=PATH name an export of an NBD server; they need a library
 * built with libnbd (else -ENOTSUP). A parked file is read from the server on demand; other formats are first copied into an
 * unlinked file. A lost connection is reopened a few times, so the process must be able to open sockets. Such an image cannot
 * be locked, marked or removed. */
GW_API int gw_image_open(const char *path, struct gw_image **ret_image, struct gw_error *err);
/* The same with another folder for temporary files; NULL: /var/tmp. */
GW_API int gw_image_open_in(const char *path, const char *temporary_folder, struct gw_image **ret_image,
                            struct gw_error *err);
/* Splits a path as above into file and offset. path has GW_PATH_TEXT bytes. -EINVAL: it is too long. */
#define GW_PATH_TEXT 4096
GW_API int gw_path_split(const char *text, char *path, uint64_t *ret_offset, struct gw_error *err);
/* Whether this is the URI of an export on a server (nbd://...). */
GW_API bool gw_path_is_far(const char *path);
/* As gw_image_open_in, but path is the plain name of a file, in which the stream begins at `offset`. */
GW_API int gw_image_open_at(const char *path, uint64_t offset, const char *temporary_folder,
                            struct gw_image **ret_image, struct gw_error *err);
/* As gw_image_open_in, but also opens an incomplete machine, whose source was lost during postcopy (GW_PARK_INCOMPLETE,
 * godwit/park.h), for gw_image_salvage. On an incomplete machine gw_image_vm is refused, and it can be written in the parked
 * format only. */
GW_API int gw_image_open_half(const char *path, const char *temporary_folder, struct gw_image **ret_image, struct gw_error *err);
/* An empty image, to be received into. ram_folder: RAM is kept in an unlinked sparse file in this folder (an error if none can
 * be made there); NULL: in memory. */
GW_API int gw_image_new(const char *ram_folder, struct gw_image **ret_image, struct gw_error *err);
/* For an image made by gw_image_new: a guest with more RAM than this is refused with -ENOMEM before any of its RAM is received.
 * 0 (the default): no limit when RAM is kept in a file; in memory, the host's available memory (MemAvailable), since a hostile
 * source could announce any size. Zero pages take no memory, so for a guest with mostly zero RAM the limit may be higher. */
GW_API void gw_image_set_ram_limit(struct gw_image *image, uint64_t bytes);
/* Takes NULL, returns NULL. All sessions of its vm must have been freed. */
GW_API struct gw_image *gw_image_free(struct gw_image *image);

GW_API enum gw_image_format gw_image_kind(const struct gw_image *image);
/* The machine type, "pc-i440fx-10.0". */
GW_API const char *gw_image_machine(const struct gw_image *image);
/* The target page size. */
GW_API uint32_t gw_image_page_bytes(const struct gw_image *image);
GW_API unsigned gw_image_blocks(const struct gw_image *image);
GW_API const char *gw_image_block_name(const struct gw_image *image, unsigned block);
GW_API uint64_t gw_image_block_bytes(const struct gw_image *image, unsigned block);
/* Bytes of this block that were not received because the source was lost; they read as zeros. (any) */
GW_API uint64_t gw_image_block_lacking(const struct gw_image *image, unsigned block);
/* Reads [offset, offset + bytes) of a block; pages that are not stored read as zeros. -EINVAL: the range is not inside the
 * block; -EIO, -EPROTO: the file is damaged there. (any) */
GW_API int gw_image_read(struct gw_image *image, unsigned block, uint64_t offset, void *dst, size_t bytes,
                         struct gw_error *err);

/* Whether the guest starts by itself at the destination, or waits for `cont`: true if it ran at the source (for a libvirt
 * image: before libvirt stopped it; a stream or mapped-ram file written from such an image keeps this). */
GW_API bool gw_image_runs(const struct gw_image *image);
/* Changes that. -ENOTSUP: runs is false, but the machine has no state section that can say so (QEMU's store-global-state=off). */
GW_API int gw_image_set_runs(struct gw_image *image, bool runs, struct gw_error *err);

/* The file that the image was opened from, once its machine runs elsewhere. -EINVAL: it is not a regular file.
 * lock: locks it until the image is freed. -EBUSY: another process holds the lock.
 * mark_sent: records in the file (extended attribute user.godwit.sent) where the machine was sent. `state` is "sent", or
 * "perhaps sent" when that is not known; NULL removes the mark. -ENOTSUP: the file system has no extended attributes.
 * sent: whether there is such a mark, and its text, cut to size (1 or more).
 * remove: removes the file, but only while its name still leads to this file. -ENOENT: no file has this name any more;
 * -ESTALE: another file has it, and stays. If the name is a symbolic link, its target is removed and the link stays. */
GW_API int gw_image_lock(struct gw_image *image, struct gw_error *err);
GW_API int gw_image_mark_sent(struct gw_image *image, const char *state, const char *where, struct gw_error *err);
GW_API bool gw_image_sent(const struct gw_image *image, char *buf, size_t size);
GW_API int gw_image_remove(struct gw_image *image, struct gw_error *err);

/* A vm for gw_send_start (an image that holds a machine) or gw_recv_start (an empty image, which accepts any machine). It
 * belongs to the image: do not free it. `park` (may be NULL) is called when everything has arrived and before the source is
 * told that it can discard its guest; if it fails, the guest stays with the source. If the source takes its guest back
 * meanwhile, reading the image (and so gw_image_write) fails with -ECANCELED, and so does the session. This can happen even
 * after the file was completed: when the session failed and its owner is the source, undo what park did (gw_image_revert).
 * The default of max-bandwidth for this vm is 0: unlimited. */
GW_API int gw_image_vm(struct gw_image *image, int (*park)(void *opaque, struct gw_error *err), void *opaque,
                       struct gw_vm **ret_vm, struct gw_error *err);

/* Sends one image to several destinations at once: each view is an image with its own vm (gw_image_vm) and is sent
 * independently. All views share a cache of unpacked file contents of at most cache_bytes (at least 2 MiB). The image must be
 * complete and opened from a file, must not be changed any more (call gw_image_set_runs before), and must outlive the
 * gw_shared, which must outlive all views. A view has no file of its own: it cannot be locked, marked or removed. -EINVAL: the
 * image is in memory. */
struct gw_shared;
GW_API int gw_shared_new(struct gw_image *image, uint64_t cache_bytes, struct gw_shared **ret_shared, struct gw_error *err);
/* (any) */
GW_API int gw_shared_view(struct gw_shared *shared, struct gw_image **ret_view, struct gw_error *err);
/* Zero pages are not counted. */
struct gw_shared_counts {
    uint64_t read_pages;     /* read from the file and unpacked */
    uint64_t given_pages;    /* passed to views, all together */
    uint64_t dropped_chunks; /* evicted from the cache */
    uint64_t kept_bytes;     /* in the cache now */
};
/* Fills at most counts_bytes, the size that the program knows. (any) */
GW_API void gw_shared_get_counts_sized(struct gw_shared *shared, struct gw_shared_counts *ret_counts, size_t counts_bytes);
static inline void gw_shared_get_counts(struct gw_shared *shared, struct gw_shared_counts *ret_counts)
{
    gw_shared_get_counts_sized(shared, ret_counts, sizeof *ret_counts);
}
/* Takes NULL, returns NULL. */
GW_API struct gw_shared *gw_shared_free(struct gw_shared *shared);

/* Joins the two halves of a machine whose postcopy migration was interrupted: from now on the pages that `image` lacks are read
 * from `rest`, the machine as its source had it at the switch-over (opened with gw_image_open_half if it is incomplete too).
 * `rest` must outlive the image and is not changed. First, all pages that both have are compared; progress is called from time
 * to time on the calling thread; true: stop, -ECANCELED. Afterwards the image is complete, unless some pages are in neither
 * (gw_image_block_lacking). -EALREADY: it lacks nothing; -EINVAL: `rest` is another machine, or from another moment; -EIO,
 * -EPROTO: one of the files is damaged; -ENOMEM. After an error the image is unchanged. It must not have a vm.
 *
 * `rest` may also be an image that received the missing pages from the source (gw_image_await):
 *
 *     gw_image_open_half, gw_image_new --> gw_image_await --> gw_image_vm, gw_recv_start --> gw_image_salvage
 *
 * Then nothing is compared, since the pages come from the source itself. This may be called in `park`, when all has arrived,
 * and also after the session failed. */
struct gw_salvage_options {
    bool (*progress)(void *opaque, uint64_t done_bytes, uint64_t total_bytes); /* may be NULL */
    void *opaque;
    unsigned threads; /* 0: one per processor */
};
GW_API int gw_image_salvage_sized(struct gw_image *image, struct gw_image *rest, const struct gw_salvage_options *options,
                                  size_t options_bytes, struct gw_error *err);
static inline int gw_image_salvage(struct gw_image *image, struct gw_image *rest, const struct gw_salvage_options *options,
                                   struct gw_error *err)
{
    return gw_image_salvage_sized(image, rest, options, sizeof *options, err);
}

/* Prepares an empty image (gw_image_new) to receive the pages that `half` lacks from its source, which is paused in postcopy:
 * gw_recv_start on its vm listens and begins with GW_STATUS_POSTCOPY_PAUSED. After a lost connection it waits for the source
 * again at the same address, until gw_recv_yank. A connection that is not from the source of this machine is dropped.
 * -EALREADY: `half` lacks nothing; -EBUSY, -ENOMEM. */
GW_API int gw_image_await(struct gw_image *rest, const struct gw_image *half, struct gw_error *err);

struct gw_image_write_options {
    enum gw_image_format format;
    const char *compress; /* libvirt: "raw" "gzip" "bzip2" "xz" "lzop" "zstd"; stream: the same, for the whole file; parked:
                           * "none" or "zstd"; NULL: the format's default */
    int level;            /* of zstd in parked files; 0: the default */
    unsigned threads;     /* 0: one per processor */
    bool replace;         /* replace an existing file (once the new one is complete); else -EEXIST */
    bool revertible;      /* gw_image_revert can undo the write */
    const char *libvirt_xml; /* libvirt: the domain's XML; NULL: that of the image, if it has one */
    /* Called from time to time on the calling thread; true: stop, -ECANCELED. May be NULL. */
    bool (*progress)(void *opaque, uint64_t done_bytes, uint64_t total_bytes);
    void *opaque;
};
/* Checks write options before there is an image: the format, the compression (its program is run once with empty input), the
 * level, and the XML if given. -EINVAL, -ENOTSUP; -ENOENT: the compression program is not installed. */
GW_API int gw_image_check_options_sized(const struct gw_image_write_options *options, size_t options_bytes,
                                        struct gw_error *err);
static inline int gw_image_check_options(const struct gw_image_write_options *options, struct gw_error *err)
{
    return gw_image_check_options_sized(options, sizeof *options, err);
}
/* Writes it to path: under a temporary name in the same folder, then synced and renamed. After a failure no partial file is
 * left, and a previous file of that name is unchanged. "-" is standard output (stream only). */
GW_API int gw_image_write_sized(struct gw_image *image, const char *path, const struct gw_image_write_options *options,
                                size_t options_bytes, struct gw_error *err);
static inline int gw_image_write(struct gw_image *image, const char *path,
                                 const struct gw_image_write_options *options, struct gw_error *err)
{
    return gw_image_write_sized(image, path, options, sizeof *options, err);
}

/* Undoes a gw_image_write or gw_image_stage_commit of this image with `revertible`, for a session that failed after its `park`.
 * The new file is removed, or renamed to `aside` (on the same file system; -EEXIST: the name is taken, nothing was done). The
 * previous file at the path, kept until now under a hidden name (.NAME.before.*), is put back. Without a revert it is removed
 * when the file is packed, another one is written, or the image is freed. -ENOENT, -ESTALE: the new file is gone from its path,
 * or another file has replaced it; files are left as they are. Any other error: the new file is still there, and the text says
 * where the previous one is. */
GW_API int gw_image_revert(struct gw_image *image, const char *aside, struct gw_error *err);

/* A file that gets its name only when it is complete, for data that is not written by gw_image_write (a session's stream). One
 * owner. -EEXIST: it exists and replace is false; -EINVAL: the path names something other than a regular file. */
struct gw_output;
GW_API int gw_output_new(const char *path, bool replace, struct gw_output **ret_output, struct gw_error *err);
/* A descriptor of the new, empty file, open for reading and writing, until commit. Owned by the output. -1: the path is on a
 * server (nbd://...): then gw_output_new only checks that a machine can be written there. */
GW_API int gw_output_fd(const struct gw_output *output);
/* Syncs it and gives it its name. Once. */
GW_API int gw_output_commit(struct gw_output *output, struct gw_error *err);
/* Removes the file if it was not committed. Takes NULL, returns NULL. */
GW_API struct gw_output *gw_output_free(struct gw_output *output);

/* Writes a machine to a parked file while it arrives, uncompressed, so that little is left to write when it is complete:
 *
 *     gw_image_new --> gw_image_stage --> gw_image_vm, gw_recv_start
 *                            park: gw_image_stage_commit, and if that fails gw_image_write
 *                            after the session: gw_image_stage_pack
 *
 * Call it before gw_recv_start, on an empty image. path and options are as in gw_image_write, with the format parked; they are
 * checked here and must stay valid until the image is freed. The file is created, under a temporary name, when the first source
 * sends its list of blocks; commit reports if it could not be created or the disk is full. A file that is not committed when
 * the session ends is removed. -EINVAL, -ENOTSUP: such a file cannot be written; -EBUSY: the image has a machine or a file. */
GW_API int gw_image_stage_sized(struct gw_image *image, const char *path, const struct gw_image_write_options *options,
                                size_t options_bytes, struct gw_error *err);
static inline int gw_image_stage(struct gw_image *image, const char *path,
                                 const struct gw_image_write_options *options, struct gw_error *err)
{
    return gw_image_stage_sized(image, path, options, sizeof *options, err);
}
/* To be called in `park`: completes and syncs the file and gives it its name. After an error (-ENOSPC, -EEXIST, ...) no file is
 * left. */
GW_API int gw_image_stage_commit(struct gw_image *image, struct gw_error *err);
/* After the session, when the file was committed: writes it again as the options say (compressed, equal pages stored once) and
 * replaces the first file, unless that is gone or another file has its name by now (-ENOENT, -EEXIST). After an error the
 * existing file is unchanged. Returns 0 also if there is nothing to pack. progress: as in the options. */
GW_API int gw_image_stage_pack(struct gw_image *image,
                               bool (*progress)(void *opaque, uint64_t done_bytes, uint64_t total_bytes), void *opaque,
                               struct gw_error *err);

#ifdef __cplusplus
}
#endif
#endif
