/* SPDX-License-Identifier: MIT
 *
 * seeds: what a fuzzer may begin with, for each target that has any. seeds_X writes the files of fuzz_X.c into the folder; 0: done.
 */
#ifndef FUZZ_SEEDS_H
#define FUZZ_SEEDS_H

#include <stddef.h>
#include <stdint.h>

#define SEEDS_CAPTURE_MAX (1u << 20)

extern const char *seeds_folder;

/* Writes one seed; 0: done. */
int seeds_put(const char *name, const void *data, size_t bytes);
/* The first SEEDS_CAPTURE_MAX bytes of a capture (tests/golden/captures). 0: it cannot be read. */
size_t seeds_load(const char *name, uint8_t *data);

/* seeds_streams.c */
int seeds_captures(size_t limit); /* of each so many bytes */
int seeds_unknown(void);
int seeds_loader(void);
int seeds_guest(void);
int seeds_libvirt(void);
int seeds_examine(void);
int seeds_dump(void);
int seeds_schema(void);

/* seeds_pages.c */
int seeds_packet(void);
int seeds_mapped(void);
int seeds_xbzrle(void);
int seeds_compressed(void);

/* seeds_files.c */
int seeds_parked(void);
int seeds_working_set(void);
int seeds_block(void);
int seeds_qcow2(void);

/* seeds_talk.c */
int seeds_return_path(void);
int seeds_qmp(void);
int seeds_uri(void);
int seeds_backing(void);
int seeds_monitor(void);

/* seeds_postcopy.c */
int seeds_postcopy(void);
int seeds_bitmaps(void);

#endif
