/* SPDX-License-Identifier: MIT
 *
 * The description of a machine that came without one: where each section is, and how long. What is inside stays unknown.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "image/image.h"
#include "wire/command.h"
#include "wire/section.h"

static struct gw_image image;
static struct gw_out out;
static struct gw_error err;

static void section(uint32_t id, const char *name, uint32_t instance, uint32_t version, const void *body, size_t bytes)
{
    struct gw_section_head head = {.id = id, .instance = instance, .version = version};

    gw_strcopy(head.name, sizeof head.name, name);
    gw_section_put_head(&out, GW_ELEMENT_FULL, &head);
    gw_put_bytes(&out, body, bytes);
    if (image.footers)
        gw_section_put_footer(&out, id);
}

/* What was put, in memory of just that size. */
static void take(uint8_t **ret, size_t *ret_bytes)
{
    const uint8_t *data = gw_out_data(&out, ret_bytes);

    free(*ret);
    *ret = malloc(*ret_bytes + !*ret_bytes);
    if (*ret_bytes)
        memcpy(*ret, data, *ret_bytes);
    gw_out_free(&out);
    gw_out_memory(&out);
}

static int up(void **state)
{
    image = (struct gw_image){.page_bytes = 4096, .footers = true};
    err = (struct gw_error)GW_ERROR_INIT;
    gw_out_memory(&out);
    return 0;
}

static int down(void **state)
{
    free(image.early);
    free(image.devices);
    free(image.description);
    gw_out_free(&out);
    return 0;
}

/* It has no NUL behind it: memory checkers see a byte too many. */
static void says(const char *devices)
{
    char want[4096];
    int n = snprintf(want, sizeof want, "{\"page_size\": %u, \"devices\": [%s]}", image.page_bytes, devices);

    if (gw_image_describe(&image, &err) < 0)
        fail_msg("%s", err.text);
    if (image.description_bytes != (size_t)n || memcmp(image.description, want, (size_t)n))
        fail_msg("%.*s", (int)image.description_bytes, image.description);
}

#define DEVICE(name, instance, version, size)                                                                                     \
    "{\"name\": \"" name "\", \"instance_id\": " #instance ", \"version\": " #version ", \"size\": " #size ", \"fields\": [{\"name\": " \
    "\"data\", \"size\": " #size ", \"type\": \"buffer\"}]}"

static void test_nothing(void **state)
{
    says("");
    image.page_bytes = 16384;
    says("");
}

/* Those of the set-up come first, as they do in a stream. */
static void test_sections(void **state)
{
    section(40, "cpu", 0, 12, "0123456789", 10);
    section(41, "cpu", 1, 12, "01234567890", 11);
    take(&image.devices, &image.devices_bytes);
    section(3, "virtio-mem", 7, 1, "abc", 3);
    take(&image.early, &image.early_bytes);
    says(DEVICE("virtio-mem", 7, 1, 3) ", " DEVICE("cpu", 0, 12, 10) ", " DEVICE("cpu", 1, 12, 11));
}

static void test_empty_section(void **state)
{
    section(40, "dev", 4294967295, 0, "", 0);
    take(&image.devices, &image.devices_bytes);
    says(DEVICE("dev", 4294967295, 0, 0));
}

/* A footer inside of a body, with nothing behind it that could follow. */
static void test_looks_like_an_end(void **state)
{
    section(40, "dev", 0, 1, "\x7e\0\0\0\x28" "abc", 8);
    section(41, "dev", 1, 1, "x", 1);
    take(&image.devices, &image.devices_bytes);
    says(DEVICE("dev", 0, 1, 8) ", " DEVICE("dev", 1, 1, 1));
}

static void test_without_footers(void **state)
{
    image.footers = false;
    section(40, "dev", 0, 1, "0123", 4);
    section(41, "dev", 1, 1, "01234", 5);
    take(&image.devices, &image.devices_bytes);
    says(DEVICE("dev", 0, 1, 4) ", " DEVICE("dev", 1, 1, 5));
}

/* The longest that there can be, and one that JSON has to quote. */
static void test_names(void **state)
{
    char name[256], want[1024];

    memset(name, 'n', 255);
    name[255] = 0;
    section(40, name, 0, 1, "x", 1);
    section(41, "a\"\\b", 0, 1, "x", 1);
    take(&image.devices, &image.devices_bytes);
    snprintf(want, sizeof want, DEVICE("%s", 0, 1, 1) ", " DEVICE("a\\\"\\\\b", 0, 1, 1), name);
    says(want);
}

/* In place of the one before. */
static void test_again(void **state)
{
    image.description = strdup("old");
    image.description_bytes = 3;
    section(40, "dev", 0, 1, "x", 1);
    take(&image.devices, &image.devices_bytes);
    says(DEVICE("dev", 0, 1, 1));
    says(DEVICE("dev", 0, 1, 1));
}

/* Where it is not known what ends where, nothing is said, and what was said stays. */
static void test_damaged(void **state)
{
    uint8_t *whole = NULL, *copy;
    size_t bytes;

    image.description = strdup("old");
    image.description_bytes = 3;
    section(40, "dev", 0, 1, "0123456789", 10);
    take(&whole, &bytes);
    for (size_t cut = 1; cut < bytes; cut++) {
        copy = malloc(cut);
        memcpy(copy, whole, cut);
        image.devices = copy;
        image.devices_bytes = cut;
        assert_int_equal(gw_image_describe(&image, &err), -EPROTO);
        image.devices = NULL;
        image.early = copy;
        image.early_bytes = cut;
        image.devices_bytes = 0;
        assert_int_equal(gw_image_describe(&image, &err), -EPROTO);
        image.early = NULL;
        image.early_bytes = 0;
        free(copy);
    }
    free(whole);
    assert_int_equal(image.description_bytes, 3);
    assert_memory_equal(image.description, "old", 3);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_nothing), T(test_sections), T(test_empty_section), T(test_looks_like_an_end), T(test_without_footers), T(test_names),
        T(test_again),   T(test_damaged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
