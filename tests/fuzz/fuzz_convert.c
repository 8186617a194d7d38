/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a machine at rest, written in each format. What was written opens again, and is the same machine; and
 * written once more it is the same file. So is it if the machine can be compared with itself: a parked file may have anything
 * for devices, of which no stream can be made that opens.
 */
#include <sys/mman.h>
#include <sys/stat.h>

#include "godwit/ram_map.h"
#include "image/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PAGES_MAX 2048u /* of all blocks */

static struct gw_image *open_fd(const struct gw_image_format_ops *format, int fd)
{
    struct gw_image *image = calloc(1, sizeof *image);
    struct gw_error err = GW_ERROR_INIT;

    if (!image)
        abort();
    if (format->open(fd, "fuzz", image, &err) >= 0)
        return image;
    if (!err.text[0])
        abort();
    gw_image_free(image);
    return NULL;
}

static struct gw_image *open_any(const uint8_t *data, size_t size)
{
    for (unsigned i = 0; i < gw_image_format_count; i++) {
        const struct gw_image_format_ops *format = &gw_image_formats[i];
        int fd;

        if (!format->open || !format->recognise(data, size))
            continue;
        fd = memfd_create("fuzz", MFD_CLOEXEC);
        if (fd < 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
            abort();
        return open_fd(format, fd);
    }
    return NULL;
}

/* -1: it cannot be written so. */
static int write_as(struct gw_image *image, const struct gw_image_format_ops *format, bool packed)
{
    const struct gw_image_write_options options = {.format = format->format,
                                                   .threads = 1,
                                                   .level = packed,
                                                   .compress = format->format == GW_IMAGE_PARKED ? packed ? "zstd" : "none" : NULL,
                                                   .libvirt_xml = "<domain/>"};
    struct gw_error err = GW_ERROR_INIT;
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    if (fd < 0)
        abort();
    if (format->write(image, &options, fd, &err) >= 0)
        return fd;
    if (!err.text[0])
        abort();
    close(fd);
    return -1;
}

static bool same_bytes(int a, int b)
{
    struct stat x, y;
    uint8_t one[4096], other[4096];

    if (fstat(a, &x) < 0 || fstat(b, &y) < 0 || x.st_size != y.st_size)
        return false;
    for (off_t at = 0; at < x.st_size; at += sizeof one) {
        ssize_t n = pread(a, one, sizeof one, at);

        if (n <= 0 || pread(b, other, sizeof other, at) != n || memcmp(one, other, (size_t)n) != 0)
            return false;
    }
    return true;
}

static const struct gw_image_format_ops *reader_of(const struct gw_image_format_ops *format)
{
    while (!format->open)
        format--; /* a mapped-ram file is opened as a stream */
    return format;
}

static void there_and_back(struct gw_image *image, const struct gw_image_format_ops *format, bool packed, bool sound)
{
    const struct gw_diff_options options = {0};
    struct gw_error err = GW_ERROR_INIT;
    int fd = write_as(image, format, packed), again, kept;
    struct gw_diff_counts n = {0};
    struct gw_image *back;

    if (fd < 0)
        return;
    kept = dup(fd);
    back = open_fd(reader_of(format), fd);
    if (!sound) {
        gw_image_free(back);
        close(kept);
        return;
    }
    if (!back || gw_image_diff(image, back, &options, &n, &err) < 0)
        abort();
    if (n.pages || n.blocks || n.devices || n.values || n.heads)
        abort();
    again = write_as(back, format, packed);
    if (again < 0 || !same_bytes(kept, again))
        abort();
    close(again);
    close(kept);
    gw_image_free(back);
}

static void add_run(void *opaque, const struct gw_ram_run *run)
{
    uint64_t *end = opaque;

    if (run->offset != *end || !run->bytes)
        abort();
    *end += run->bytes;
}

/* Runs are each block without a gap; with places the same bytes in more of them. */
static void map(struct gw_image *image)
{
    struct gw_ram_map *map = NULL;

    if (gw_ram_map_new(image, true, NULL, NULL, &map, NULL) < 0)
        return;
    for (unsigned i = 0; i < image->block_count; i++) {
        uint64_t kinds = 0;

        for (unsigned k = 0; k < GW_RAM_KINDS; k++)
            kinds += gw_ram_map_bytes(map, i, k);
        for (int places = 0; places < 2; places++) {
            uint64_t end = 0;

            if (gw_ram_map_runs(map, i, places, add_run, &end, NULL) >= 0 && (end != image->blocks[i].used_bytes || end != kinds))
                abort();
        }
    }
    gw_ram_map_free(map);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gw_image *image = open_any(data, size);
    const struct gw_diff_options options = {0};
    struct gw_diff_counts n;
    uint64_t pages = 0;
    bool sound;

    for (unsigned i = 0; image && i < image->block_count; i++)
        pages += GW_MIN(image->blocks[i].pages, PAGES_MAX + 1u);
    sound = image && pages <= PAGES_MAX && gw_image_diff(image, image, &options, &n, NULL) >= 0;
    if (image && pages <= PAGES_MAX)
        map(image);
    for (unsigned i = 0; image && pages <= PAGES_MAX && i < gw_image_format_count; i++) {
        const struct gw_image_format_ops *format = &gw_image_formats[i];

        /* As gw_image_write does: these have no other place for it. */
        if (image->libvirt_saved && gw_image_set_runs(image, gw_image_runs(image), NULL) < 0)
            break;
        if (format->write)
            there_and_back(image, format, false, sound);
        if (format->format == GW_IMAGE_PARKED)
            there_and_back(image, format, true, sound);
    }
    gw_image_free(image);
    return 0;
}
