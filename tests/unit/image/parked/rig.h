/* SPDX-License-Identifier: MIT
 *
 * A machine at rest in arrays, with every kind of contents, to be parked and compared with what comes back.
 */
#ifndef PARKED_RIG_H
#define PARKED_RIG_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "image/parked/parked.h"

#define RIG_BLOCKS 4

/* For tests that try the same thing over and over, and have no threads: how much less of that will do. */
#if defined(__SANITIZE_THREAD__)
#define RIG_LESS 8
#else
#define RIG_LESS 1
#endif

struct rig {
    struct gw_image image;
    uint8_t *ram[RIG_BLOCKS];
    bool holes; /* map tells which pages are zeros */
};

static uint64_t rig_random(uint64_t *s)
{
    uint64_t z = *s += 0x9e3779b97f4a7c15ull;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static GW_UNUSED bool rig_is_zero(const uint8_t *p, size_t bytes)
{
    return !p[0] && !memcmp(p, p + 1, bytes - 1);
}

static int rig_map(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *kinds,
                   struct gw_error *err)
{
    const struct rig *rig = image->own;

    for (uint64_t i = 0; i < count; i++)
        kinds[i] = !rig->holes || !rig_is_zero(rig->ram[block] + (first + i) * image->page_bytes, image->page_bytes);
    return 0;
}

static int rig_read(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *dst,
                    struct gw_error *err)
{
    const struct rig *rig = image->own;

    memcpy(dst, rig->ram[block] + first * image->page_bytes, count * image->page_bytes);
    return 0;
}

static const struct gw_image_ops rig_ops = {.map = rig_map, .read = rig_read};

/* Runs of zeros, noise, text, copies of runs before, one page many times. */
static void rig_fill(struct rig *rig, unsigned block, uint64_t *seed)
{
    size_t page = rig->image.page_bytes;
    uint64_t pages = rig->image.blocks[block].pages;
    uint8_t *ram = rig->ram[block];

    for (uint64_t i = 0, n; i < pages; i += n) {
        uint64_t kind = rig_random(seed) % 6, back = i ? rig_random(seed) % i : 0;

        n = 1 + rig_random(seed) % 12;
        n = GW_MIN(n, pages - i);
        for (uint64_t k = 0; k < n; k++) {
            uint8_t *p = ram + (i + k) * page;

            if (kind == 1)
                for (size_t b = 0; b < page; b += 8)
                    memcpy(p + b, &(uint64_t){rig_random(seed)}, 8);
            else if (kind == 2 || kind == 5)
                for (size_t b = 0; b < page; b += 16)
                    snprintf((char *)p + b, 16, "%04x word %04x", (unsigned)(rig_random(seed) % 500),
                             (unsigned)(b >> 6 & 0xffff));
            else if (kind == 3 && i)
                memcpy(p, ram + (back + k) % i * page, page);
            else if (kind == 4)
                memset(p, 0x5a, page);
        }
    }
}

static GW_UNUSED void rig_close(struct rig *rig)
{
    for (unsigned i = 0; i < RIG_BLOCKS; i++)
        free(rig->ram[i]);
    gw_image_clear(&rig->image);
}

/* pages: of each block. blobs: devices, a description and the like. */
static GW_UNUSED void rig_open(struct rig *rig, uint32_t page_bytes, const uint64_t pages[RIG_BLOCKS], bool blobs, uint64_t seed)
{
    static const char *const names[RIG_BLOCKS] = {"pc.ram", "vga.vram", "/rom@etc/acpi/tables", "x"};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *image = &rig->image;

    *rig = (struct rig){.holes = seed & 1};
    *image = (struct gw_image){
        .ops = &rig_ops,
        .own = rig,
        .page_bytes = page_bytes,
        .page_bits = (unsigned)__builtin_ctz(page_bytes),
        .has_uuid = blobs,
        .footers = true,
        .ram_id = 2,
        .uuid = {blobs ? 9 : 0},
    };
    if (blobs)
        strcpy(image->machine, "pc-q35-10.0");
    for (unsigned i = 0; i < RIG_BLOCKS; i++) {
        struct gw_image_block *b;

        if (pages[i] == UINT64_MAX)
            break;
        assert_int_equal(gw_image_add_block(image, names[i], pages[i] * page_bytes, &b, &err), 0);
        b->host_page_bytes = i == 1 ? 2u << 20 : 0;
        b->has_gpa = i == 0;
        b->gpa = i == 0 ? 0x100000000 : 0;
        rig->ram[i] = calloc(pages[i] + 1, page_bytes);
        rig_fill(rig, i, &seed);
    }
    if (blobs) {
        image->early_bytes = 100;
        image->early_before = 50;
        image->early = calloc(1, image->early_bytes);
        image->devices_bytes = 5000;
        image->devices = malloc(image->devices_bytes);
        for (size_t i = 0; i < image->devices_bytes; i++)
            image->devices[i] = (uint8_t)(rig_random(&seed) % 5);
        image->description = strdup("{\"page_size\": 4096, \"devices\": []}");
        image->description_bytes = strlen(image->description);
        image->libvirt_xml = strdup("<domain type='kvm'><name>a</name></domain>");
    }
}

/* The parked file as bytes: malloc'd. */
static GW_UNUSED int rig_park(struct rig *rig, const char *compress, unsigned threads, uint8_t **ret, size_t *ret_bytes,
                              struct gw_error *err)
{
    struct gw_image_write_options o = {.format = GW_IMAGE_PARKED, .compress = compress, .threads = threads};
    int fd = memfd_create("parked", MFD_CLOEXEC), r;
    struct stat st;

    r = gw_parked_write(&rig->image, &o, fd, err);
    if (r >= 0) {
        fstat(fd, &st);
        *ret_bytes = (size_t)st.st_size;
        *ret = malloc(*ret_bytes);
        if (!*ret || pread(fd, *ret, *ret_bytes, 0) != st.st_size)
            abort();
    }
    close(fd);
    return r;
}

/* Opens bytes as a parked file; the image is there to be freed also after a failure. */
static GW_UNUSED int rig_open_bytes(const uint8_t *file, size_t bytes, struct gw_image **ret, struct gw_error *err)
{
    int fd = memfd_create("parked", MFD_CLOEXEC), r;
    char path[64];

    if (write(fd, file, bytes) != (ssize_t)bytes)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    *ret = NULL;
    r = gw_image_open(path, ret, err);
    close(fd);
    return r;
}

/* Of a test of what only a build with zstd makes. */
static GW_UNUSED void rig_needs_zstd(void)
{
    if (gw_pack_known())
        return;
    print_message("this build has no zstd\n");
    skip();
}

#endif
