/* SPDX-License-Identifier: MIT
 *
 * What files of our own and of disks are: parked machines, working sets, qcow2, and the section `block`.
 */
#include <stdio.h>

#include "disk/node/qcow2.h"
#include "image/image.h"
#include "seeds.h"

/* A parked file with a dictionary: only large ones have one. */
static int dictionary(void)
{
    static uint8_t data[SEEDS_CAPTURE_MAX];
    size_t n = seeds_load("../parked/accept/dictionary.park", data);

    return n ? seeds_put("parked-dictionary", data, n) : 1;
}

/* Zeros, copies, text and noise, compressed and not. */
int seeds_parked(void)
{
    static const char *const compress[] = {"none", NULL};
    struct gw_image *image = NULL;
    struct gw_error err = GW_ERROR_INIT;
    char path[512];
    uint8_t *ram;
    int r = gw_image_new(NULL, &image, &err);

    if (r >= 0)
        r = gw_memory_add_block(image, "r", 40 * 4096, &ram, &err);
    for (size_t i = 0; i < 40 * 4096 && r >= 0; i++)
        ram[i] = i / 4096 % 7 == 0 ? 0 : i / 4096 > 20 ? (uint8_t)(i % 4096 / 100) : i < 8192 ? (uint8_t)(i * i >> 7) : 'x';
    if (r >= 0) {
        strcpy(image->machine, "pc");
        image->devices_bytes = 300;
        image->devices = calloc(1, image->devices_bytes);
        r = image->devices ? gw_image_add_other(image, GW_PLACE_ITERATE, "other", 5, &err) : -1;
    }
    for (size_t i = 0; i < GW_ARRAY_LEN(compress) && r >= 0; i++) {
        struct gw_image_write_options o = {.format = GW_IMAGE_PARKED, .compress = compress[i], .replace = true};

        snprintf(path, sizeof path, "%s/parked-%zu", seeds_folder, i);
        r = gw_image_write(image, path, &o, &err);
    }
    if (r < 0)
        fprintf(stderr, "%s\n", err.text);
    gw_image_free(image);
    return r < 0 || dictionary();
}

/* What a working set begins with, and some runs (fuzz_working_set.c). */
int seeds_working_set(void)
{
    static const uint8_t some[] = {'g', 'd', 'w', 't', 'w', 's', 'e', 't', 0, 0, 0, 1, 0, 0, 16, 0, 0, 0, 0, 2, 0, 0, 0, 4,
                                   3, 'r', 'a', 'm', 0, 0, 0, 0, 0, 0, 3, 232, 3, 'v', 'g', 'a', 0, 0, 0, 0, 0, 0, 1, 44,
                                   0, 20, 0, 1, 0, 15, 2, 0xd6, 4, 0, 0, 47, 2, 0, 0, 0, 0};

    return seeds_put("some", some, sizeof some) | seeds_put("cut", some, sizeof some - 7) | seeds_put("head", some, 28);
}

/* Bodies of the section `block`, good and bad; a kind in front (fuzz_block.c). */
int seeds_block(void)
{
    static const uint8_t zeros[] = {1, 0, 0, 0, 0, 0, 0, 0x64, 4, 0, 0, 0, 0, 0, 0, 0, 9, 1, 'a', 0, 0, 0, 0, 0, 0x10, 0, 9, 1, 'a',
                                    0, 0, 0, 0, 0, 0, 0, 2};
    static const uint8_t far[] = {1, 0, 0, 0, 0, 0, 0x20, 0, 9, 1, 'a'}, other[] = {2, 0, 0, 0, 0, 0, 0, 0, 9, 1, 'r'};
    static uint8_t data[1 + 10 + (1 << 20) + 8] = {1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 'a', 7};

    data[sizeof data - 1] = 2;
    return seeds_put("zeros", zeros, sizeof zeros) | seeds_put("far", far, sizeof far) | seeds_put("other", other, sizeof other) |
           seeds_put("data", data, sizeof data);
}

/* A small image of each version: something is written, and there is a snapshot. */
int seeds_qcow2(void)
{
    int r = 0;

    for (unsigned version = 2; version < 4; version++) {
        struct gw_qcow2_config config = {.bytes = 100 * 512, .version = version, .cluster_bits = 9};
        struct gw_qcow2_snapshot shot = {.name = (char[]){"seed"}};
        struct gw_node *file = gw_node_memory(0, 512), *image = NULL;
        static uint8_t data[1 << 22];

        if (!file || gw_qcow2_create(file, &config, NULL) < 0 || gw_qcow2_open(file, NULL, 0, &image, NULL) < 0)
            return 1;
        memset(data, version, 10000);
        if (gw_node_write(image, data, 10000, 3000, 0, NULL) < 0 || gw_qcow2_snapshot_create(image, &shot, NULL) < 0 ||
            gw_node_write(image, data, 2000, 9000, 0, NULL) < 0 || gw_node_flush(image, NULL) < 0 ||
            gw_node_read(file, data, GW_MIN(file->bytes, 65536), 0, NULL) < 0)
            return 1;
        r |= seeds_put(version == 2 ? "version-2" : "version-3", data, GW_MIN(file->bytes, 65536));
        gw_node_free(image, NULL);
    }
    return r;
}
