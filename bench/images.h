/* SPDX-License-Identifier: MIT
 *
 * Common parts of benchmarks of files: RAM in memory as an image, which can be written in any format, and figures of
 * many reads.
 */
#ifndef BENCH_IMAGES_H
#define BENCH_IMAGES_H

#include "bench.h"

#include "image/image.h"

#define PAGE 4096u

struct ram {
    uint8_t *data;
    uint64_t bytes;
};

static inline void say(struct gw_error *err)
{
    fprintf(stderr, "bench: %s\n", err->text);
    exit(1);
}

/* All of the file, or its first `most` bytes. */
static inline struct ram ram_load(const char *path, uint64_t most)
{
    struct stat st;
    struct ram ram;

    if (stat(path, &st))
        bench_die(path);
    ram.bytes = (uint64_t)st.st_size < most ? (uint64_t)st.st_size / PAGE * PAGE : most / PAGE * PAGE;
    ram.data = bench_memory(ram.bytes, true);
    bench_load(path, ram.data, ram.bytes);
    return ram;
}

static inline int ram_map(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *kinds,
                          struct gw_error *err)
{
    memset(kinds, 1, count);
    return 0;
}

static inline int ram_read(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *dst,
                           struct gw_error *err)
{
    const struct ram *ram = image->own;

    memcpy(dst, ram->data + first * PAGE, count * PAGE);
    return 0;
}

/* One block, "ram"; no devices. */
static inline void ram_write(const struct ram *ram, const char *path, const struct gw_image_write_options *options)
{
    static const struct gw_image_ops ops = {.map = ram_map, .read = ram_read};
    struct gw_image image = {.ops = &ops, .own = (void *)ram, .machine = "none", .page_bytes = PAGE, .page_bits = 12,
                             .footers = true};
    struct gw_error err = GW_ERROR_INIT;

    if (gw_image_add_block(&image, "ram", ram->bytes, NULL, &err) < 0 || gw_image_write(&image, path, options, &err) < 0)
        say(&err);
    gw_image_clear(&image);
}

static inline struct gw_image *open_image(const char *path)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *image;

    if (gw_image_open(path, &image, &err) < 0)
        say(&err);
    return image;
}

static inline int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static inline uint64_t chance(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

#endif
