/* SPDX-License-Identifier: MIT */
#include "../image/parked/rig.h"

#include <jansson.h>

#include "examine/inspect_parked.h"
#include "godwit/examine.h"

static json_t *as_json(struct gw_inspect *in)
{
    struct gw_inspect_options how = {.json = true};
    struct gw_error err = GW_ERROR_INIT;
    char *text = NULL;
    json_t *json;

    assert_int_equal(gw_inspect_print(in, &how, &text, &err), 0);
    json = json_loads(text, JSON_DECODE_INT_AS_REAL, NULL);
    assert_non_null(json);
    free(text);
    gw_inspect_free(in);
    return json;
}

static json_t *inspect_fd(int fd)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_inspect *in = NULL;
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    assert_int_equal(gw_inspect_new(&in, &err), 0);
    if (gw_inspect_file(in, path, NULL, &err) < 0)
        fail_msg("%s", err.text);
    close(fd);
    return as_json(in);
}

static int written(struct gw_image *image, enum gw_image_format format)
{
    struct gw_image_write_options how = {.format = format, .compress = format == GW_IMAGE_PARKED ? "none" : NULL};
    int fd = memfd_create("written", MFD_CLOEXEC), r;
    struct gw_error err = GW_ERROR_INIT;

    r = format == GW_IMAGE_STREAM ? gw_stream_write(image, &how, fd, &err) : gw_parked_write(image, &how, fd, &err);
    if (r < 0)
        fail_msg("%s", err.text);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

/* Nothing but what it says of the file differs from what is said of the stream that it becomes. */
static void test_as_the_stream(void **state)
{
    static const struct {
        uint32_t page_bytes;
        uint64_t pages[RIG_BLOCKS];
        bool footers;
    } cases[] = {
        {4096, {3000, 5, 1, UINT64_MAX}, true},
        {1024, {700, 9000, UINT64_MAX}, false},
        {65536, {1200, 2100, UINT64_MAX}, true}, /* several PARTs */
        {4096, {UINT64_MAX}, true},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        json_t *parked, *stream;
        struct rig rig;

        rig_open(&rig, cases[i].page_bytes, cases[i].pages, false, i);
        rig.image.footers = cases[i].footers;
        parked = inspect_fd(written(&rig.image, GW_IMAGE_PARKED));
        stream = inspect_fd(written(&rig.image, GW_IMAGE_STREAM));
        assert_string_equal(json_string_value(json_object_get(parked, "file")), "parked");
        json_object_del(parked, "file");
        json_object_del(parked, "source");
        json_object_del(stream, "source");
        if (!json_equal(parked, stream))
            fail_msg("case %zu: %s\ninstead of %s", i, json_dumps(parked, 0), json_dumps(stream, 0));
        json_decref(parked);
        json_decref(stream);
        rig_close(&rig);
    }
}

/* ---- work -------------------------------------------------------------------------------------------------------- */

#define COPIES (65536u / RIG_LESS)

static const struct gw_image_ops *real;
static _Atomic uint64_t pages_read;
static bool blank; /* what is stored is zeros all the same */

static int all_filled(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *kinds,
                      struct gw_error *err)
{
    memset(kinds, 1, count);
    return 0;
}

static int all_alike(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *dst, struct gw_error *err)
{
    memset(dst, 7, count * image->page_bytes);
    return 0;
}

static int counted_read(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *dst,
                        struct gw_error *err)
{
    int r = real->read(image, block, first, count, dst, err);

    pages_read += count;
    if (blank)
        memset(dst, 0, count * image->page_bytes);
    return r;
}

static int counted_fetch(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *kinds, uint8_t *dst,
                         struct gw_error *err)
{
    int r = real->fetch(image, block, first, count, kinds, dst, err);

    pages_read += count;
    if (blank)
        memset(dst, 0, count * image->page_bytes);
    return r;
}

/* RAM that is one page many times takes no longer than that page. */
static void test_reads_what_is_stored(void **state)
{
    static const struct gw_image_ops alike = {.map = all_filled, .read = all_alike};
    const uint64_t pages[RIG_BLOCKS] = {1, UINT64_MAX};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_verify_counts counts;
    struct gw_image *image = NULL;
    struct gw_image_ops counted;
    struct gw_inspect *in = NULL;
    struct rig rig;
    json_t *json, *ram, *contents, *kinds;
    char path[64];
    int fd;

    rig_open(&rig, 4096, pages, false, 1);
    rig.image.ops = &alike;
    rig.image.blocks[0].pages = COPIES;
    rig.image.blocks[0].used_bytes = COPIES * 4096ull;
    fd = written(&rig.image, GW_IMAGE_PARKED);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    assert_int_equal(gw_image_open(path, &image, &err), 0);
    real = image->ops;
    counted = *real;
    counted.read = counted_read;
    counted.fetch = counted_fetch;
    image->ops = &counted;

    for (unsigned i = 0; i < 2; i++) {
        blank = i;
        in = NULL;
        assert_int_equal(gw_inspect_new(&in, &err), 0);
        assert_int_equal(gw_inspect_parked(in, "parked", image, &err), 0);
        json = as_json(in);
        ram = json_object_get(json, "ram");
        contents = json_object_get(ram, "contents");
        kinds = json_object_get(json_array_get(json_object_get(ram, "blocks"), 0), "pages");
        assert_int_equal(json_number_value(json_object_get(contents, "duplicate")), blank ? 0 : COPIES - 1);
        assert_int_equal(json_number_value(json_object_get(kinds, "plain")), blank ? 0 : COPIES);
        assert_int_equal(json_number_value(json_object_get(kinds, "zero")), blank ? COPIES : 0);
        json_decref(json);
        assert_int_equal(pages_read, i + 1);
    }
    blank = false;
    assert_int_equal(gw_image_verify(image, NULL, &counts, &err), 0);
    assert_int_equal(counts.data_pages, COPIES);
    assert_int_equal(counts.faults, 0);
    assert_int_equal(pages_read, 3);
    image->ops = real;
    gw_image_free(image);
    close(fd);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_the_stream),
        cmocka_unit_test(test_reads_what_is_stored),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
