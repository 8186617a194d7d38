/* SPDX-License-Identifier: MIT
 *
 * A stream that begins inside of a file: FILE,offset=N, unless a file has that name.
 */
#include "files.h"

#include <unistd.h>

#include "examine/inspect.h"

static char folder[64];

static const char *put(const char *name, const uint8_t *data, size_t bytes, size_t at)
{
    static char path[256];
    static const uint8_t before[20000] = "something else";
    int fd;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, before, at, 0), (ssize_t)at);
    assert_int_equal(pwrite(fd, data, bytes, (off_t)at), (ssize_t)bytes);
    close(fd);
    return path;
}

static struct gw_image *opened(const char *text)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *image = NULL;

    if (gw_image_open(text, &image, &err) < 0)
        fail_msg("%s", err.text);
    return image;
}

static void assert_refused(const char *text, int code, const char *why)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *image = NULL;

    assert_int_equal(gw_image_open(text, &image, &err), code);
    if (!strstr(err.text, why))
        fail_msg("%s", err.text);
}

static void test_streams(void **state)
{
    /* Of a mapped-ram file the places of pages are those in the file, so it cannot be moved: test_offset.py. */
    static const char *const names[] = {"precopy-none-10.0.bin", "precopy-microvm-7.2.bin.gz", "xbzrle-microvm-10.0.bin"};
    static const char *const ways[] = {",offset=5120", ",offset=0x1400", ",offset=5K"};

    for (size_t i = 0; i < GW_ARRAY_LEN(names); i++) {
        struct bytes b = stream_load(names[i]);
        struct gw_image *plain = opened(put("plain", b.data, b.bytes, 0)), *image;
        struct gw_error err = GW_ERROR_INIT;
        struct gw_inspect *inspect = NULL;
        char text[300];

        put("part", b.data, b.bytes, 5120);
        for (size_t k = 0; k < GW_ARRAY_LEN(ways); k++) {
            snprintf(text, sizeof text, "%s/part%s", folder, ways[k]);
            image = opened(text);
            assert_same_image(plain, image);
            assert_int_equal(gw_image_remove(image, &err), -EINVAL); /* with what is before it */
            gw_image_free(image);
        }
        assert_int_equal(gw_inspect_new(&inspect, &err), 0);
        if (gw_inspect_file(inspect, text, NULL, &err) < 0)
            fail_msg("%s", err.text);
        assert_int_equal(inspect->bytes, 5120 + b.bytes);
        assert_true(inspect->ended);
        gw_inspect_free(inspect);
        gw_image_free(plain);
        free(b.data);
    }
}

static void test_names(void **state)
{
    struct bytes b = stream_load("precopy-none-10.0.bin");
    char text[300], path[GW_PATH_TEXT];
    uint64_t offset = 7;

    snprintf(text, sizeof text, "%s", put("name,offset=64", b.data, b.bytes, 0));
    gw_image_free(opened(text));
    assert_int_equal(gw_path_split(text, path, &offset, NULL), 0);
    assert_string_equal(path, text);
    assert_int_equal(offset, 0);
    put("name,offset=64", b.data, b.bytes, 100);
    snprintf(text, sizeof text, "%s/name,offset=64,offset=100", folder);
    gw_image_free(opened(text));
    snprintf(text, sizeof text, "%s/name,offset=sixty", folder);
    assert_refused(text, -ENOENT, "offset=sixty");
    free(b.data);
}

static void test_refused(void **state)
{
    struct bytes b = stream_load("precopy-none-10.0.bin");
    struct gw_image *image = opened(put("plain", b.data, b.bytes, 0));
    const struct gw_image_write_options parked = {.format = GW_IMAGE_PARKED};
    struct file f = write_to_file(image, &parked);
    struct stat st;
    uint8_t *data;
    char text[300];

    snprintf(text, sizeof text, "%s/plain,offset=1", folder);
    assert_refused(text, -EPROTO, "no migration stream begins at byte 1");
    snprintf(text, sizeof text, "%s/plain,offset=1G", folder);
    assert_refused(text, -EPROTO, "no migration stream begins at byte 1073741824");
    snprintf(text, sizeof text, "%s/nothing,offset=1", folder);
    assert_refused(text, -ENOENT, "nothing");
    assert_refused("/dev/stdin/none,offset=4", -ENOTDIR, "");
    fstat(f.fd, &st);
    data = malloc((size_t)st.st_size);
    assert_int_equal(pread(f.fd, data, (size_t)st.st_size, 0), st.st_size);
    put("parked", data, (size_t)st.st_size, 64);
    snprintf(text, sizeof text, "%s/parked,offset=64", folder);
    assert_refused(text, -EPROTO, "no migration stream begins at byte 64");
    free(data);
    close(f.fd);
    gw_image_free(image);
    free(b.data);
}

static int make(void **state)
{
    snprintf(folder, sizeof folder, "/tmp/godwit-offset-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int clean(void **state)
{
    static const char *const names[] = {"plain", "part", "name,offset=64", "parked"};
    char path[256];

    for (size_t i = 0; i < GW_ARRAY_LEN(names); i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, make, clean);
}
