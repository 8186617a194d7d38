/* SPDX-License-Identifier: MIT
 *
 * Pages of an opened stream: each is what it was, wherever it lies in the file.
 */
#include "../files.h"

#include "base/endian.h"
#include "image/stream/file.h"
#include "wire/numbers.h"

/* captures/README.md: pattern A. */
static void check_pattern(struct gw_image *image)
{
    static const uint64_t full[] = {0x10, 0x11, 0x200, 0xfff};
    uint8_t kinds[4096], page[4096], zero[4096] = {0};
    struct gw_error err = GW_ERROR_INIT;
    unsigned n = 0;

    assert_string_equal(gw_image_machine(image), "none");
    assert_int_equal(gw_image_blocks(image), 1);
    assert_string_equal(gw_image_block_name(image, 0), "r");
    assert_int_equal(gw_image_block_bytes(image, 0), 16 << 20);
    assert_int_equal(gw_image_map(image, 0, 0, 4096, kinds, &err), 0);
    for (unsigned p = 0; p < 4096; p++) {
        bool is_full = n < 4 && full[n] == p;

        n += is_full;
        assert_int_equal(kinds[p], is_full);
        assert_int_equal(gw_image_pages(image, 0, p, 1, page, &err), 0);
        if (!is_full)
            assert_memory_equal(page, zero, sizeof page);
    }
    assert_int_equal(n, 4);
    assert_int_equal(gw_image_read(image, 0, 0x10000, page, sizeof page, &err), 0);
    for (unsigned i = 0; i < sizeof page; i++)
        assert_int_equal(page[i], (7 * i + 3) & 255);
    assert_int_equal(gw_image_read(image, 0, 0xffefff, page, 4, &err), 0);
    assert_int_equal(page[0], 0);
    assert_int_equal(page[1], (7 * 4095 + 3) & 255);
    assert_int_equal(gw_image_read(image, 0, 0xffffff, page, 2, &err), -EINVAL);
    assert_int_equal(gw_image_read(image, 1, 0, page, 2, &err), -EINVAL);
}

static void test_contents(void **state)
{
    static const char *const names[] = {"precopy-none-7.2.bin", "precopy-none-10.0.bin",
                                        "precopy-rp-7.2.main.src2dst.bin", "precopy-rp-10.0.main.src2dst.bin",
                                        "precopy-rp-10.0-to-7.2.main.src2dst.bin"};

    for (size_t i = 0; i < GW_ARRAY_LEN(names); i++) {
        struct gw_image *image = open_capture(names[i]);

        check_pattern(image);
        gw_image_free(image);
    }
}

static void test_mapped_contents(void **state)
{
    static const char *const names[] = {"mapped-ram-10.0.bin.gz", "mapped-ram-multifd-10.0.bin.gz"};
    struct gw_error err = GW_ERROR_INIT;
    uint8_t kinds[512];

    for (size_t i = 0; i < GW_ARRAY_LEN(names); i++) {
        struct gw_image *image = open_capture(names[i]);

        assert_int_equal(gw_image_map(image, 0, 0, 512, kinds, &err), 0);
        for (unsigned p = 0; p < 512; p++)
            assert_int_equal(kinds[p], p == 16 || p == 17 || p == 511);
        gw_image_free(image);
    }
}

static uint64_t peak_kib(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    unsigned long long kib = 0;
    char line[256];

    assert_non_null(f);
    while (fgets(line, sizeof line, f) && sscanf(line, "VmHWM: %llu", &kib) != 1)
        ;
    fclose(f);
    return kib;
}

/* A mapped-ram file that says to have `used` bytes of RAM, and has them as holes if `there`. */
static int open_mapped(uint64_t used, bool there, struct gw_image **ret, struct gw_error *err)
{
    struct bytes b = stream_load("mapped-ram-10.0.bin.gz");
    struct file f = file_new(b.data, b.bytes);
    uint64_t pages_at = (0x1000 + used / 4096 / 8 + (2 << 20)) >> 20 << 20;
    uint8_t *ram = memmem(b.data, b.bytes, "\3ram\0\0\0\0\0\0\0\4", 12), *tail = memmem(b.data, b.bytes, "\5timer", 6);
    uint8_t word[8];
    off_t at;
    int r;

    assert_non_null(ram);
    assert_non_null(tail);
    at = ram + 12 - b.data; /* total, str8 name, used, version, page, bitmap_at, pages_at */
    gw_store_be64(word, used | 4);
    assert_int_equal(pwrite(f.fd, word, 8, at), 8);
    at += 8 + 1 + b.data[at + 8];
    gw_store_be64(word, used);
    assert_int_equal(pwrite(f.fd, word, 8, at), 8);
    gw_store_be64(word, pages_at);
    assert_int_equal(pwrite(f.fd, word, 8, at + 8 + 20), 8);
    if (there) {
        /* What stands behind the pages in the original goes behind these. */
        uint64_t from = gw_load_be64(b.data + at + 8 + 20) + gw_load_be64(b.data + at);

        assert_int_equal(ftruncate(f.fd, (off_t)0x1000), 0);
        assert_int_equal(ftruncate(f.fd, (off_t)(pages_at + used)), 0);
        assert_int_equal(pwrite(f.fd, b.data + from, b.bytes - from, (off_t)(pages_at + used)), (ssize_t)(b.bytes - from));
    }
    r = gw_image_open(f.path, ret, err);
    close(f.fd);
    free(b.data);
    return r;
}

/* What a file says to hold costs nothing; what it holds in holes costs address space. */
static void test_mapped_holes(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *image = NULL;
    uint64_t before = peak_kib();

    assert_int_equal(open_mapped(1ull << 52, true, &image, &err), -EPROTO);
    if (!strstr(err.text, "more than 64 TiB of RAM"))
        fail_msg("%s", err.text);
    assert_int_equal(open_mapped(1ull << 45, false, &image, &err), -EPROTO);
    if (!strstr(err.text, "RAM block r goes to byte 35185"))
        fail_msg("%s", err.text);
    if (open_mapped(1ull << 44, true, &image, &err) < 0) /* a map of 512 MiB */
        fail_msg("%s", err.text);
    assert_int_equal(gw_image_block_bytes(image, 0), 1ull << 44);
    gw_image_free(image);
#if !defined(__SANITIZE_THREAD__) /* whose own memory is some of that of the program for each byte that is looked at */
    assert_in_range(peak_kib() - before, 0, 200 << 10);
#else
    (void)before;
#endif
}

/* A file that shrinks while it is open. */
static void test_cut_while_open(void **state)
{
    struct bytes b = stream_load("precopy-none-10.0.bin");
    struct file f = file_new(b.data, b.bytes);
    struct gw_image *image = open_file(&f);
    struct gw_error err = GW_ERROR_INIT;
    uint8_t page[4096];

    assert_int_equal(ftruncate(f.fd, 300), 0);
    assert_int_equal(gw_image_pages(image, 0, 0x10, 1, page, &err), -EPROTO);
    assert_non_null(strstr(err.text, "RAM block r: the file ends at byte"));
    gw_image_free(image);
    close(f.fd);
    free(b.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contents),
        cmocka_unit_test(test_mapped_contents),
        cmocka_unit_test(test_mapped_holes),
        cmocka_unit_test(test_cut_while_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
