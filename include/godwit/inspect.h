/* SPDX-License-Identifier: MIT
 *
 * inspect: shows the contents of a migration stream, as text for people or as JSON for programs.
 *
 * The stream may be from QEMU or godwit, in a file (also mapped-ram), a pipe or a socket. No machine is needed, and streams
 * with features that the engine does not load can be shown, too. Nothing in them is trusted.
 *
 *     gw_inspect_new --> gw_inspect_read or gw_inspect_file --> gw_inspect_print (any number of times) --> gw_inspect_free
 *
 * Memory: the device state and a few bytes per page; never the RAM.
 * Threads: one owner.
 */
#ifndef GODWIT_INSPECT_H
#define GODWIT_INSPECT_H

#include "godwit/channel.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gw_inspect;

/* An object for one stream. -ENOMEM. */
GW_API int gw_inspect_new(struct gw_inspect **ret_inspect, struct gw_error *err);

/* Reads the stream from the channel to its end; once per object. The channel stays the caller's.
 * -EPROTO, GW_BLAME_PEER: it is not a migration stream, or is malformed; -ENODATA, GW_BLAME_CHANNEL or GW_BLAME_PEER: it is
 * truncated. The text has the offset and the reason. What was read up to there can be printed. */
GW_API int gw_inspect_read(struct gw_inspect *in, struct gw_channel *channel, struct gw_error *err);

/* The same for the file at path; "-" is standard input. It may be a plain stream, one compressed as a whole with gzip, bzip2,
 * xz, lzop or zstd (that program is run; offsets are those in the uncompressed stream), a libvirt save image or a parked
 * machine. A pipe with anything but a plain stream is first copied into an unlinked file in temporary_folder (NULL: /var/tmp). */
GW_API int gw_inspect_file(struct gw_inspect *in, const char *path, const char *temporary_folder,
                           struct gw_error *err);

/* The same for the machine in a snapshot of a disk image (godwit/snapshot.h), which is first copied into an unlinked file. */
GW_API int gw_inspect_snapshot(struct gw_inspect *in, const char *disk, const char *what, const char *temporary_folder,
                               struct gw_error *err);

/* Call it before reading. progress is called from time to time on the reading thread; total_bytes is 0 if it is not known.
 * true: stop, -ECANCELED. */
GW_API void gw_inspect_set_progress(struct gw_inspect *in,
                                    bool (*progress)(void *opaque, uint64_t done_bytes, uint64_t total_bytes), void *opaque);

struct gw_inspect_options {
    const char *title;  /* the name of the stream, for the first line; may be NULL */
    const char *device; /* only the devices of this name ("cpu", "cpu/1", "piix4_pm", a path); NULL: all */
    bool json;          /* one JSON object, on one line. Values of a device are members whose key is their path; a few of
                         * QEMU's devices (i8254) have two values with the same path */
    bool ram;           /* only the RAM: blocks and pages */
    bool screen;        /* text: a summary of at most 60 lines of 100 columns; ignored with device, json or ram */
};

/* The caller frees *ret_text. -ENOENT, GW_BLAME_CALLER: there is no such device; the text lists the existing ones.
 * -ENODATA, GW_BLAME_CALLER: nothing was read. options may be NULL. */
GW_API int gw_inspect_print_sized(const struct gw_inspect *in, const struct gw_inspect_options *options,
                                  size_t options_bytes, char **ret_text, struct gw_error *err);
static inline int gw_inspect_print(const struct gw_inspect *in, const struct gw_inspect_options *options,
                                   char **ret_text, struct gw_error *err)
{
    return gw_inspect_print_sized(in, options, sizeof *options, ret_text, err);
}

/* Takes NULL, returns NULL. */
GW_API struct gw_inspect *gw_inspect_free(struct gw_inspect *in);

#ifdef __cplusplus
}
#endif
#endif
