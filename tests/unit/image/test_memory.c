/* SPDX-License-Identifier: MIT
 *
 * An image in memory: how much it takes, and what becomes of its readers when it is given up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "image/image.h"
#include "../../emulated.h"

static struct gw_image *image_in(const char *folder)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *image = NULL;

    if (gw_image_new(folder, &image, &err) < 0)
        fail_msg("%s", err.text);
    return image;
}

static int add(struct gw_image *image, const char *name, uint64_t bytes, struct gw_error *err)
{
    uint8_t *host;

    return gw_memory_add_block(image, name, bytes, &host, err);
}

static uint64_t available_bytes(void)
{
    unsigned long long kib = 0;
    FILE *f = fopen("/proc/meminfo", "r");
    char line[128];

    assert_non_null(f);
    while (fgets(line, sizeof line, f) && sscanf(line, "MemAvailable: %llu", &kib) != 1)
        ;
    fclose(f);
    return (uint64_t)kib << 10;
}

/* What the host has, not what it would have if nothing else ran on it. */
static void test_what_is_available(void **state)
{
    struct gw_image *image = image_in(NULL), *file = image_in("/tmp");
    uint64_t all = available_bytes();
    struct gw_error err = GW_ERROR_INIT;

    SKIP_EMULATED("the emulator has not so much address space");
    assert_int_equal(add(image, "a", (all + all / 4) & ~4095ull, &err), -ENOMEM);
    assert_int_equal(err.blame, GW_BLAME_LOCAL);
    assert_non_null(strstr(err.text, "--ram-folder"));
    assert_int_equal(add(image, "a", (all / 2) & ~4095ull, &err), 0);
    assert_int_equal(add(image, "b", (all / 4 * 3) & ~4095ull, &err), -ENOMEM); /* together they are too many */
    assert_int_equal(gw_image_blocks(image), 1);
    if (add(file, "a", (all + all / 4) & ~4095ull, &err) < 0)
        fail_msg("%s", err.text);
    gw_image_free(image);
    gw_image_free(file);
}

static void test_limit(void **state)
{
    const char *const folders[] = {NULL, "/tmp"};

    for (unsigned i = 0; i < 2; i++) {
        struct gw_image *image = image_in(folders[i]);
        struct gw_error err = GW_ERROR_INIT;

        gw_image_set_ram_limit(image, 3 << 20);
        assert_int_equal(add(image, "a", 2 << 20, &err), 0);
        assert_int_equal(add(image, "b", 2 << 20, &err), -ENOMEM);
        assert_non_null(strstr(err.text, "4 MiB of RAM or more; 3 MiB are allowed"));
        assert_int_equal(add(image, "b", UINT64_MAX - 4095, &err), -ENOMEM);
        assert_int_equal(add(image, "b", 1 << 20, &err), 0);
        gw_image_free(image);
    }
}

static void test_abandoned(void **state)
{
    struct gw_image *image = image_in(NULL);
    struct gw_error err = GW_ERROR_INIT;
    uint8_t byte = 1;

    assert_int_equal(add(image, "a", 1 << 20, &err), 0);
    assert_int_equal(gw_image_read(image, 0, 4097, &byte, 1, &err), 0);
    assert_int_equal(byte, 0);
    gw_memory_abandon(image);
    assert_int_equal(gw_image_read(image, 0, 4097, &byte, 1, &err), -ECANCELED);
    gw_memory_forget(image);
    assert_int_equal(add(image, "a", 1 << 20, &err), 0);
    assert_int_equal(gw_image_read(image, 0, 4097, &byte, 1, &err), 0);
    gw_image_free(image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_available),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_abandoned),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
