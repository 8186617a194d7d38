/* SPDX-License-Identifier: MIT
 *
 * A parked file in a container that is larger: the file is found, whatever follows it.
 */
#include "rig.h"

#include "image/parked/reader.h"

#define CHUNK     (1u << 20) /* what end.c reads at once */
#define TRAILER   GW_PARKED_TRAILER_BYTES
#define CONTAINER (3u << 20)

/* ---- whole files ---------------------------------------------------------------------------------------------------- */

/* Without `says` the header does not record the end, as in a file that was written into a pipe. */
static uint8_t *park(bool says, size_t *ret_bytes)
{
    static const uint64_t pages[RIG_BLOCKS] = {300, 3, 0, 1};
    const struct gw_image_write_options o = {.format = GW_IMAGE_PARKED, .compress = "none", .threads = 1};
    int fd = memfd_create("parked", MFD_CLOEXEC);
    struct gw_error err = GW_ERROR_INIT;
    struct stat st;
    struct rig rig;
    uint8_t *data;

    rig_open(&rig, 4096, pages, true, 20);
    if (!says)
        assert_int_equal(fcntl(fd, F_SETFL, O_APPEND), 0);
    assert_int_equal(gw_parked_write(&rig.image, &o, fd, &err), 0);
    rig_close(&rig);
    assert_int_equal(fstat(fd, &st), 0);
    data = malloc(CONTAINER);
    assert_true(data && st.st_size < CONTAINER);
    *ret_bytes = (size_t)st.st_size;
    assert_int_equal(pread(fd, data, *ret_bytes, 0), st.st_size);
    close(fd);
    assert_int_equal(!!(gw_load_be32(data + 12) & GW_PARKED_NEEDS_END), says);
    assert_int_equal(gw_load_be64(data + 32), says ? *ret_bytes : 0);
    return data;
}

/* other: a byte that follows the file, 0: zeros. */
static void opens(const uint8_t *data, size_t file_bytes, size_t bytes, uint8_t other, bool says)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_behind behind;
    struct gw_image *image;

    if (rig_open_bytes(data, bytes, &image, &err) < 0)
        fail_msg("%zu bytes in %zu: %s", file_bytes, bytes, err.text);
    assert_int_equal(image->ops->behind(image, &behind, &err), 0);
    if (bytes > file_bytes)
        assert_int_equal(behind.at, file_bytes);
    assert_int_equal(behind.bytes, bytes - file_bytes);
    assert_int_equal(behind.other, other && bytes > file_bytes);
    assert_int_equal(behind.roomy, says);
    gw_image_free(image);
}

static void test_larger(void **state)
{
    static const size_t more[] = {0, 1, 511, 65536, 65537, 1 << 20};

    for (unsigned says = 0; says < 2; says++) {
        size_t bytes;
        uint8_t *data = park(says, &bytes);

        for (unsigned i = 0; i < GW_ARRAY_LEN(more); i++)
            for (unsigned other = 0; other < 0x200; other += 0xff) {
                memset(data + bytes, (uint8_t)other, CONTAINER - bytes);
                opens(data, bytes, bytes + more[i], (uint8_t)other, says);
            }
        free(data);
    }
}

/* A file that is cut is not whole, wherever its container ends: nothing in it is taken for its end. */
static void test_cut(void **state)
{
    for (unsigned says = 0; says < 2; says++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_image *image;
        size_t bytes;
        uint8_t *data = park(says, &bytes);

        memset(data + bytes - 1, 0x77, CONTAINER - bytes + 1);
        assert_int_equal(rig_open_bytes(data, CONTAINER, &image, &err), -EPROTO);
        assert_non_null(strstr(err.text, "trailer"));
        gw_image_free(image);
        assert_int_equal(rig_open_bytes(data, bytes - 1, &image, &err), -EPROTO);
        gw_image_free(image);
        free(data);
    }
}

/* ---- the search ------------------------------------------------------------------------------------------------------ */

static struct gw_parked parked;
static uint8_t *container, header[GW_PARKED_HEADER_BYTES];

static int up(void **state)
{
    int fd = memfd_create("container", MFD_CLOEXEC);

    container = malloc(CONTAINER);
    assert_non_null(container);
    assert_int_equal(ftruncate(fd, CONTAINER), 0);
    parked = (struct gw_parked){0};
    assert_int_equal(gw_bytes_file_new(fd, &parked.bytes, NULL), 0);
    return 0;
}

static int down(void **state)
{
    gw_bytes_free(parked.bytes);
    free(container);
    return 0;
}

static struct gw_parked_trailer trailer_of(uint64_t end)
{
    return (struct gw_parked_trailer){.page_bytes = 4096, .frame_pages = 16, .file_bytes = end, .frames_end = end - TRAILER};
}

/* A file of `end` bytes without parts; everything around its trailer is `rest`. */
static void make(uint64_t end, uint8_t rest)
{
    struct gw_parked_trailer t = trailer_of(end);

    memset(container, rest, CONTAINER);
    gw_parked_put_header(header, &t);
    gw_parked_put_trailer(container + end - TRAILER, &t);
}

static uint64_t found(void)
{
    assert_int_equal(pwrite(parked.bytes->fd, container, CONTAINER, 0), CONTAINER);
    return gw_parked_find_end(&parked, header);
}

static void test_anywhere(void **state)
{
    static const uint64_t at[] = {GW_PARKED_HEADER_BYTES, 4096, CHUNK - TRAILER - 1, CHUNK - TRAILER, CHUNK - TRAILER + 1, CHUNK - 8,
                                  CHUNK - 7, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 2 * TRAILER + 1, 2 * CHUNK - 2 * TRAILER + 2,
                                  CONTAINER - TRAILER - 1, CONTAINER - TRAILER};

    for (unsigned i = 0; i < GW_ARRAY_LEN(at); i++)
        for (unsigned rest = 0; rest < 2; rest++) {
            make(at[i] + TRAILER, rest ? 0x67 /* the magic's first letter */ : 0);
            assert_int_equal(found(), at[i] + TRAILER);
        }
}

/* A parked file in the guest's memory has a trailer too, which gives another place. */
static void test_others(void **state)
{
    const uint64_t end = 2 * CHUNK + 333;
    struct gw_parked_trailer other = trailer_of(20000);

    make(end, 0x11);
    gw_parked_put_trailer(container + 70000, &other);
    memcpy(container + 50001, GW_PARKED_TRAILER_MAGIC, 8);
    other = trailer_of(end + 100000);
    gw_parked_put_trailer(container + end + 5000, &other);
    assert_int_equal(found(), end);
    container[end - 1] ^= 1;
    assert_int_equal(found(), CONTAINER);
}

/* Nothing is looked for where the header has no use for it. */
static void test_header(void **state)
{
    const uint64_t end = CHUNK + 4097;
    struct gw_parked_trailer t = trailer_of(end);

    make(end, 0x11);
    t.needs = GW_PARKED_NEEDS_END;
    gw_parked_put_header(header, &t);
    memset(container + end - TRAILER, 0, TRAILER);
    assert_int_equal(found(), end);
    t.file_bytes = CONTAINER + 1; /* a part of it is not there */
    gw_parked_put_header(header, &t);
    make(end, 0x11);
    gw_parked_put_header(header, &t);
    assert_int_equal(found(), CONTAINER);
    memset(header, 0, sizeof header);
    assert_int_equal(found(), CONTAINER);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_larger), cmocka_unit_test(test_cut), T(test_anywhere), T(test_others),
                                       T(test_header)};

    return cmocka_run_group_tests_name("image/parked/end", tests, NULL, NULL);
}
