/* SPDX-License-Identifier: MIT
 *
 * examine: tools for a machine at rest: verify that the file is whole, compare two machines, extract parts as plain files or
 * as an ELF core for a debugger, and explain why a stream would not load elsewhere.
 *
 * Images may be of any format (godwit/image.h); two that are compared may have different formats. They are only read.
 *
 * Memory: a few MiB, the device state, and what an open image takes.
 * Threads: one owner for an image during a call.
 */
#ifndef GODWIT_EXAMINE_H
#define GODWIT_EXAMINE_H

#include "godwit/image.h"
#include "godwit/inspect.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Called from time to time on the calling thread; true: stop, the call fails with -ECANCELED. */
typedef bool (*gw_examine_progress_fn)(void *opaque, uint64_t done_bytes, uint64_t total_bytes);

/* ---- verify ------------------------------------------------------------------------------------------------------ */

/* Texts are valid during the call. */
struct gw_verify_fault {
    const char *part;       /* "RAM", "devices", "device", "file" */
    const char *name;       /* RAM: the block; device: "cpu/0"; else "" */
    uint64_t offset, bytes; /* RAM: the range of the block that cannot be read; else 0, 0 */
    const char *what;       /* why, on one line */
};

struct gw_verify_options {
    void (*found)(void *opaque, const struct gw_verify_fault *fault); /* in the order of the image; may be NULL */
    gw_examine_progress_fn progress;                                  /* may be NULL */
    void *opaque;
};

struct gw_verify_counts {
    uint64_t faults;
    uint64_t pages, data_pages; /* pages of all blocks; those that were read, since they are not known to be zeros */
    unsigned blocks, devices;
    unsigned undescribed; /* devices without a description: their values could not be checked */
    /* What follows the end of a stream in its file or volume: a volume's padding. behind_other: not only zeros, the first such byte is
     * at behind_other_at; in a block device it is left over from earlier use, in a file it is an error. 0 bytes: nothing. */
    uint64_t behind_at, behind_bytes, behind_other_at;
    bool behind_other;
};

/* Reads the whole image: each page that may have contents (checking checksums where the format has them), the device
 * sections, which must match the description, and their values. Returns 0 also when faults were found: see
 * ret_counts->faults. -ECANCELED, -ENOMEM. *ret_counts is always set, after a failure to what was done so far. */
GW_API int gw_image_verify_sized(struct gw_image *image, const struct gw_verify_options *options, size_t options_bytes,
                                 struct gw_verify_counts *ret_counts, size_t counts_bytes, struct gw_error *err);
static inline int gw_image_verify(struct gw_image *image, const struct gw_verify_options *options,
                                  struct gw_verify_counts *ret_counts, struct gw_error *err)
{
    return gw_image_verify_sized(image, options, sizeof *options, ret_counts, sizeof *ret_counts, err);
}

/* ---- diff -------------------------------------------------------------------------------------------------------- */

enum gw_difference_kind {
    GW_DIFFERENCE_MACHINE, /* in the headers: `where` is "machine", "page size", "UUID" or "configuration" */
    GW_DIFFERENCE_BLOCK,   /* a RAM block: only in one, or different sizes */
    GW_DIFFERENCE_PAGES,   /* a run of pages with different contents */
    GW_DIFFERENCE_DEVICE,  /* a device: only in one, or different versions */
    GW_DIFFERENCE_VALUE,   /* a value of a device */
};

#define GW_DIFFERENCE_SAMPLE 16u

/* Texts are valid during the call. */
struct gw_difference {
    enum gw_difference_kind kind;
    const char *where;      /* BLOCK, PAGES: the block; DEVICE, VALUE: "cpu/0" */
    const char *path;       /* VALUE: "env.eip"; else "" */
    const char *a, *b;      /* the value in each, as text; NULL: it is only in the other one. PAGES: both NULL */
    uint64_t offset, bytes; /* PAGES: the range of the block */
    /* PAGES: the offset of the first byte that differs, and the contents there. */
    uint64_t first;
    unsigned sample_bytes;
    uint8_t sample_a[GW_DIFFERENCE_SAMPLE], sample_b[GW_DIFFERENCE_SAMPLE];
};

struct gw_diff_options {
    void (*found)(void *opaque, const struct gw_difference *difference); /* may be NULL */
    gw_examine_progress_fn progress;                                     /* may be NULL */
    void *opaque;
};

struct gw_diff_counts {
    uint64_t pages;  /* pages that differ */
    uint64_t ranges; /* runs of such pages */
    uint64_t blocks; /* blocks only in one, or of different sizes */
    uint64_t devices, values;
    uint64_t heads; /* GW_DIFFERENCE_MACHINE */
};

/* RAM blocks are matched by name and compared up to the shorter length. Devices are matched by name and instance; their
 * values are compared by the descriptions in the images, or byte by byte without one. Returns 0 whether or not something
 * differs. -EPROTO, -EIO: one of the images is damaged; the text says which one. -E2BIG: more devices than any machine has. */
GW_API int gw_image_diff_sized(struct gw_image *a, struct gw_image *b, const struct gw_diff_options *options,
                               size_t options_bytes, struct gw_diff_counts *ret_counts, size_t counts_bytes,
                               struct gw_error *err);
static inline int gw_image_diff(struct gw_image *a, struct gw_image *b, const struct gw_diff_options *options,
                                struct gw_diff_counts *ret_counts, struct gw_error *err)
{
    return gw_image_diff_sized(a, b, options, sizeof *options, ret_counts, sizeof *ret_counts, err);
}

/* ---- extract ----------------------------------------------------------------------------------------------------- */

/* A file gets its name only when it is complete. -EEXIST: a file of this name exists and replace is false. */

/* A RAM block as a plain sparse file of its size. block NULL: the largest; -EINVAL when two are equally large. -ENOENT:
 * there is no block of that name; the text lists the existing ones. */
GW_API int gw_extract_ram(struct gw_image *image, const char *block, const char *path, bool replace,
                          gw_examine_progress_fn progress, void *opaque, struct gw_error *err);
/* The body of a device section, as it is in the stream. device: "cpu", "cpu/1", "piix4_pm"; -EINVAL if several devices
 * match. path "-": standard output. */
GW_API int gw_extract_device(struct gw_image *image, const char *device, const char *path, bool replace,
                             struct gw_error *err);
/* The domain's XML of a libvirt image; the description of the devices (JSON). -ENOENT: it has none. */
GW_API int gw_extract_xml(struct gw_image *image, const char *path, bool replace, struct gw_error *err);
GW_API int gw_extract_description(struct gw_image *image, const char *path, bool replace, struct gw_error *err);

/* A part of a block (bytes 0: from offset to its end) and its guest-physical address. Whole pages. */
struct gw_elf_place {
    const char *block;
    uint64_t address;
    uint64_t offset, bytes;
};

/* Texts are valid during the call. */
struct gw_elf_left {
    const char *block;
    uint64_t offset, bytes;
    const char *why;
};

struct gw_elf_options {
    /* Guest-physical addresses of blocks or parts of them. Those not listed are taken from the machine's own state. */
    const struct gw_elf_place *places;
    unsigned place_count;
    bool replace;
    gw_examine_progress_fn progress; /* may be NULL */
    /* One line for each part in the file ("pc.ram ... at 0x0"), and for each one left out, with the reason. May be NULL. */
    void (*told)(void *opaque, const char *line);
    void *opaque;
    /* Called for memory that the guest can or may see but that is not in the file, because its address is unknown. Not called
     * for device memory. May be NULL. */
    void (*left_out)(void *opaque, const struct gw_elf_left *left);
};

/* A sparse ELF64 core of the guest's physical memory, with virtual addresses equal to physical ones. Each x86 processor
 * has an NT_PRSTATUS note (and a "QEMU" note with its control registers); a Linux guest's VMCOREINFO is added where it is
 * found. Addresses are taken from the machine's state, never guessed: memory whose address it does not confirm is left out
 * and reported by left_out. -EINVAL: no RAM could be placed, or one of `places` is invalid. Format: docs/formats/core.md. */
GW_API int gw_extract_elf_sized(struct gw_image *image, const char *path, const struct gw_elf_options *options,
                                size_t options_bytes, struct gw_error *err);
static inline int gw_extract_elf(struct gw_image *image, const char *path, const struct gw_elf_options *options,
                                 struct gw_error *err)
{
    return gw_extract_elf_sized(image, path, options, sizeof *options, err);
}

/* ---- explain ----------------------------------------------------------------------------------------------------- */

enum gw_reason_weight {
    GW_REASON_NOTE,    /* a harmless difference */
    GW_REASON_UNKNOWN, /* depends on the destination's program and its options, which the files do not say */
    GW_REASON_REFUSED, /* the destination refuses the stream for this reason */
};

/* Texts are valid during the call. */
struct gw_reason {
    enum gw_reason_weight weight;
    const char *where; /* "machine", "RAM block pc.ram", "device cpu/0" */
    const char *what;
};

/* refused > 0: the stream would be refused; else unknown > 0: not known; else it loads. */
struct gw_explain_counts {
    unsigned refused, unknown, notes;
};

struct gw_dump; /* godwit/state.h */

/* Whether the stream that `from` has read would load elsewhere. The destination is described by `into`, by `dump`, or by both
 * (one may be NULL). `into` has read a stream that the destination wrote itself (for instance while stopped): it tells machine
 * type, RAM, devices and options. `dump` is the output of its program's -dump-vmstate: it tells the versions, fields and
 * subsections that the program knows; with a dump alone the destination is assumed to have the same devices, options and RAM
 * as the source. Reasons come in the order in which the destination would find them, so the first REFUSED one is the one that
 * QEMU reports; notes about devices that only the destination has come last. Both streams must have been read without an
 * error. -ENOMEM, -EINVAL, -E2BIG (more devices than any machine has). */
GW_API int gw_inspect_explain_sized(const struct gw_inspect *from, const struct gw_inspect *into,
                                    const struct gw_dump *dump,
                                    void (*found)(void *opaque, const struct gw_reason *reason), void *opaque,
                                    struct gw_explain_counts *ret_counts, size_t counts_bytes, struct gw_error *err);
static inline int gw_inspect_explain(const struct gw_inspect *from, const struct gw_inspect *into,
                                     const struct gw_dump *dump,
                                     void (*found)(void *opaque, const struct gw_reason *reason), void *opaque,
                                     struct gw_explain_counts *ret_counts, struct gw_error *err)
{
    return gw_inspect_explain_sized(from, into, dump, found, opaque, ret_counts, sizeof *ret_counts, err);
}

#ifdef __cplusplus
}
#endif
#endif
