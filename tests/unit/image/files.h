/* SPDX-License-Identifier: MIT
 *
 * files: files in memory, images made of bytes, and images compared.
 */
#ifndef TEST_FILES_H
#define TEST_FILES_H

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "streams.h"

#include <cmocka.h>

#include "image/image.h"

struct file {
    int fd;
    char path[64];
};

static inline struct file file_new(const void *data, size_t bytes)
{
    struct file f = {.fd = memfd_create("test", MFD_CLOEXEC)};

    assert_true(f.fd >= 0);
    if (bytes)
        assert_int_equal(pwrite(f.fd, data, bytes, 0), (ssize_t)bytes);
    snprintf(f.path, sizeof f.path, "/proc/self/fd/%d", f.fd);
    return f;
}

static inline uint64_t file_bytes(const struct file *f)
{
    struct stat st;

    assert_int_equal(fstat(f->fd, &st), 0);
    return (uint64_t)st.st_size;
}

static inline int open_bytes(const void *data, size_t bytes, struct gw_image **ret, struct gw_error *err)
{
    struct file f = file_new(data, bytes);
    int r = gw_image_open(f.path, ret, err);

    close(f.fd);
    return r;
}

static inline struct gw_image *open_file(const struct file *f)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *image = NULL;

    if (gw_image_open(f->path, &image, &err) < 0)
        fail_msg("%s", err.text);
    return image;
}

static inline struct gw_image *open_capture(const char *name)
{
    struct bytes b = stream_load(name);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *image = NULL;

    if (open_bytes(b.data, b.bytes, &image, &err) < 0)
        fail_msg("%s: %s", name, err.text);
    free(b.data);
    return image;
}

static inline void assert_same_blob(const void *a, size_t a_bytes, const void *b, size_t b_bytes)
{
    assert_int_equal(a_bytes, b_bytes);
    if (a_bytes)
        assert_memory_equal(a, b, a_bytes);
}

static inline void assert_same_ram(struct gw_image *a, struct gw_image *b)
{
    enum { AT_ONCE = 64 };
    uint8_t *x = malloc((size_t)AT_ONCE * a->page_bytes), *y = malloc((size_t)AT_ONCE * a->page_bytes);
    struct gw_error err = GW_ERROR_INIT;

    assert_int_equal(a->block_count, b->block_count);
    for (unsigned i = 0; i < a->block_count; i++) {
        assert_string_equal(a->blocks[i].name, b->blocks[i].name);
        assert_int_equal(a->blocks[i].used_bytes, b->blocks[i].used_bytes);
        for (uint64_t p = 0; p < a->blocks[i].pages; p += AT_ONCE) {
            uint64_t n = GW_MIN(AT_ONCE, a->blocks[i].pages - p);

            if (gw_image_pages(a, i, p, n, x, &err) < 0 || gw_image_pages(b, i, p, n, y, &err) < 0)
                fail_msg("%s", err.text);
            if (memcmp(x, y, n * a->page_bytes) != 0)
                fail_msg("RAM block %s: pages from %" PRIu64 " on differ", a->blocks[i].name, p);
            if (gw_image_empty(b, i, p / GW_IMAGE_GROUP) && (x[0] || memcmp(x, x + 1, n * a->page_bytes - 1) != 0))
                fail_msg("RAM block %s: page %" PRIu64 " is said to be in an empty group", a->blocks[i].name, p);
        }
    }
    free(x);
    free(y);
}

static inline void assert_same_image(struct gw_image *a, struct gw_image *b)
{
    assert_string_equal(a->machine, b->machine);
    assert_int_equal(a->page_bytes, b->page_bytes);
    assert_int_equal(a->has_uuid, b->has_uuid);
    assert_memory_equal(a->uuid, b->uuid, 16);
    assert_int_equal(a->footers, b->footers);
    assert_int_equal(a->ram_id, b->ram_id);
    assert_same_blob(a->early, a->early_bytes, b->early, b->early_bytes);
    assert_int_equal(a->early_before, b->early_before);
    assert_same_blob(a->devices, a->devices_bytes, b->devices, b->devices_bytes);
    assert_same_blob(a->description, a->description_bytes, b->description, b->description_bytes);
    assert_same_ram(a, b);
}

/* What is written into a file in memory; a folder is needed for gw_image_write. */
static inline struct file write_to_file(struct gw_image *image, const struct gw_image_write_options *options)
{
    int (*const write)(struct gw_image *, const struct gw_image_write_options *, int, struct gw_error *) =
        options->format == GW_IMAGE_PARKED       ? gw_parked_write
        : options->format == GW_IMAGE_STREAM     ? gw_stream_write
        : options->format == GW_IMAGE_MAPPED_RAM ? gw_mapped_write
                                                 : gw_libvirt_write;
    struct gw_error err = GW_ERROR_INIT;
    struct file f = file_new(NULL, 0);

    if (write(image, options, f.fd, &err) < 0)
        fail_msg("%s", err.text);
    return f;
}

#endif
