/* SPDX-License-Identifier: MIT
 *
 * examine: what can be done with a machine at rest besides sending it: is the file whole, what differs from another
 * one, parts of it as plain files, an ELF core for a debugger; and why a stream would not load elsewhere.
 *
 * Images may be of any format (godwit/image.h), and of different ones where two are compared. Nothing is written to
 * them.
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

/* Called now and then by the calling thread; true: stop, the call fails with -ECANCELED. */
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
    uint64_t pages, data_pages; /* pages of all blocks; those of them that are not known to be zeros, and were read */
    unsigned blocks, devices;
    unsigned undescribed; /* devices without a description: their contents could not be looked into */
    /* What stands in the file or volume behind a stream: the padding of a volume. behind_other: not only zeros, the first such byte is
     * at behind_other_at; in a block device an earlier use has left that, in a file it is a fault. 0 bytes: nothing. */
    uint64_t behind_at, behind_bytes, behind_other_at;
    bool behind_other;
};

/* Reads everything in the image: each page that may have contents (with the checksums of formats that have them), the
 * device sections, which must be where the description says, and their values. 0 also when faults were found: see
 * faults. -ECANCELED, -ENOMEM; *ret_counts is set in any case to what was done. */
GW_API int gw_image_verify_sized(struct gw_image *image, const struct gw_verify_options *options, size_t options_bytes,
                                 struct gw_verify_counts *ret_counts, size_t counts_bytes, struct gw_error *err);
static inline int gw_image_verify(struct gw_image *image, const struct gw_verify_options *options,
                                  struct gw_verify_counts *ret_counts, struct gw_error *err)
{
    return gw_image_verify_sized(image, options, sizeof *options, ret_counts, sizeof *ret_counts, err);
}

/* ---- diff -------------------------------------------------------------------------------------------------------- */

enum gw_difference_kind {
    GW_DIFFERENCE_MACHINE, /* of the heads: where "machine", "page size", "UUID", "configuration" */
    GW_DIFFERENCE_BLOCK,   /* a RAM block: only in one, or of another size */
    GW_DIFFERENCE_PAGES,   /* a run of pages with other contents */
    GW_DIFFERENCE_DEVICE,  /* a device: only in one, or of another version */
    GW_DIFFERENCE_VALUE,   /* a value of a device */
};

#define GW_DIFFERENCE_SAMPLE 16u

/* Texts are valid during the call. */
struct gw_difference {
    enum gw_difference_kind kind;
    const char *where;      /* BLOCK, PAGES: the block; DEVICE, VALUE: "cpu/0" */
    const char *path;       /* VALUE: "env.eip"; else "" */
    const char *a, *b;      /* what it is in each, as text; NULL: it is only in the other one. PAGES: both NULL */
    uint64_t offset, bytes; /* PAGES: the range of the block */
    /* PAGES: the first byte that differs, and what lies there. */
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
    uint64_t pages;  /* that differ */
    uint64_t ranges; /* they lie in */
    uint64_t blocks; /* only in one or of another size */
    uint64_t devices, values;
    uint64_t heads;
};

/* RAM blocks are matched by name, their common part is compared; devices by name and instance, their values by the
 * descriptions in the images, byte by byte where there is none. 0 whether or not something differs. -EPROTO, -EIO: one
 * of them is broken there: the text says which one. -E2BIG: more devices than any machine has. */
GW_API int gw_image_diff_sized(struct gw_image *a, struct gw_image *b, const struct gw_diff_options *options,
                               size_t options_bytes, struct gw_diff_counts *ret_counts, size_t counts_bytes,
                               struct gw_error *err);
static inline int gw_image_diff(struct gw_image *a, struct gw_image *b, const struct gw_diff_options *options,
                                struct gw_diff_counts *ret_counts, struct gw_error *err)
{
    return gw_image_diff_sized(a, b, options, sizeof *options, ret_counts, sizeof *ret_counts, err);
}

/* ---- extract ----------------------------------------------------------------------------------------------------- */

/* Files appear whole under their name or not at all. -EEXIST: there is one, and replace is false. */

/* A RAM block as a plain sparse file of its size. block NULL: the largest; -EINVAL when two are equally large. -ENOENT:
 * there is none of that name, the text lists what there is. */
GW_API int gw_extract_ram(struct gw_image *image, const char *block, const char *path, bool replace,
                          gw_examine_progress_fn progress, void *opaque, struct gw_error *err);
/* The body of a device section, as it is in the stream. device: "cpu", "cpu/1", "piix4_pm"; one that means several is
 * -EINVAL. path "-": standard output. */
GW_API int gw_extract_device(struct gw_image *image, const char *device, const char *path, bool replace,
                             struct gw_error *err);
/* The domain's XML of a libvirt image; the description of the devices (JSON). -ENOENT: it has none. */
GW_API int gw_extract_xml(struct gw_image *image, const char *path, bool replace, struct gw_error *err);
GW_API int gw_extract_description(struct gw_image *image, const char *path, bool replace, struct gw_error *err);

/* A part of a block, or everything from offset on (bytes 0), and its guest-physical address. Whole pages. */
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
    /* Where blocks, or parts of them, lie in the guest's physical memory. The rest lies where the machine confirms it. */
    const struct gw_elf_place *places;
    unsigned place_count;
    bool replace;
    gw_examine_progress_fn progress; /* may be NULL */
    /* What is in the file, a line each ("pc.ram ... at 0x0"), and what is not, with the reason. May be NULL. */
    void (*told)(void *opaque, const char *line);
    void *opaque;
    /* Memory that the guest sees, or may see, and that is not in the file, since nothing says where it lies; not
     * memory of devices. May be NULL. */
    void (*left_out)(void *opaque, const struct gw_elf_left *left);
};

/* An ELF64 core of the guest's physical memory, virtual addresses the same as physical ones, sparse. Each x86 processor
 * has a NT_PRSTATUS (and a "QEMU" note with its control registers); a Linux guest's VMCOREINFO is put in where it is
 * found. What lies where is taken from the machine, never guessed: what it does not confirm is left out (left_out), and
 * the core is made without it. -EINVAL: nothing of the RAM could be placed, or a place is not one. Format: docs/formats/core.md. */
GW_API int gw_extract_elf_sized(struct gw_image *image, const char *path, const struct gw_elf_options *options,
                                size_t options_bytes, struct gw_error *err);
static inline int gw_extract_elf(struct gw_image *image, const char *path, const struct gw_elf_options *options,
                                 struct gw_error *err)
{
    return gw_extract_elf_sized(image, path, options, sizeof *options, err);
}

/* ---- explain ----------------------------------------------------------------------------------------------------- */

enum gw_reason_weight {
    GW_REASON_NOTE,    /* differs, and does no harm */
    GW_REASON_UNKNOWN, /* it depends on the destination's program and how it is started, which the files do not say */
    GW_REASON_REFUSED, /* the stream is refused for it */
};

/* Texts are valid during the call. */
struct gw_reason {
    enum gw_reason_weight weight;
    const char *where; /* "machine", "RAM block pc.ram", "device cpu/0" */
    const char *what;
};

/* It would be refused where refused > 0; otherwise it is not known where unknown > 0; otherwise it loads. */
struct gw_explain_counts {
    unsigned refused, unknown, notes;
};

struct gw_dump; /* godwit/state.h */

/* Whether the stream that `from` has read would load elsewhere. The destination is described by `into`, which has read a
 * stream that it wrote itself (one made while it is stopped is good for that): its type, RAM, devices, options; by
 * `dump`, what its program writes with -dump-vmstate: the versions, fields and subsections that it knows; or by both. One
 * of them may be NULL; with a dump alone the destination is taken to have the same devices, options and RAM as the
 * source. Reasons come in the order in which a destination meets them, notes about what is only there at the end: the
 * first that is refused is the one that QEMU names. Streams must have been read without an error. -ENOMEM, -EINVAL,
 * -E2BIG (more devices than any machine has). */
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
