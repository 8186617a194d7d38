/* SPDX-License-Identifier: MIT
 *
 * The file that an image was opened from: locked, marked, removed, and no other one for it.
 */
#include "files.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char folder[] = "/tmp/gw-origin-XXXXXX";

static const char *path(const char *name)
{
    static char buf[4][256];
    static unsigned turn;
    char *p = buf[turn++ % 4];

    snprintf(p, 256, "%s/%s", folder, name);
    return p;
}

static void put(const char *name)
{
    struct gw_image *image = open_capture("precopy-none-10.0.bin");
    const struct gw_image_write_options options = {.format = GW_IMAGE_PARKED, .replace = true};
    struct gw_error err = GW_ERROR_INIT;

    if (gw_image_write(image, path(name), &options, &err) < 0)
        fail_msg("%s", err.text);
    gw_image_free(image);
}

static struct gw_image *get(const char *name)
{
    struct gw_image *image = NULL;
    struct gw_error err = GW_ERROR_INIT;

    if (gw_image_open(path(name), &image, &err) < 0)
        fail_msg("%s", err.text);
    return image;
}

static bool there(const char *name)
{
    struct stat st;

    return !lstat(path(name), &st);
}

static int setup(void **state)
{
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    char command[300];

    snprintf(command, sizeof command, "rm -rf %s", folder);
    strcpy(folder, "/tmp/gw-origin-XXXXXX");
    return system(command);
}

static void test_removes_its_file(void **state)
{
    struct gw_image *image;

    put("a");
    image = get("a");
    assert_int_equal(gw_image_remove(image, NULL), 0);
    assert_false(there("a"));
    assert_int_equal(gw_image_remove(image, NULL), -ENOENT);
    gw_image_free(image);
}

static void test_removes_no_other(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *image;

    put("a");
    put("b");
    image = get("a");
    assert_int_equal(rename(path("a"), path("c")), 0);
    assert_int_equal(gw_image_remove(image, &err), -ENOENT);
    assert_int_equal(rename(path("b"), path("a")), 0);
    assert_int_equal(gw_image_remove(image, &err), -ESTALE);
    assert_non_null(strstr(err.text, "another file has its name"));
    assert_true(there("a") && there("c"));
    gw_image_free(image);
    image = get("a");
    assert_int_equal(gw_image_remove(image, &err), 0);
    assert_true(!there("a") && there("c"));
    gw_image_free(image);
}

/* The link is followed when it is opened, and not again. */
static void test_links(void **state)
{
    struct gw_image *image;

    put("a");
    put("b");
    assert_int_equal(symlink("a", path("link")), 0);
    image = get("link");
    assert_int_equal(unlink(path("link")) | symlink("b", path("link")), 0);
    assert_int_equal(gw_image_remove(image, NULL), 0);
    assert_true(!there("a") && there("b") && there("link"));
    gw_image_free(image);
}

static void test_lock(void **state)
{
    struct gw_image *one, *other;

    put("a");
    one = get("a");
    other = get("a");
    assert_int_equal(gw_image_lock(one, NULL), 0);
    assert_int_equal(gw_image_lock(one, NULL), 0);
    assert_int_equal(gw_image_lock(other, NULL), -EBUSY);
    gw_image_free(one);
    assert_int_equal(gw_image_lock(other, NULL), 0);
    gw_image_free(other);
}

static void test_mark(void **state)
{
    struct gw_image *image;
    char text[256];

    put("a");
    image = get("a");
    assert_false(gw_image_sent(image, text, sizeof text));
    assert_string_equal(text, "");
    assert_int_equal(gw_image_mark_sent(image, NULL, NULL, NULL), 0);
    if (gw_image_mark_sent(image, "perhaps sent", "tcp:there:1", NULL) == -ENOTSUP) {
        print_message("not tested: the file system of /tmp keeps no attributes\n");
        gw_image_free(image);
        skip();
    }
    gw_image_free(image);
    assert_int_equal(rename(path("a"), path("b")), 0);
    image = get("b");
    assert_true(gw_image_sent(image, text, sizeof text));
    assert_memory_equal(text, "perhaps sent to tcp:there:1 at 2", 32);
    for (size_t size = 1; size < 5; size++) { /* too little room for the text */
        memset(text, '#', sizeof text);
        assert_true(gw_image_sent(image, text, size));
        assert_true(strlen(text) < size && text[size] == '#');
    }
    assert_int_equal(gw_image_mark_sent(image, "sent", "x", NULL), 0);
    assert_true(gw_image_sent(image, text, sizeof text));
    assert_memory_equal(text, "sent to x at ", 13);
    assert_int_equal(gw_image_mark_sent(image, NULL, NULL, NULL), 0);
    assert_false(gw_image_sent(image, text, sizeof text));
    gw_image_free(image);
}

static void test_no_file(void **state)
{
    struct gw_image *image = NULL;

    assert_int_equal(gw_image_new(NULL, &image, NULL), 0);
    assert_int_equal(gw_image_lock(image, NULL), -EINVAL);
    assert_int_equal(gw_image_mark_sent(image, "sent", "x", NULL), -EINVAL);
    assert_int_equal(gw_image_remove(image, NULL), -EINVAL);
    gw_image_free(image);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(test_removes_its_file), TEST(test_removes_no_other), TEST(test_links),
                                       TEST(test_lock),             TEST(test_mark),             TEST(test_no_file)};

    return cmocka_run_group_tests_name("origin", tests, NULL, NULL);
}
