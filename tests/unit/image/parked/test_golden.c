/* SPDX-License-Identifier: MIT
 *
 * Parked files of the format's version 1, as tests/golden/parked has them: what was parked once is read for ever. Every
 * digest (CRC-32C) was taken when the files were made.
 */
#include "../files.h"

#include <stdlib.h>

#include "base/crc32c.h"
#include "godwit/examine.h"
#include "godwit/inspect.h"

#define PAGES 1024u
#define RAM_CRC 0x6d47d586u

static const struct golden {
    const char *name;
    uint32_t file, stream; /* its bytes, and those of the stream that it becomes */
} goldens[] = {
    {"arrived.park", 0x988abff5u, 0x00310dceu},
    {"packed.park", 0xb5cda6d5u, 0x9779b01fu},
    {"written.park", 0x30e3fbc4u, 0x00310dceu},
};

static const char *path_of(const struct golden *g)
{
    static char path[512];

    snprintf(path, sizeof path, GOLDEN_DIR "/parked/accept/%s", g->name);
    return path;
}

static uint32_t file_crc(const char *path, size_t *ret_bytes)
{
    uint8_t *data = malloc(1 << 20);
    FILE *f = fopen(path, "rb");
    uint32_t crc;

    assert_non_null(f);
    assert_non_null(data);
    *ret_bytes = fread(data, 1, 1 << 20, f);
    crc = gw_crc32c(0, data, *ret_bytes);
    fclose(f);
    free(data);
    return crc;
}

static struct gw_image *open_golden(const struct golden *g)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *image = NULL;

    if (gw_image_open(path_of(g), &image, &err) < 0)
        fail_msg("%s: %s", g->name, err.text);
    return image;
}

static void must_be(const struct golden *g, const char *what, uint32_t is, uint32_t expected)
{
    if (is != expected)
        fail_msg("%s: %s: 0x%08x instead of 0x%08x", g->name, what, is, expected);
}

static void test_opens(void **state)
{
    for (unsigned i = 0; i < GW_ARRAY_LEN(goldens); i++) {
        struct gw_image *image = open_golden(&goldens[i]);
        size_t bytes;

        must_be(&goldens[i], "the file", file_crc(path_of(&goldens[i]), &bytes), goldens[i].file);
        assert_int_equal(gw_image_kind(image), GW_IMAGE_PARKED);
        assert_string_equal(gw_image_machine(image), "none");
        assert_int_equal(gw_image_page_bytes(image), 4096);
        assert_int_equal(gw_image_blocks(image), 1);
        assert_string_equal(gw_image_block_name(image, 0), "r");
        assert_int_equal(gw_image_block_bytes(image, 0), PAGES * 4096);
        gw_image_free(image);
    }
}

/* All pages at once, and each alone, from the last to the first: the same. */
static void test_pages(void **state)
{
    uint8_t *ram = malloc(PAGES * 4096), *page = malloc(4096);

    for (unsigned i = 0; i < GW_ARRAY_LEN(goldens); i++) {
        struct gw_image *image = open_golden(&goldens[i]);
        struct gw_error err = GW_ERROR_INIT;
        unsigned contents = 0;
        uint8_t kind;

        memset(ram, 0xee, PAGES * 4096);
        assert_int_equal(gw_image_read(image, 0, 0, ram, PAGES * 4096, &err), 0);
        must_be(&goldens[i], "RAM", gw_crc32c(0, ram, PAGES * 4096), RAM_CRC);
        for (unsigned at = PAGES; at--;) {
            assert_int_equal(gw_image_map(image, 0, at, 1, &kind, &err), 0);
            contents += kind;
            assert_int_equal(gw_image_pages(image, 0, at, 1, page, &err), 0);
            assert_memory_equal(page, ram + at * 4096u, 4096);
        }
        assert_int_equal(contents, 11);
        gw_image_free(image);
    }
    free(ram);
    free(page);
}

static void test_verified(void **state)
{
    for (unsigned i = 0; i < GW_ARRAY_LEN(goldens); i++) {
        struct gw_image *image = open_golden(&goldens[i]);
        struct gw_error err = GW_ERROR_INIT;
        struct gw_verify_counts counts;

        assert_int_equal(gw_image_verify(image, &(struct gw_verify_options){0}, &counts, &err), 0);
        assert_int_equal(counts.faults, 0);
        assert_int_equal(counts.pages, PAGES);
        assert_int_equal(counts.data_pages, 11);
        assert_int_equal(counts.devices, 2);
        assert_int_equal(counts.undescribed, 0);
        gw_image_free(image);
    }
}

static void test_inspected(void **state)
{
    static const char *const says[] = {
        "\"file\": \"parked\"", "\"machine\": \"none\"", "\"name\": \"r\", \"bytes\": 4194304", "\"zero\": 1013, \"plain\": 11",
        "\"distinct\": 7, \"duplicate\": 4", "\"run_state\": \"running\"", "cpu_clock_offset", "has_vm_was_suspended"};

    for (unsigned i = 0; i < GW_ARRAY_LEN(goldens); i++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_inspect *in;
        char *text = NULL;

        assert_int_equal(gw_inspect_new(&in, &err), 0);
        assert_int_equal(gw_inspect_file(in, path_of(&goldens[i]), NULL, &err), 0);
        assert_int_equal(gw_inspect_print(in, &(struct gw_inspect_options){.json = true}, &text, &err), 0);
        for (unsigned k = 0; k < GW_ARRAY_LEN(says); k++)
            if (!strstr(text, says[k]))
                fail_msg("%s: %s is not in %s", goldens[i].name, says[k], text);
        free(text);
        gw_inspect_free(in);
    }
}

/* What it becomes is what it became when it was made, byte for byte. */
static void test_converted(void **state)
{
    char folder[] = "/tmp/godwit-golden.XXXXXX", path[64];

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/stream", folder);
    for (unsigned i = 0; i < GW_ARRAY_LEN(goldens); i++) {
        struct gw_image_write_options options = {.format = GW_IMAGE_STREAM, .replace = true};
        struct gw_image *image = open_golden(&goldens[i]);
        struct gw_error err = GW_ERROR_INIT;
        size_t bytes;
        uint32_t crc;

        assert_int_equal(gw_image_write(image, path, &options, &err), 0);
        gw_image_free(image);
        crc = file_crc(path, &bytes);
        unlink(path);
        assert_int_equal(bytes, 55375);
        must_be(&goldens[i], "the stream", crc, goldens[i].stream);
    }
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opens),     cmocka_unit_test(test_pages),     cmocka_unit_test(test_verified),
        cmocka_unit_test(test_inspected), cmocka_unit_test(test_converted),
    };

    return cmocka_run_group_tests_name("golden", tests, NULL, NULL);
}
