/* SPDX-License-Identifier: MIT
 *
 * What all images have in common: blocks, looks at pages with every bound, bytes that are no whole pages, and files that are no
 * image.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "image/image.h"

#define FAILING_COUNTDOWN
#include "../../failing.h"

#define PAGE  1024u
#define PAGES 600u

static struct gw_image image;
static uint8_t ram[PAGES * PAGE];
static unsigned calls;

static int map(struct gw_image *i, unsigned block, uint64_t first, uint64_t count, uint8_t *kinds, struct gw_error *err)
{
    calls++;
    for (uint64_t k = 0; k < count; k++)
        kinds[k] = (first + k) % 4 != 1;
    return 0;
}

static int read_pages(struct gw_image *i, unsigned block, uint64_t first, uint64_t count, uint8_t *dst, struct gw_error *err)
{
    calls++;
    assert_true(count >= 1 && first + count <= PAGES);
    memcpy(dst, ram + first * PAGE, count * PAGE);
    return 0;
}

static const struct gw_image_ops ops = {.map = map, .read = read_pages};

static int up(void **state)
{
    for (size_t i = 0; i < sizeof ram; i++)
        ram[i] = (uint8_t)(i * 7 + i / PAGE);
    calls = 0;
    image = (struct gw_image){.ops = &ops, .page_bytes = PAGE, .page_bits = 10};
    return gw_image_add_block(&image, "ram", sizeof ram, &(struct gw_image_block *){NULL}, NULL);
}

static int down(void **state)
{
    gw_image_clear(&image);
    return 0;
}

static void test_blocks(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image_block *b = NULL;
    char name[257];

    memset(name, 'n', 256);
    name[256] = 0;
    assert_int_equal(gw_image_add_block(&image, name, PAGE, &b, &err), -EPROTO);
    assert_string_equal(err.text, "a RAM block's name has 1 to 255 bytes, not 256");
    assert_int_equal(gw_image_add_block(&image, "", PAGE, &b, &err), -EPROTO);
    assert_int_equal(err.blame, GW_BLAME_PEER);
    assert_int_equal(gw_image_add_block(&image, "ram", PAGE, &b, &err), -EPROTO);
    assert_string_equal(err.text, "RAM block ram is listed twice");
    assert_int_equal(gw_image_add_block(&image, "x", PAGE + 1, &b, &err), -EPROTO);
    assert_string_equal(err.text, "RAM block x has 0x401 bytes: no multiple of the page (1024)");
    assert_int_equal(gw_image_add_block(&image, "x", 1ull << 63, &b, &err), -EPROTO);
    countdown = 1;
    assert_int_equal(gw_image_add_block(&image, "x", PAGE, &b, &err), -ENOMEM);
    countdown = 0;
    assert_int_equal(gw_image_blocks(&image), 1);
    assert_null(b);
    name[255] = 0;
    assert_int_equal(gw_image_add_block(&image, name, 0, &b, &err), 0);
    assert_int_equal(b->pages, 0);
    for (unsigned i = 2; i < 4096; i++) {
        snprintf(name, sizeof name, "b%u", i);
        assert_int_equal(gw_image_add_block(&image, name, 0, NULL, &err), 0);
    }
    assert_int_equal(gw_image_add_block(&image, "one more", 0, NULL, &err), -EPROTO);
    assert_string_equal(err.text, "more than 4096 RAM blocks");
    assert_string_equal(gw_image_block_name(&image, 0), "ram");
    assert_string_equal(gw_image_block_name(&image, 4096), "");
    assert_int_equal(gw_image_block_bytes(&image, 0), sizeof ram);
    assert_int_equal(gw_image_block_bytes(&image, UINT32_MAX), 0);
}

/* No page that there is not reaches the format. */
static void test_bounds(void **state)
{
    static const struct {
        unsigned block;
        uint64_t first, count;
        bool good;
    } rows[] = {
        {0, 0, PAGES, true},   {0, PAGES, 0, true},       {0, PAGES - 1, 1, true}, {0, 0, PAGES + 1, false},
        {0, PAGES, 1, false},  {0, PAGES + 1, 0, false},  {0, 1, UINT64_MAX, false}, {0, UINT64_MAX, 1, false},
        {1, 0, 0, false},      {UINT32_MAX, 0, 1, false},
    };
    static uint8_t kinds[PAGES], dst[sizeof ram];

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++)
        for (int how = 0; how < 3; how++) {
            struct gw_error err = GW_ERROR_INIT;
            int r;

            calls = 0;
            r = how == 0   ? gw_image_map(&image, rows[i].block, rows[i].first, rows[i].count, kinds, &err)
                : how == 1 ? gw_image_pages(&image, rows[i].block, rows[i].first, rows[i].count, dst, &err)
                           : gw_image_fetch(&image, rows[i].block, rows[i].first, rows[i].count, kinds, dst, &err);
            assert_int_equal(r, rows[i].good ? 0 : -EINVAL);
            if (r < 0)
                assert_int_equal(err.blame, GW_BLAME_CALLER);
            assert_int_equal(calls > 0, rows[i].good && rows[i].count);
        }
}

/* Pages that may have contents, each in its place; the places of the others are not written. */
static void test_fetch(void **state)
{
    static uint8_t kinds[PAGES], dst[sizeof ram];

    memset(dst, 0xee, sizeof dst);
    assert_int_equal(gw_image_fetch(&image, 0, 3, 100, kinds, dst, NULL), 0);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(kinds[i], (3 + i) % 4 != 1);
        if (kinds[i])
            assert_memory_equal(dst + i * PAGE, ram + (3 + i) * PAGE, PAGE);
        else
            assert_true(dst[i * PAGE] == 0xee && dst[i * PAGE + PAGE - 1] == 0xee);
    }
    assert_int_equal(dst[100 * PAGE], 0xee);
}

static void test_read(void **state)
{
    static const struct {
        uint64_t offset;
        size_t bytes;
    } good[] = {{0, 0},          {0, 1},       {PAGE - 1, 2},  {5, PAGE},           {PAGE, PAGE}, {1, sizeof ram - 1},
                {0, sizeof ram}, {PAGE, 3333}, {sizeof ram, 0}, {sizeof ram - 1, 1}, {10, 3}},
      bad[] = {{sizeof ram, 1}, {sizeof ram + 1, 0}, {0, sizeof ram + 1}, {UINT64_MAX, 1}, {1, SIZE_MAX}};

    for (size_t i = 0; i < GW_ARRAY_LEN(good); i++) {
        struct gw_error err = GW_ERROR_INIT;
        uint8_t *dst = malloc(good[i].bytes + 1);

        dst[good[i].bytes] = 0xee;
        assert_int_equal(gw_image_read(&image, 0, good[i].offset, dst, good[i].bytes, &err), 0);
        assert_memory_equal(dst, ram + good[i].offset, good[i].bytes);
        assert_int_equal(dst[good[i].bytes], 0xee);
        free(dst);
    }
    for (size_t i = 0; i < GW_ARRAY_LEN(bad); i++) {
        struct gw_error err = GW_ERROR_INIT;

        assert_int_equal(gw_image_read(&image, 0, bad[i].offset, NULL, bad[i].bytes, &err), -EINVAL);
        assert_int_equal(err.blame, GW_BLAME_CALLER);
    }
    assert_int_equal(gw_image_read(&image, 1, 0, NULL, 0, NULL), -EINVAL);
    countdown = 1;
    assert_int_equal(gw_image_read(&image, 0, 1, &(uint8_t){0}, 1, NULL), -ENOMEM);
    countdown = 0;
}

static void test_formats(void **state)
{
    static const char *const names[] = {"memory", "parked", "stream", "mapped-ram", "libvirt"};

    for (size_t i = 0; i < GW_ARRAY_LEN(names); i++)
        assert_string_equal(gw_image_format_name((enum gw_image_format)gw_image_format_find(names[i])), names[i]);
    assert_int_equal(gw_image_format_find("elf"), -1);
    assert_string_equal(gw_image_format_name((enum gw_image_format)99), "?");
}

/* ---- files that are none ------------------------------------------------------------------------------------------- */

static char folder[64];

static int folder_up(void **state)
{
    strcpy(folder, "/tmp/gw-image-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int folder_down(void **state)
{
    char command[100];

    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static void test_no_image(void **state)
{
    static const struct {
        const char *name, *bytes, *suffix, *why;
        int code;
    } rows[] = {
        {"nothing", NULL, "", "No such file or directory", -ENOENT},
        {"empty", "", "", "the file is empty", -EPROTO},
        {"text", "some text", "", "neither a parked machine nor a migration stream nor a libvirt save image", -EPROTO},
        {"text", "some text", ",offset=5", "no migration stream begins at byte 5", -EPROTO},
        {"text", "some text", ",offset=5000", "no migration stream begins at byte 5000", -EPROTO},
        {".", NULL, "", "Is a directory", -EISDIR},
    };
    unsigned fds = entries("/proc/self/fd");

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_image *opened = NULL;
        char path[200];

        snprintf(path, sizeof path, "%s/%s", folder, rows[i].name);
        if (rows[i].bytes) {
            int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

            assert_int_equal(write(fd, rows[i].bytes, strlen(rows[i].bytes)), strlen(rows[i].bytes));
            close(fd);
        }
        strcat(path, rows[i].suffix);
        assert_int_equal(gw_image_open(path, &opened, &err), rows[i].code);
        if (!strstr(err.text, rows[i].why))
            fail_msg("'%s' is not in '%s'", rows[i].why, err.text);
        assert_null(opened);
        assert_int_equal(entries("/proc/self/fd"), fds);
    }
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *opened = NULL;
    char path[200];
    snprintf(path, sizeof path, "%s/text", folder);
    assert_int_equal(gw_image_open_at(path, 1ull << 63, NULL, &opened, &err), -EINVAL);
    assert_non_null(strstr(err.text, "cannot seek to byte 9223372036854775808"));
    assert_null(opened);
    assert_int_equal(entries("/proc/self/fd"), fds);
}

/* A name that has ",offset=" in it and is there is a name. */
static void test_split(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    char path[GW_PATH_TEXT], name[200];
    uint64_t offset = 7;

    snprintf(name, sizeof name, "%s/a,offset=5", folder);
    assert_int_equal(gw_path_split(name, path, &offset, &err), 0);
    assert_int_equal(offset, 5);
    assert_int_equal(strlen(path), strlen(folder) + 2);
    close(open(name, O_WRONLY | O_CREAT, 0600));
    assert_int_equal(gw_path_split(name, path, &offset, &err), 0);
    assert_int_equal(offset, 0);
    assert_string_equal(path, name);
    assert_int_equal(gw_path_split("/nowhere,offset=x", path, &offset, &err), 0);
    assert_string_equal(path, "/nowhere,offset=x");
    char *large = malloc(GW_PATH_TEXT + 1);
    memset(large, 'p', GW_PATH_TEXT);
    large[GW_PATH_TEXT] = 0;
    assert_int_equal(gw_path_split(large, path, &offset, &err), -EINVAL);
    assert_int_equal(err.blame, GW_BLAME_CALLER);
    large[GW_PATH_TEXT - 1] = 0;
    assert_int_equal(gw_path_split(large, path, &offset, &err), 0);
    free(large);
}

/* A head is kept with what nobody knows of it, but for how RAM was written. */
static void test_head(void **state)
{
    static struct gw_wire_head head, back;

    head = (struct gw_wire_head){.configured = true, .machine = "pc-q35-10.0", .has_uuid = true, .uuid = {1, 2}};
    gw_head_add_capability(&head, "mapped-ram");
    gw_head_add_capability(&head, "x-ignore-shared");
    gw_head_add_capability(&head, "something-else");
    countdown = 1;
    assert_int_equal(gw_image_keep_head(&image, &head, NULL), -ENOMEM);
    countdown = 0;
    assert_null(image.head);
    assert_int_equal(gw_image_keep_head(&image, &head, NULL), 0);
    assert_int_equal(gw_image_keep_head(&image, &head, NULL), 0);
    assert_string_equal(gw_image_machine(&image), "pc-q35-10.0");
    assert_int_equal(image.uuid[1], 2);
    gw_image_head(&image, &back);
    assert_true(gw_head_has_capability(&back, "something-else"));
    assert_false(gw_head_has_capability(&back, "mapped-ram"));
    assert_false(gw_head_has_capability(&back, "x-ignore-shared"));
    assert_string_equal(back.machine, "pc-q35-10.0");
    /* Without one, what the image knows. */
    gw_image_clear(&image);
    gw_image_head(&image, &back);
    assert_false(back.configured);
    assert_int_equal(back.page_bits, 10);
}

#define image_test(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        image_test(test_blocks), image_test(test_bounds), image_test(test_fetch), image_test(test_read),
        image_test(test_head),   cmocka_unit_test(test_formats),
        cmocka_unit_test_setup_teardown(test_no_image, folder_up, folder_down),
        cmocka_unit_test_setup_teardown(test_split, folder_up, folder_down),
    };

    return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}
