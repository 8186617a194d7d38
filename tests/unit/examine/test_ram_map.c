/* SPDX-License-Identifier: MIT
 *
 * What each page of a machine is, of machines whose pages are known, in memory and in each kind of file.
 */
#include "../image/machines.h"

#include "godwit/ram_map.h"

#define PAGE  4096u
#define PAGES 5000u /* more than a group */

enum { ODD = 4500 }; /* a page by itself */

struct found {
    struct gw_ram_run run[64];
    unsigned count;
};

static void take(void *opaque, const struct gw_ram_run *run)
{
    struct found *f = opaque;

    assert_true(f->count < 64);
    f->run[f->count++] = *run;
}

/* Of the first block one page has contents. Of the second one pages 10 to 19 are different, 20 and 21 and 4500 have one content, all else
 * is zeros. */
static struct gw_image *machine(void)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *image = NULL;
    uint8_t *host = NULL;

    assert_int_equal(gw_image_new(NULL, &image, &err), 0);
    gw_strcopy(image->machine, sizeof image->machine, "m");
    image->page_bytes = PAGE;
    image->page_bits = 12;
    image->footers = true;
    assert_int_equal(gw_memory_add_block(image, "small", 3 * PAGE, &host, &err), 0);
    memset(host + PAGE, 99, PAGE);
    assert_int_equal(gw_memory_add_block(image, "ram", (uint64_t)PAGES * PAGE, &host, &err), 0);
    for (unsigned i = 10; i < 20; i++)
        for (unsigned k = 0; k < PAGE; k++)
            host[i * PAGE + k] = (uint8_t)(i == 10 ? k : i); /* page 10: each byte as often; the others: one byte */
    memset(host + 20 * PAGE, 200, 2 * PAGE);
    memset(host + ODD * PAGE, 200, PAGE);
    return image;
}

static void check_run(const struct gw_ram_run *run, uint64_t first, uint64_t pages, enum gw_ram_kind kind)
{
    assert_int_equal(run->offset, first * PAGE);
    assert_int_equal(run->bytes, pages * PAGE);
    assert_int_equal(run->kind, kind);
}

static void check_map(struct gw_image *image)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_ram_map *map = NULL;
    struct gw_ram_cell cells[3];
    struct found f = {.count = 0};
    uint64_t entropy[GW_RAM_ENTROPY_STEPS];

    assert_int_equal(gw_ram_map_new(image, true, NULL, NULL, &map, &err), 0);
    assert_int_equal(gw_ram_map_runs(map, 0, false, take, &f, &err), 0);
    assert_int_equal(f.count, 3);
    check_run(&f.run[0], 0, 1, GW_RAM_IS_ZERO);
    check_run(&f.run[1], 1, 1, GW_RAM_IS_DATA);
    f.count = 0;
    assert_int_equal(gw_ram_map_runs(map, 1, false, take, &f, &err), 0);
    assert_int_equal(f.count, 6);
    check_run(&f.run[0], 0, 10, GW_RAM_IS_ZERO);
    check_run(&f.run[1], 10, 10, GW_RAM_IS_DATA);
    check_run(&f.run[2], 20, 2, GW_RAM_IS_SHARED);
    check_run(&f.run[3], 22, ODD - 22, GW_RAM_IS_ZERO);
    check_run(&f.run[4], ODD, 1, GW_RAM_IS_SHARED);
    check_run(&f.run[5], ODD + 1, PAGES - ODD - 1, GW_RAM_IS_ZERO);
    assert_int_equal(gw_ram_map_bytes(map, 0, GW_RAM_IS_ZERO), 2 * PAGE);
    assert_int_equal(gw_ram_map_bytes(map, 1, GW_RAM_IS_DATA), 10 * PAGE);
    assert_int_equal(gw_ram_map_bytes(map, 1, GW_RAM_IS_SHARED), 3 * PAGE);
    assert_int_equal(gw_ram_map_bytes(map, 1, GW_RAM_IS_ZERO), (PAGES - 13) * (uint64_t)PAGE);
    assert_int_equal(gw_ram_map_bytes(map, 2, GW_RAM_IS_ZERO), 0);
    assert_int_equal(gw_ram_map_cells(map, 1, 2000, cells, 3, &err), 0);
    assert_int_equal(cells[0].pages[GW_RAM_IS_DATA], 10);
    assert_int_equal(cells[0].pages[GW_RAM_IS_SHARED], 2);
    assert_true(cells[0].bits > 0.66 && cells[0].bits < 0.67); /* one page of 12 has 8 bits, the others 0 */
    assert_int_equal(cells[1].pages[GW_RAM_IS_ZERO], 2000);
    assert_int_equal(cells[2].pages[GW_RAM_IS_ZERO], PAGES - 4000 - 1);
    assert_int_equal(cells[2].pages[GW_RAM_IS_SHARED], 1);
    gw_ram_map_entropy(map, entropy);
    assert_int_equal(entropy[0], 13);
    assert_int_equal(entropy[GW_RAM_ENTROPY_STEPS - 1], 1);
    assert_int_equal(gw_ram_map_runs(map, 2, false, take, &f, &err), -EINVAL);
    assert_int_equal(gw_ram_map_cells(map, 1, 0, cells, 3, &err), -EINVAL);
    gw_ram_map_free(map);
}

static void test_memory(void **state)
{
    struct gw_image *image = machine();

    check_map(image);
    gw_image_free(image);
}

/* The bytes that a run says are in the file are those of its pages. */
static void check_places(struct gw_image *image, const char *path, bool all)
{
    uint8_t stored[PAGE], page[PAGE];
    struct gw_error err = GW_ERROR_INIT;
    struct gw_ram_map *map = NULL;
    struct found f = {.count = 0};
    FILE *file = fopen(path, "r");
    unsigned placed = 0;

    assert_non_null(file);
    assert_int_equal(gw_ram_map_new(image, false, NULL, NULL, &map, &err), 0);
    assert_int_equal(gw_ram_map_runs(map, 1, true, take, &f, &err), 0);
    for (unsigned i = 0; i < f.count; i++)
        for (uint64_t n = 0; f.run[i].has_place && n < f.run[i].bytes / PAGE; n++) {
            assert_int_equal(fseek(file, (long)(f.run[i].place + n * f.run[i].stride), SEEK_SET), 0);
            assert_int_equal(fread(stored, PAGE, 1, file), 1);
            assert_int_equal(gw_image_read(image, 1, f.run[i].offset + n * PAGE, page, PAGE, &err), 0);
            assert_memory_equal(stored, page, PAGE);
            placed++;
        }
    assert_true(all ? placed == 13 : placed == 0);
    gw_ram_map_free(map);
    fclose(file);
}

static void test_files(void **state)
{
    static const struct {
        enum gw_image_format format;
        const char *compress;
        bool places;
    } files[] = {{GW_IMAGE_STREAM, NULL, true},
                 {GW_IMAGE_STREAM, "gzip", false},
                 {GW_IMAGE_MAPPED_RAM, NULL, true},
                 {GW_IMAGE_PARKED, "none", true}};
    char folder[] = "/tmp/gwmapXXXXXX", path[64];

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/file", folder);
    for (size_t i = 0; i < GW_ARRAY_LEN(files); i++) {
        struct gw_image_write_options how = {.format = files[i].format, .compress = files[i].compress, .replace = true};
        struct gw_image *image = machine(), *back = NULL;
        struct gw_error err = GW_ERROR_INIT;

        if (gw_image_write(image, path, &how, &err) < 0 || gw_image_open(path, &back, &err) < 0)
            fail_msg("%zu: %s", i, err.text);
        check_map(back);
        check_places(back, path, files[i].places);
        gw_image_free(back);
        gw_image_free(image);
    }
    unlink(path);
    rmdir(folder);
}

/* What never came is neither zeros nor contents, whatever is there. */
static void test_missing(void **state)
{
    struct gw_image *image = machine();
    uint64_t *received = calloc(PAGES / 64 + 1, sizeof *received), *all = calloc(1, sizeof *all);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_ram_map *map = NULL;
    struct found f = {.count = 0};

    all[0] = 7;
    for (unsigned i = 0; i < PAGES; i++)
        if (i < 15 || (i >= 21 && i != 4200 && i != ODD))
            received[i / 64] |= 1ull << i % 64;
    assert_int_equal(gw_image_lacks(image, 0, all, &err), 0);
    assert_int_equal(gw_image_lacks(image, 1, received, &err), 0);
    assert_int_equal(gw_ram_map_new(image, false, NULL, NULL, &map, &err), 0);
    assert_int_equal(gw_ram_map_bytes(map, 0, GW_RAM_IS_MISSING), 0);
    assert_int_equal(gw_ram_map_bytes(map, 1, GW_RAM_IS_MISSING), 8 * PAGE);
    assert_int_equal(gw_ram_map_runs(map, 1, false, take, &f, &err), 0);
    check_run(&f.run[1], 10, 5, GW_RAM_IS_DATA);
    check_run(&f.run[2], 15, 6, GW_RAM_IS_MISSING);
    check_run(&f.run[3], 21, 1, GW_RAM_IS_DATA); /* as pages 20 and 4500, which never came */
    check_run(&f.run[5], 4200, 1, GW_RAM_IS_MISSING);
    check_run(&f.run[7], ODD, 1, GW_RAM_IS_MISSING);
    gw_ram_map_free(map);
    gw_image_free(image);
}

static bool stop(void *opaque, uint64_t done, uint64_t total)
{
    return true;
}

static void test_failures(void **state)
{
    struct gw_image *image = machine();
    struct gw_error err = GW_ERROR_INIT;
    struct gw_ram_map *map = NULL;

    assert_int_equal(gw_ram_map_new(image, false, stop, NULL, &map, &err), -ECANCELED);
    break_machine(image, 1, 12, 1, -EIO);
    assert_int_equal(gw_ram_map_new(image, false, NULL, NULL, &map, &err), -EIO);
    assert_null(map);
    assert_null(gw_ram_map_free(NULL));
    gw_image_free(image);
}

static void test_names(void **state)
{
    assert_string_equal(gw_ram_kind_name(GW_RAM_IS_SHARED), "shared");
    assert_string_equal(gw_ram_kind_name(GW_RAM_KINDS), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory), cmocka_unit_test(test_files),    cmocka_unit_test(test_missing),
        cmocka_unit_test(test_failures), cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
