/* SPDX-License-Identifier: MIT
 *
 * image: a machine at rest: in a parked file, a migration stream, a mapped-ram file, a libvirt save image, or in memory.
 *
 * An image is any VMM's machine: its devices are carried as the bytes that they are (docs/wire-format.md 13.3), so that
 * nobody here needs to know them. It is opened from a file of any of these formats, which is recognised by its content; written in any
 * of them; received from a running VMM and sent to a waiting one.
 *
 *     gw_image_open ----.                    .--> gw_image_write (any format)
 *                        >-- struct gw_image --> gw_image_vm --> gw_send_start
 *     gw_image_new  ----'                    '--> gw_image_read, verify, ...
 *        '-- gw_image_vm --> gw_recv_start fills it
 *
 * Nothing in a file is trusted. Threads: one owner, save where a function says (any): those may be called by several
 * threads at a time once the image is open, or full.
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
/* -1: there is none of this name. */
GW_API int gw_image_format_find(const char *name);

/* Opens what lies at path; "-" is standard input. PATH,offset=N is a migration stream or mapped-ram file that begins at
 * byte N (decimal or 0x hex, then K, M, G, T or nothing), unless there is a file of that whole name. What cannot be read in any order (a pipe, a file compressed as a whole)
 * is first unpacked into an unlinked sparse file in /var/tmp. -EPROTO: it is no such file, or broken: the text has offset and reason.
 *
 * nbd://HOST[:PORT]/EXPORT, nbds://, nbd+unix:///EXPORT?socket=PATH are what an NBD server has, where the library was built with libnbd (-ENOTSUP: it
 * was not). A parked file stays there and is read as it is wanted; others are copied into an unlinked file first. A connection that is
 * lost is made again, with all that this needs (sockets), a few times. Nothing of it can be locked, marked or removed. */
GW_API int gw_image_open(const char *path, struct gw_image **ret_image, struct gw_error *err);
/* The same with another folder for such files; NULL: /var/tmp. */
GW_API int gw_image_open_in(const char *path, const char *temporary_folder, struct gw_image **ret_image,
                            struct gw_error *err);
/* A path as above: which file it is, and where in it. path: GW_PATH_TEXT bytes. -EINVAL: it is too long. */
#define GW_PATH_TEXT 4096
GW_API int gw_path_split(const char *text, char *path, uint64_t *ret_offset, struct gw_error *err);
/* Whether this names something on a server. */
GW_API bool gw_path_is_far(const char *path);
/* Of exactly this file, at exactly this byte. */
GW_API int gw_image_open_at(const char *path, uint64_t offset, const char *temporary_folder,
                            struct gw_image **ret_image, struct gw_error *err);
/* As gw_image_open_in, also of a machine that is not whole: in postcopy its source was lost (GW_PARK_INCOMPLETE,
 * godwit/park.h). Of one that is not, gw_image_vm is refused, and so is every format but parked: for
 * gw_image_salvage. */
GW_API int gw_image_open_half(const char *path, const char *temporary_folder, struct gw_image **ret_image, struct gw_error *err);
/* An empty one, to be received into. ram_folder: RAM is kept in an unlinked sparse file there, which is tried; NULL: in
 * memory. */
GW_API int gw_image_new(const char *ram_folder, struct gw_image **ret_image, struct gw_error *err);
/* Of one that gw_image_new made: a guest with more RAM is refused, -ENOMEM, before any of it comes. 0, as at first: no limit
 * in a file; in memory what the host has available (MemAvailable), since a source says a size and pays nothing for it. A guest
 * most of whose RAM is zeros needs less than it has: if you know that, you may set more. */
GW_API void gw_image_set_ram_limit(struct gw_image *image, uint64_t bytes);
/* Takes NULL, returns NULL. No session of its vm may be left. */
GW_API struct gw_image *gw_image_free(struct gw_image *image);

GW_API enum gw_image_format gw_image_kind(const struct gw_image *image);
/* The machine type, "pc-i440fx-10.0". */
GW_API const char *gw_image_machine(const struct gw_image *image);
/* Of the target. */
GW_API uint32_t gw_image_page_bytes(const struct gw_image *image);
GW_API unsigned gw_image_blocks(const struct gw_image *image);
GW_API const char *gw_image_block_name(const struct gw_image *image, unsigned block);
GW_API uint64_t gw_image_block_bytes(const struct gw_image *image, unsigned block);
/* Bytes of this block that are lacking, and read as zeros, since the source was lost. (any) */
GW_API uint64_t gw_image_block_lacking(const struct gw_image *image, unsigned block);
/* [offset, offset + bytes) of a block, zeros where nothing was ever. -EINVAL: it is not inside the block; -EIO, -EPROTO: the
 * file is broken there. (any) */
GW_API int gw_image_read(struct gw_image *image, unsigned block, uint64_t offset, void *dst, size_t bytes,
                         struct gw_error *err);

/* Whether its guest goes on by itself where it arrives, or waits for `cont`: as the source stood; of a libvirt image as it stood
 * before libvirt stopped it. A stream or mapped-ram file that is written of the latter says so, too. */
GW_API bool gw_image_runs(const struct gw_image *image);
/* From now on. -ENOTSUP: it is to wait, and carries nothing that could say so (QEMU's store-global-state=off). */
GW_API int gw_image_set_runs(struct gw_image *image, bool runs, struct gw_error *err);

/* The file that it was opened from, while its machine goes on elsewhere. -EINVAL: it came from no regular file.
 * lock: until the image is freed. -EBUSY: another process has it.
 * mark_sent: notes in the file (extended attribute user.godwit.sent) where it was sent: `state` is "sent", or "perhaps
 * sent" when that is not known; NULL takes the mark off. -ENOTSUP: its file system keeps no such marks.
 * sent: whether there is such a note, and its text, cut to size (1 or more).
 * remove: removes this very file, however it is called by now: -ENOENT: nothing has its name; -ESTALE: another file has, and
 * stays. What a symbolic link led to is removed, the link is not. */
GW_API int gw_image_lock(struct gw_image *image, struct gw_error *err);
GW_API int gw_image_mark_sent(struct gw_image *image, const char *state, const char *where, struct gw_error *err);
GW_API bool gw_image_sent(const struct gw_image *image, char *buf, size_t size);
GW_API int gw_image_remove(struct gw_image *image, struct gw_error *err);

/* A machine for gw_send_start (an image that is full) or gw_recv_start (an empty one, which takes any machine). It is
 * the image's: do not free it. `park` is called when everything has arrived, before the source is told that it may
 * forget its guest: a failure of it leaves the guest with the source. Should the source take its guest back
 * meanwhile, reading the image, and so gw_image_write, ends with -ECANCELED, and so does the session, also when the
 * file was done just then: what park has made is to be taken back (gw_image_revert) when the session failed and its
 * owner is the source. NULL: nothing is to be done. Its max-bandwidth is 0 at first: unlimited. */
GW_API int gw_image_vm(struct gw_image *image, int (*park)(void *opaque, struct gw_error *err), void *opaque,
                       struct gw_vm **ret_vm, struct gw_error *err);

/* One image that is read by many at once: each view is an image of its own, with a machine of its own (gw_image_vm), and can be
 * sent by itself. What one of them has read from the file, and unpacked, all of them have, in a cache of at most cache_bytes
 * (2 MiB at the least). The image must be whole and come from a file, must not be changed any more (gw_image_set_runs before), and
 * stays until the gw_shared is freed, which stays until all views are freed. A view has no file: it is not locked, marked or
 * removed. -EINVAL: the image is one in memory. */
struct gw_shared;
GW_API int gw_shared_new(struct gw_image *image, uint64_t cache_bytes, struct gw_shared **ret_shared, struct gw_error *err);
/* (any) */
GW_API int gw_shared_view(struct gw_shared *shared, struct gw_image **ret_view, struct gw_error *err);
/* Pages that are zeros do not count. */
struct gw_shared_counts {
    uint64_t read_pages;     /* read from the file, and unpacked */
    uint64_t given_pages;    /* to all views */
    uint64_t dropped_chunks; /* to make room for others */
    uint64_t kept_bytes;     /* in the cache now */
};
/* Fills the counts_bytes that the program knows. (any) */
GW_API void gw_shared_get_counts_sized(struct gw_shared *shared, struct gw_shared_counts *ret_counts, size_t counts_bytes);
static inline void gw_shared_get_counts(struct gw_shared *shared, struct gw_shared_counts *ret_counts)
{
    gw_shared_get_counts_sized(shared, ret_counts, sizeof *ret_counts);
}
/* Takes NULL, returns NULL. */
GW_API struct gw_shared *gw_shared_free(struct gw_shared *shared);

/* Both halves of a machine whose postcopy migration broke off become one: the pages that `image` lacks are read from `rest` from now on,
 * the machine as its source stood at the switch (gw_image_open_half, too). `rest` stays until the image is freed, and is not changed.
 * Before that all that both have is compared: progress is called now and then by the calling thread; true: stop, -ECANCELED.
 * Afterwards the image is whole, unless both lacked something (gw_image_block_lacking). -EALREADY: it lacks nothing; -EINVAL: it is another
 * machine, or not of that moment; -EIO, -EPROTO: one of the files is broken; -ENOMEM. An error: the image is as it was. It must have no vm.
 *
 * `rest` may also be what a session has brought whose image awaited it:
 *
 *     gw_image_open_half, gw_image_new --> gw_image_await --> gw_image_vm, gw_recv_start --> gw_image_salvage
 *
 * Then nothing is compared: what came is what the source had. Also after the session failed, and in `park`, where all has come. */
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

/* An empty image (gw_image_new) will get what `half` lacks, from its source, which waits: gw_recv_start on its vm
 * listens, and begins with GW_STATUS_POSTCOPY_PAUSED; a connection that is lost is waited for again at the same
 * address, until gw_recv_yank. A connection that is no source of this machine is dropped. -EALREADY: it lacks
 * nothing; -EBUSY, -ENOMEM. */
GW_API int gw_image_await(struct gw_image *rest, const struct gw_image *half, struct gw_error *err);

struct gw_image_write_options {
    enum gw_image_format format;
    const char *compress; /* libvirt: "raw" "gzip" "bzip2" "xz" "lzop" "zstd"; stream: the same, as a whole; parked: "none" or
                           * "zstd"; NULL: the format's usual */
    int level;            /* of zstd in parked files; 0: the usual */
    unsigned threads;     /* 0: one per processor */
    bool replace;         /* a file that is there is replaced (once the new one is whole); else -EEXIST */
    bool revertible;      /* gw_image_revert can take the file back */
    const char *libvirt_xml; /* libvirt: the domain's XML; NULL: that of the image, if it has one */
    /* Called now and then by the calling thread; true: stop, -ECANCELED. May be NULL. */
    bool (*progress)(void *opaque, uint64_t done_bytes, uint64_t total_bytes);
    void *opaque;
};
/* Whether an image can be written so, as far as that can be known before there is one: the format, what compresses it, the
 * level (a program that compresses is run, with nothing), the XML if it is given. -EINVAL, -ENOTSUP; -ENOENT: the program is not
 * installed. */
GW_API int gw_image_check_options_sized(const struct gw_image_write_options *options, size_t options_bytes,
                                        struct gw_error *err);
static inline int gw_image_check_options(const struct gw_image_write_options *options, struct gw_error *err)
{
    return gw_image_check_options_sized(options, sizeof *options, err);
}
/* Writes it to path: under a temporary name in the same folder, synced, then renamed: after a failure nothing is left, and
 * what was there before is still there. "-" is standard output (stream). */
GW_API int gw_image_write_sized(struct gw_image *image, const char *path, const struct gw_image_write_options *options,
                                size_t options_bytes, struct gw_error *err);
static inline int gw_image_write(struct gw_image *image, const char *path,
                                 const struct gw_image_write_options *options, struct gw_error *err)
{
    return gw_image_write_sized(image, path, options, sizeof *options, err);
}

/* Takes back what gw_image_write or gw_image_stage_commit has made of this image with `revertible`: for a session that failed
 * after its `park`. What was at the path before, and has been kept beside it (hidden, .NAME.before.*), is there again. Without
 * revert it is removed when the file is packed, another one is written, or the image is freed. The file is removed, or
 * with `aside` gets that name, in the same file system: -EEXIST: the name is taken, and nothing was done. -ENOENT, -ESTALE: the
 * file has left its place, or another one is there meanwhile, which both stay as they are. Any other error: it is still there.
 * Then what was there before is left where the text says. */
GW_API int gw_image_revert(struct gw_image *image, const char *aside, struct gw_error *err);

/* A file that is seen under its name when it is whole, and not before: for what is written by another way than
 * gw_image_write (a session's stream). One owner. -EEXIST: it is there, and was not to be replaced; -EINVAL: what is
 * there is no file. */
struct gw_output;
GW_API int gw_output_new(const char *path, bool replace, struct gw_output **ret_output, struct gw_error *err);
/* Of the file as long as it has another name, or none: empty at first. The output's; open for reading and writing. -1: the path is
 * one of a server (nbd://...), whose output only says whether a machine can be written there. */
GW_API int gw_output_fd(const struct gw_output *output);
/* Syncs it and gives it its name. Once. */
GW_API int gw_output_commit(struct gw_output *output, struct gw_error *err);
/* Without a commit nothing is left. Takes NULL, returns NULL. */
GW_API struct gw_output *gw_output_free(struct gw_output *output);

/* A machine that is written to a parked file while it arrives, uncompressed, so that little is left when it is complete:
 *
 *     gw_image_new --> gw_image_stage --> gw_image_vm, gw_recv_start
 *                            park: gw_image_stage_commit, and if that fails gw_image_write
 *                            after the session: gw_image_stage_pack
 *
 * Before gw_recv_start, of an empty image. path and options: as in gw_image_write, the format is parked; they are checked here,
 * and what they point to stays as it is until the image is freed. The file begins, under a temporary name, when the first
 * source lists its memory; that it cannot be made, or that the disk is full, is told by commit. What was not committed when
 * the session ends is gone. -EINVAL, -ENOTSUP: there is no such file; -EBUSY: the image has a machine or a file. */
GW_API int gw_image_stage_sized(struct gw_image *image, const char *path, const struct gw_image_write_options *options,
                                size_t options_bytes, struct gw_error *err);
static inline int gw_image_stage(struct gw_image *image, const char *path,
                                 const struct gw_image_write_options *options, struct gw_error *err)
{
    return gw_image_stage_sized(image, path, options, sizeof *options, err);
}
/* In `park`: the file is whole, synced, and has its name. An error (-ENOSPC, -EEXIST, ...): there is no file, and nothing
 * left of it. */
GW_API int gw_image_stage_commit(struct gw_image *image, struct gw_error *err);
/* After the session, when the file was committed: writes it anew as the options say (compressed, without copies) and puts it
 * in place of the first one, unless that is gone or another file is there by now (-ENOENT, -EEXIST). An error: what is there
 * stays as it is. 0: also if nothing is to be packed. progress: as in the options. */
GW_API int gw_image_stage_pack(struct gw_image *image,
                               bool (*progress)(void *opaque, uint64_t done_bytes, uint64_t total_bytes), void *opaque,
                               struct gw_error *err);

#ifdef __cplusplus
}
#endif
#endif
