/* SPDX-License-Identifier: MIT
 *
 * The devices of an image as a list: with a description and without, those of the set-up first.
 */
#include "../image/streams.h"

#include <cmocka.h>

#include "base/cursor.h"
#include "examine/devices.h"
#include "image/image.h"
#include "wire/numbers.h"
#include "wire/section.h"

static struct gw_image image;
static struct gw_out late, early;
static struct gw_image_devices d;
static struct gw_error err;

static void section(struct gw_out *out, uint32_t id, const char *name, uint32_t instance)
{
    struct gw_section_head head = {.id = id, .instance = instance, .version = 1};

    gw_strcopy(head.name, sizeof head.name, name);
    gw_section_put_head(out, GW_ELEMENT_FULL, &head);
    gw_put_u64(out, id);
    gw_section_put_footer(out, id);
}

static int up(void **state)
{
    gw_out_memory(&late);
    gw_out_memory(&early);
    section(&early, 5, "iommu", 0);
    section(&late, 6, "dev", 0);
    section(&late, 7, "dev", 1);
    image = (struct gw_image){.footers = true};
    image.early = (uint8_t *)gw_out_data(&early, &image.early_bytes);
    image.devices = (uint8_t *)gw_out_data(&late, &image.devices_bytes);
    d = (struct gw_image_devices){0};
    return 0;
}

static int down(void **state)
{
    gw_image_devices_close(&d);
    gw_out_free(&late);
    gw_out_free(&early);
    return 0;
}

#define DEV(name, instance, size)                                                                                      \
    "{\"name\": \"" name "\", \"instance_id\": " #instance ", \"vmsd_name\": \"" name                                   \
    "\", \"version\": 1, \"fields\": [{\"name\": \"a\", \"type\": \"buffer\", \"size\": " #size "}]}"
#define DESCRIPTION(devices) "{\"page_size\": 4096, \"devices\": [" devices "]}"

static int described(const char *text)
{
    image.description = (char *)text;
    image.description_bytes = strlen(text);
    err = (struct gw_error)GW_ERROR_INIT;
    return gw_image_devices_read(&image, &d, &err);
}

static void are_all(bool known)
{
    static const char *const labels[] = {"iommu/0", "dev/0", "dev/1"};

    assert_int_equal(d.count, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_string_equal(d.list[i].label, labels[i]);
        assert_int_equal(d.list[i].id, 5 + i);
        assert_int_equal(d.list[i].body_bytes, 8);
        assert_int_equal(d.list[i].body[7], 5 + i);
        assert_int_equal(d.list[i].early, i == 0);
        assert_int_equal(d.list[i].state != NULL, known);
    }
}

static void test_described(void **state)
{
    assert_int_equal(described(DESCRIPTION(DEV("iommu", 0, 8) ", " DEV("dev", 0, 8) ", " DEV("dev", 1, 8))), 0);
    are_all(true);
}

static void test_undescribed(void **state)
{
    assert_int_equal(gw_image_devices_read(&image, &d, &err), 0);
    are_all(false);
}

static void refused(const char *description, const char *text)
{
    assert_int_equal(described(description), -EPROTO);
    if (!strstr(err.text, text))
        fail_msg("\"%s\" is not in \"%s\"", text, err.text);
    assert_int_equal(d.count, 0);
}

static void test_refused(void **state)
{
    refused(DESCRIPTION(""), "the description has 0 devices, 1 came in the set-up");
    refused(DESCRIPTION(DEV("dev", 0, 8) ", " DEV("dev", 1, 8)),
            "the description has device dev/0 of 8 bytes where iommu/0 of 8 bytes is");
    refused(DESCRIPTION(DEV("iommu", 0, 4) ", " DEV("dev", 0, 8) ", " DEV("dev", 1, 8)),
            "the description has device iommu/0 of 4 bytes where iommu/0 of 8 bytes is");
    refused(DESCRIPTION(DEV("iommu", 0, 8) ", " DEV("dev", 1, 8)), "the description lacks the first ");
    image.devices_bytes--;
    image.description_bytes = 0;
    assert_int_equal(gw_image_devices_read(&image, &d, &err), -EPROTO);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_described), T(test_undescribed), T(test_refused)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
