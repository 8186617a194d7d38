/* SPDX-License-Identifier: MIT
 *
 * Parts of a machine at rest: memory, a device, texts.
 */
#include "extracted.h"

static void test_ram(void **state)
{
    struct gw_image *image = machine_of(PC);
    unsigned r = block_of(image, "r");
    uint8_t *host = gw_memory_host(image, r);
    struct gw_error err = GW_ERROR_INIT;
    struct stat st;
    struct bytes b;

    memset(host, 0, 0x1000000);
    host[0x5000] = 1;
    host[0xffffff] = 2;
    assert_int_equal(gw_extract_ram(image, NULL, out, false, NULL, NULL, &err), 0);
    b = slurp();
    assert_int_equal(b.bytes, 0x1000000);
    assert_memory_equal(b.data, host, b.bytes);
    assert_int_equal(stat(out, &st), 0);
    assert_true(st.st_blocks * 512 < 1 << 20);
    free(b.data);
    assert_int_equal(gw_extract_ram(image, "pc.bios", out, false, NULL, NULL, &err), -EEXIST);
    assert_int_equal(gw_extract_ram(image, "pc.bios", out, true, NULL, NULL, &err), 0);
    b = slurp();
    assert_int_equal(b.bytes, 0x40000);
    assert_memory_equal(b.data, gw_memory_host(image, block_of(image, "pc.bios")), b.bytes);
    free(b.data);
    assert_int_equal(gw_extract_ram(image, "vga", out, true, NULL, NULL, &err), -ENOENT);
    assert_non_null(strstr(err.text, "pc.bios"));
    gw_image_free(image);
}

static void test_which_ram(void **state)
{
    struct gw_image *image = machine_of("precopy-none-7.2.bin");
    struct gw_error err = GW_ERROR_INIT;
    uint8_t *host;

    assert_int_equal(gw_memory_add_block(image, "s", image->blocks[0].used_bytes, &host, NULL), 0);
    assert_int_equal(gw_extract_ram(image, NULL, out, false, NULL, NULL, &err), -EINVAL);
    assert_non_null(strstr(err.text, "r, s"));
    gw_image_free(image);
}

/* What cannot be read leaves no file. */
static void test_broken(void **state)
{
    struct gw_image *image = machine_of(PC);
    unsigned r = block_of(image, "r");
    struct gw_error err = GW_ERROR_INIT;

    gw_memory_host(image, r)[0x800000] = 1;
    break_machine(image, r, 0x800, 1, -EPROTO);
    assert_int_equal(gw_extract_ram(image, "r", out, false, NULL, NULL, &err), -EPROTO);
    assert_int_equal(access(out, F_OK), -1);
    assert_int_equal(gw_extract_elf(image, out, NULL, &err), -EPROTO);
    assert_int_equal(access(out, F_OK), -1);
    gw_image_free(image);
}

static void test_device(void **state)
{
    struct gw_image *image = machine_of(PC);
    struct gw_error err = GW_ERROR_INIT;
    struct bytes b;

    assert_int_equal(gw_extract_device(image, "piix4_pm", out, false, &err), 0);
    b = slurp();
    assert_true(b.bytes > 256);
    assert_non_null(memmem(image->devices, image->devices_bytes, b.data, b.bytes));
    free(b.data);
    assert_int_equal(gw_extract_device(image, "dma/1", out, true, &err), 0);
    assert_int_equal(gw_extract_device(image, "dma", out, true, &err), -EINVAL);
    assert_non_null(strstr(err.text, "dma/1"));
    assert_int_equal(gw_extract_device(image, "dma/2", out, true, &err), -ENOENT);
    assert_non_null(strstr(err.text, "cpu/0"));
    gw_image_free(image);
}

static void test_texts(void **state)
{
    struct gw_image *image = machine_of(PC);
    struct gw_error err = GW_ERROR_INIT;
    struct bytes b;

    assert_int_equal(gw_extract_xml(image, out, false, &err), -ENOENT);
    assert_non_null(strstr(err.text, "XML"));
    image->libvirt_xml = strdup("<domain/>");
    assert_int_equal(gw_extract_xml(image, out, false, &err), 0);
    b = slurp();
    assert_int_equal(b.bytes, 9);
    free(b.data);
    assert_int_equal(gw_extract_description(image, out, true, &err), 0);
    b = slurp();
    assert_int_equal(b.bytes, image->description_bytes);
    assert_memory_equal(b.data, image->description, b.bytes);
    free(b.data);
    image->description_bytes = 0;
    assert_int_equal(gw_extract_description(image, out, true, &err), -ENOENT);
    gw_image_free(image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_ram),
        IN_FOLDER(test_which_ram),
        IN_FOLDER(test_broken),
        IN_FOLDER(test_device),
        IN_FOLDER(test_texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
