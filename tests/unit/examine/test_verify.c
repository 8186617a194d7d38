/* SPDX-License-Identifier: MIT */
#include "../image/files.h"
#include "../image/machines.h"

#include "base/endian.h"
#include "godwit/examine.h"

#define PC "precopy-pc-10.0.bin.gz"

struct faults {
    struct gw_verify_fault list[16];
    char name[16][64], what[16][300];
    unsigned count;
};

static void found(void *opaque, const struct gw_verify_fault *fault)
{
    struct faults *f = opaque;

    if (f->count == GW_ARRAY_LEN(f->list))
        return;
    f->list[f->count] = *fault;
    snprintf(f->name[f->count], 64, "%s", fault->name);
    snprintf(f->what[f->count++], 300, "%s", fault->what);
}

static struct gw_verify_counts verify(struct gw_image *image, struct faults *faults)
{
    struct gw_verify_options how = {.found = found, .opaque = faults};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_verify_counts counts;

    *faults = (struct faults){.count = 0};
    if (gw_image_verify(image, &how, &counts, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(GW_MIN(counts.faults, GW_ARRAY_LEN(faults->list)), faults->count);
    return counts;
}

static void test_whole(void **state)
{
    struct gw_image *image = machine_of(PC);
    struct gw_verify_counts n;
    struct faults faults;

    n = verify(image, &faults);
    assert_int_equal(n.faults, 0);
    assert_int_equal(n.blocks, 6);
    assert_int_equal(n.pages, 0x1082000 / 4096);
    assert_true(n.data_pages > 0 && n.data_pages < n.pages);
    assert_int_equal(n.devices, 30);
    assert_int_equal(n.undescribed, 0);
    gw_image_free(image);
}

static void test_no_description(void **state)
{
    struct gw_image *image = machine_of(PC);
    struct gw_verify_counts n;
    struct faults faults;

    image->description_bytes = 0;
    n = verify(image, &faults);
    assert_int_equal(n.faults, 0);
    assert_int_equal(n.devices, 30);
    assert_int_equal(n.undescribed, 30);
    gw_image_free(image);
}

/* A file is no longer whole when something lies behind its end. Zeros are only the rest of a block; what is behind a stream at an
 * offset is not its own. */
static void test_behind_the_end(void **state)
{
    static const char *const names[] = {"precopy-none-10.0.bin", "mapped-ram-10.0.bin.gz", "validate-uuid-7.2.bin"};

    for (size_t i = 0; i < GW_ARRAY_LEN(names); i++) {
        struct bytes b = stream_load(names[i]);

        for (unsigned way = 0; way < (i == 1 ? 3 : 4); way++) { /* what is mapped cannot be moved */
            size_t before = way == 3 ? 512 : 0;
            uint8_t *data = calloc(1, before + b.bytes + 5000);
            struct gw_error err = GW_ERROR_INIT;
            struct gw_image *image = NULL;
            struct gw_verify_counts n;
            struct faults faults;
            struct file f;

            memcpy(data + before, b.data, b.bytes);
            data[before + b.bytes + 4999] = way == 1 || way == 3;
            data[before + b.bytes] = way == 2;
            f = file_new(data, before + b.bytes + (way ? 5000 : 0));
            if (gw_image_open_at(f.path, before, NULL, &image, &err) < 0)
                fail_msg("%s: %s", names[i], err.text);
            n = verify(image, &faults);
            assert_int_equal(n.faults, way == 1 || way == 2);
            gw_image_free(image);
            close(f.fd);
            free(data);
        }
        free(b.data);
    }
}

/* Each page that fails is named, neighbours are one fault, and what is beyond is still read. */
static void test_pages(void **state)
{
    struct gw_image *image = machine_of(PC);
    unsigned bios = block_of(image, "pc.bios");
    uint8_t *host = gw_memory_host(image, bios);
    struct faults faults;

    memset(host, 0x5a, image->blocks[bios].used_bytes); /* every page may have contents */
    break_machine(image, bios, 3, 2, -EPROTO);
    assert_int_equal(verify(image, &faults).faults, 1);
    assert_string_equal(faults.name[0], "pc.bios");
    assert_string_equal(faults.list[0].part, "RAM");
    assert_int_equal(faults.list[0].offset, 3 * 4096);
    assert_int_equal(faults.list[0].bytes, 2 * 4096);
    assert_non_null(strstr(faults.what[0], "byte 4711"));
    break_machine(image, bios, 63, 1, -EIO);
    assert_int_equal(verify(image, &faults).faults, 1);
    assert_int_equal(faults.list[0].offset, 63 * 4096);
    broken.map = true;
    assert_int_equal(verify(image, &faults).faults, 1);
    assert_int_equal(faults.list[0].bytes, image->blocks[bios].used_bytes);
    gw_image_free(image);
}

/* Other failures than those of the file are no faults. */
static void test_failures(void **state)
{
    struct gw_image *image = machine_of(PC);
    unsigned bios = block_of(image, "pc.bios");
    struct gw_error err = GW_ERROR_INIT;
    struct gw_verify_counts counts;

    memset(gw_memory_host(image, bios), 1, 4096);
    break_machine(image, bios, 0, 1, -ENOMEM);
    assert_int_equal(gw_image_verify(image, NULL, &counts, &err), -ENOMEM);
    assert_int_equal(err.code, -ENOMEM);
    assert_int_equal(gw_image_verify(image, NULL, &counts, NULL), -ENOMEM);
    gw_image_free(image);
}

static bool stop(void *opaque, uint64_t done, uint64_t total)
{
    unsigned *left = opaque;

    assert_true(done <= total);
    assert_int_equal(total, 0x1082000);
    return --*left == 0;
}

static void test_cancel(void **state)
{
    struct gw_image *image = machine_of(PC);
    struct gw_verify_counts counts;
    unsigned left = 3;
    struct gw_verify_options how = {.progress = stop, .opaque = &left};

    assert_int_equal(gw_image_verify(image, &how, &counts, NULL), -ECANCELED);
    assert_true(counts.pages > 0 && counts.pages < 0x1082);
    gw_image_free(image);
}

/* Whether byte i is in a section's frame, where each bit is known from the description. The number of a section is
 * known when its footer says it again; the version too, save of old-style ones (vmmouse has version 0 and is
 * described). */
static void test_flipped_device_bits(void **state)
{
    struct gw_image *image = machine_of("precopy-none-10.0.bin");
    unsigned quiet = 0;
    struct faults faults;

    for (size_t i = 0; i < image->devices_bytes * 8; i++) {
        image->devices[i / 8] ^= (uint8_t)(1 << i % 8);
        quiet += verify(image, &faults).faults == 0;
        image->devices[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    /* timer and globalstate: their values (24 and 104 bytes) have no checksum in a stream. */
    assert_int_equal(quiet, (24 + 104) * 8);
    assert_int_equal(verify(image, &faults).faults, 0);
    gw_image_free(image);
}

static void test_truncated_devices(void **state)
{
    struct gw_image *image = machine_of("precopy-none-7.2.bin");
    size_t devices = image->devices_bytes, description = image->description_bytes;
    struct faults faults;

    for (size_t n = 0; n < devices; n++) {
        uint8_t *whole = image->devices;

        image->devices = malloc(n + 1); /* so that what is behind it is not read unseen */
        memcpy(image->devices, whole, n);
        image->devices_bytes = n;
        assert_int_equal(verify(image, &faults).faults, 1);
        assert_string_equal(faults.list[0].part, "devices");
        free(image->devices);
        image->devices = whole;
    }
    image->devices_bytes = devices;
    for (size_t n = 1; n < description; n++) {
        image->description_bytes = n;
        assert_int_equal(verify(image, &faults).faults, 1);
    }
    gw_image_free(image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_no_description), cmocka_unit_test(test_behind_the_end),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_flipped_device_bits),
        cmocka_unit_test(test_truncated_devices),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
