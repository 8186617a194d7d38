/* SPDX-License-Identifier: MIT
 *
 * The index of a parked file: which pages have contents, and which have the same; an index that lies is found out.
 */
#include "rig.h"

#include "image/parked/reader.h"

#define PAGES 40u

/* Pages: 0 zeros, then 1 1 2 3 zeros... by `what`. Returns the file. */
static int park(const uint8_t *what, unsigned pages)
{
    struct gw_image_write_options options = {.format = GW_IMAGE_PARKED, .compress = "none"};
    struct gw_error err = GW_ERROR_INIT;
    struct rig rig = {.image = {.page_bytes = 4096, .page_bits = 12, .machine = "m", .ops = &rig_ops}};
    struct gw_image_block *b;
    int fd = memfd_create("parked", MFD_CLOEXEC);

    rig.image.own = &rig;
    rig.image.devices = calloc(1, 1);
    assert_int_equal(gw_image_add_block(&rig.image, "ram", pages * 4096ull, &b, &err), 0);
    rig.ram[0] = calloc(pages, 4096);
    for (unsigned i = 0; i < pages; i++)
        memset(rig.ram[0] + i * 4096ull, what[i], 4096);
    if (gw_parked_write(&rig.image, &options, fd, &err) < 0)
        fail_msg("%s", err.text);
    free(rig.ram[0]);
    free(rig.image.devices);
    free(rig.image.blocks);
    return fd;
}

static struct gw_image *open_parked(int fd)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *image = calloc(1, sizeof *image);

    if (gw_parked_open(fd, "file", image, &err) < 0)
        fail_msg("%s", err.text);
    return image;
}

static const uint8_t what[PAGES] = {0, 1, 1, 2, 3, 0, 2, 2, 2, 9};

static void test_kinds(void **state)
{
    struct gw_image *image = open_parked(park(what, PAGES));
    uint8_t kinds[PAGES];

    assert_int_equal(image->ops->map(image, 0, 0, PAGES, kinds, NULL), 0);
    for (unsigned i = 0; i < PAGES; i++)
        assert_int_equal(kinds[i] != 0, what[i] != 0);
    assert_int_equal(image->ops->map(image, 0, 4, 2, kinds, NULL), 0); /* from the middle */
    assert_true(kinds[0] && !kinds[1]);
    assert_false(image->ops->empty(image, 0, 0));
    gw_image_free(image);
}

/* Pages with the same contents have the same number. */
static void test_numbers(void **state)
{
    struct gw_image *image = open_parked(park(what, PAGES));
    uint32_t n[PAGES];

    assert_int_equal(image->ops->numbers(image, 0, 0, PAGES, n, NULL), 0);
    assert_true(n[0] == GW_IMAGE_ZEROS && n[5] == GW_IMAGE_ZEROS && n[39] == GW_IMAGE_ZEROS);
    assert_true(n[1] == 0 && n[2] == 0 && n[3] == 1 && n[4] == 2 && n[6] == 1 && n[7] == 1 && n[8] == 1 && n[9] == 3);
    assert_int_equal(image->stored_pages, 4);
    gw_image_free(image);
}

/* Zeros are written where they are asked for, and left alone where only told. */
static void test_pages(void **state)
{
    struct gw_image *image = open_parked(park(what, PAGES));
    uint8_t *dst = malloc(10 * 4096), kinds[10];

    memset(dst, 0xee, 10 * 4096);
    assert_int_equal(image->ops->read(image, 0, 0, 10, dst, NULL), 0);
    for (unsigned i = 0; i < 10; i++)
        assert_true(dst[i * 4096] == what[i] && dst[i * 4096 + 4095] == what[i]);
    memset(dst, 0xee, 10 * 4096);
    assert_int_equal(image->ops->fetch(image, 0, 0, 10, kinds, dst, NULL), 0);
    assert_true(!kinds[0] && kinds[1] && dst[0] == 0xee && dst[4096] == 1);
    free(dst);
    gw_image_free(image);
}

static void test_empty(void **state)
{
    static const uint8_t none[PAGES];
    struct gw_image *image = open_parked(park(none, PAGES));
    uint8_t kinds[PAGES];

    assert_true(image->ops->empty(image, 0, 0));
    memset(kinds, 1, sizeof kinds);
    assert_int_equal(image->ops->map(image, 0, 0, PAGES, kinds, NULL), 0);
    assert_int_equal(kinds[7], 0);
    gw_image_free(image);
}

/* What the directory promises and the index does not keep is told with its place. */
static void lies(const char *text, void (*lie)(struct gw_parked *p))
{
    struct gw_image *image = open_parked(park(what, PAGES));
    struct gw_error err = GW_ERROR_INIT;
    uint8_t kinds[PAGES];

    lie(image->own);
    assert_int_equal(image->ops->map(image, 0, 0, PAGES, kinds, &err), -EPROTO);
    if (!strstr(err.text, text))
        fail_msg("\"%s\" is not in \"%s\"", text, err.text);
    assert_non_null(strstr(err.text, "file: page index of RAM block ram from page 0 on, at byte "));
    gw_image_free(image);
}

static void fewer_numbers(struct gw_parked *p)
{
    p->trailer.numbers = 3;
}

static void wrong_sum(struct gw_parked *p)
{
    p->groups[0][0].crc ^= 1;
}

static void test_lies(void **state)
{
    lies(", but there are only 3", fewer_numbers);
    lies("0x", wrong_sum);
}

static void test_too_few_pages(void **state)
{
    struct gw_image *image = open_parked(park(what, PAGES));
    struct gw_error err = GW_ERROR_INIT;
    uint8_t kinds[PAGES];

    image->blocks[0].pages = PAGES + 1;
    assert_int_equal(image->ops->map(image, 0, 0, PAGES, kinds, &err), -EPROTO);
    assert_non_null(strstr(err.text, "its runs cover only 40 of its 41 pages"));
    image->blocks[0].pages = PAGES - 1;
    assert_int_equal(image->ops->map(image, 0, 0, PAGES - 1, kinds, &err), -EPROTO);
    assert_non_null(strstr(err.text, "its runs cover more than its 39 pages"));
    gw_image_free(image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kinds), cmocka_unit_test(test_numbers), cmocka_unit_test(test_pages),
                                       cmocka_unit_test(test_empty), cmocka_unit_test(test_lies),    cmocka_unit_test(test_too_few_pages)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
