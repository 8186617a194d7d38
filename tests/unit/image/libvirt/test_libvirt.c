/* SPDX-License-Identifier: MIT */
#include "../files.h"

#include <byteswap.h>

#include "image/libvirt/libvirt.h"

#define XML "<domain type='kvm'>\n  <name>x</name>\n</domain>\n"

struct image_file {
    uint8_t *data;
    size_t bytes, text_bytes;
};

/* As libvirt lays it out: head, XML, padding, cookie, stream. */
static struct image_file make(const char *cookie, uint32_t format, bool running)
{
    struct bytes b = stream_load("stopped-source-64k-10.0.bin");
    size_t cookie_bytes = cookie ? strlen(cookie) + 1 : 0;
    struct image_file f = {.text_bytes = sizeof XML + 1024 + cookie_bytes};
    uint32_t word[5] = {2, (uint32_t)f.text_bytes, running, format, cookie ? sizeof XML + 1024 : 0};

    f.bytes = 92 + f.text_bytes + b.bytes;
    f.data = calloc(1, f.bytes);
    memcpy(f.data, "LibvirtQemudSave", 16);
    memcpy(f.data + 16, word, sizeof word);
    memcpy(f.data + 92, XML, sizeof XML);
    if (cookie)
        memcpy(f.data + 92 + sizeof XML + 1024, cookie, cookie_bytes);
    memcpy(f.data + 92 + f.text_bytes, b.data, b.bytes);
    free(b.data);
    return f;
}

static struct gw_image *open_made(const struct image_file *f)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *image = NULL;

    if (open_bytes(f->data, f->bytes, &image, &err) < 0)
        fail_msg("%s", err.text);
    return image;
}

static void test_open(void **state)
{
    struct gw_image *direct = open_capture("stopped-source-64k-10.0.bin");

    for (int with = 0; with < 2; with++) {
        struct image_file f = make(with ? "<cookie/>" : NULL, 0, with);
        struct gw_image *image = open_made(&f);

        assert_int_equal(gw_image_kind(image), GW_IMAGE_LIBVIRT);
        assert_string_equal(image->libvirt_xml, XML);
        assert_int_equal(image->libvirt_was_running, with);
        if (with)
            assert_string_equal(image->libvirt_cookie, "<cookie/>");
        else
            assert_null(image->libvirt_cookie);
        assert_same_image(image, direct);
        gw_image_free(image);
        free(f.data);
    }
    gw_image_free(direct);
}

static void test_other_byte_order(void **state)
{
    struct image_file f = make("<cookie/>", 0, true);
    struct gw_image *image;
    uint32_t word[5];

    memcpy(word, f.data + 16, sizeof word);
    for (unsigned i = 0; i < 5; i++)
        word[i] = bswap_32(word[i]);
    memcpy(f.data + 16, word, sizeof word);
    image = open_made(&f);
    assert_string_equal(image->libvirt_xml, XML);
    assert_string_equal(image->libvirt_cookie, "<cookie/>");
    assert_true(image->libvirt_was_running);
    gw_image_free(image);
    free(f.data);
}

/* Written again it keeps its XML, its cookie and whether the guest ran. */
static void test_write(void **state)
{
    const struct gw_image_write_options ways[] = {{.format = GW_IMAGE_LIBVIRT},
                                                  {.format = GW_IMAGE_LIBVIRT, .compress = "gzip"},
                                                  {.format = GW_IMAGE_LIBVIRT, .compress = "sparse"}};

    for (size_t i = 0; i < GW_ARRAY_LEN(ways); i++) {
        struct image_file f = make("<cookie/>", 0, i % 2);
        struct gw_image *image = open_made(&f), *again;
        struct file out = write_to_file(image, &ways[i]);

        again = open_file(&out);
        assert_string_equal(again->libvirt_xml, XML);
        assert_string_equal(again->libvirt_cookie, "<cookie/>");
        assert_int_equal(again->libvirt_was_running, i % 2);
        assert_same_image(image, again);
        gw_image_free(again);
        gw_image_free(image);
        close(out.fd);
        free(f.data);
    }
}

/* Parked and written again it is the same libvirt image; with another XML, the cookie is not its own any more. */
static void test_through_a_parked_file(void **state)
{
    const struct gw_image_write_options parked = {.format = GW_IMAGE_PARKED}, libvirt = {.format = GW_IMAGE_LIBVIRT},
                                        other = {.format = GW_IMAGE_PARKED, .libvirt_xml = "<other/>"};

    for (int i = 0; i < 4; i++) {
        struct image_file f = make(i & 2 ? "<cookie/>" : NULL, 0, i & 1);
        struct gw_image *image = open_made(&f), *at_rest, *again, *changed;
        struct file rest = write_to_file(image, &parked), change = write_to_file(image, &other), out;

        at_rest = open_file(&rest);
        out = write_to_file(at_rest, &libvirt);
        again = open_file(&out);
        assert_same_image(image, again);
        assert_string_equal(again->libvirt_xml, XML);
        assert_int_equal(again->libvirt_was_running, i & 1);
        if (i & 2)
            assert_string_equal(again->libvirt_cookie, "<cookie/>");
        else
            assert_null(again->libvirt_cookie);
        changed = open_file(&change);
        assert_string_equal(changed->libvirt_xml, "<other/>");
        assert_null(changed->libvirt_cookie);
        assert_int_equal(changed->libvirt_was_running, i & 1);
        gw_image_free(changed);
        gw_image_free(again);
        gw_image_free(at_rest);
        gw_image_free(image);
        close(change.fd);
        close(rest.fd);
        close(out.fd);
        free(f.data);
    }
}

/* A guest that ran when its stream was written is to run again; one that was stopped is not. */
static void test_run_state_of_a_stream(void **state)
{
    static const struct {
        const char *name;
        bool running;
    } cases[] = {{"precopy-none-7.2.bin", true},
                 {"precopy-none-10.0.bin", true},
                 {"stopped-source-64k-7.2.bin", false},
                 {"stopped-source-64k-10.0.bin", false}};
    const struct gw_image_write_options options = {.format = GW_IMAGE_LIBVIRT, .libvirt_xml = XML};

    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        struct gw_image *image = open_capture(cases[i].name), *again;
        struct file out = write_to_file(image, &options);

        again = open_file(&out);
        assert_int_equal(again->libvirt_was_running, cases[i].running);
        assert_null(again->libvirt_cookie);
        gw_image_free(again);
        gw_image_free(image);
        close(out.fd);
    }
}

static struct gw_image *open_golden(const char *name)
{
    struct file f = file_new(NULL, 0);
    static uint8_t part[1 << 16];
    struct gw_image *image;
    char path[512];
    off_t at = 0;
    gzFile gz;
    int n;

    snprintf(path, sizeof path, GOLDEN_DIR "/captures/%s", name);
    gz = gzopen(path, "rb");
    assert_non_null(gz);
    for (; (n = gzread(gz, part, sizeof part)) > 0; at += n)
        assert_int_equal(pwrite(f.fd, part, (size_t)n, at), n);
    gzclose(gz);
    image = open_file(&f);
    close(f.fd);
    return image;
}

/* Made by libvirt itself: captures/README.md. */
static void test_golden(void **state)
{
    static const char *const names[] = {"libvirt-11.3-raw.save.gz", "libvirt-11.3-sparse.save.gz"};
    static const char blank[] = "pc.bios 0x3f000 blank\n"; /* what blank.py left of the last page of firmware */
    struct gw_error err = GW_ERROR_INIT;
    char got[sizeof blank - 1];

    for (size_t i = 0; i < GW_ARRAY_LEN(names); i++) {
        struct gw_image *image = open_golden(names[i]);
        bool found = false;

        assert_int_equal(gw_image_kind(image), GW_IMAGE_LIBVIRT);
        assert_string_equal(gw_image_machine(image), "pc-i440fx-10.0");
        assert_int_equal(strncmp(image->libvirt_xml, "<domain type='qemu'>\n", 21), 0);
        assert_non_null(strstr(image->libvirt_xml, "</domain>"));
        assert_int_equal(strncmp(image->libvirt_cookie, "<cookie>\n", 9), 0);
        assert_true(image->libvirt_was_running);
        for (unsigned b = 0; b < gw_image_blocks(image); b++) {
            if (!strcmp(gw_image_block_name(image, b), "pc.ram"))
                assert_int_equal(gw_image_block_bytes(image, b), 32 << 20);
            if (strcmp(gw_image_block_name(image, b), "pc.bios") != 0)
                continue;
            assert_int_equal(gw_image_read(image, b, gw_image_block_bytes(image, b) - 4096, got, sizeof got, &err), 0);
            assert_memory_equal(got, blank, sizeof got);
            found = true;
        }
        assert_true(found);
        gw_image_free(image);
    }
}

static void expect(struct image_file *f, size_t bytes, const char *text)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *image = NULL;

    if (open_bytes(f->data, bytes, &image, &err) != -EPROTO || !strstr(err.text, text))
        fail_msg("\"%s\" is not in \"%s\"", text, err.text);
    assert_null(image);
}

static void expect_word(struct image_file *f, size_t at, uint32_t value, const char *text)
{
    uint32_t old;

    memcpy(&old, f->data + at, 4);
    memcpy(f->data + at, &value, 4);
    expect(f, f->bytes, text);
    memcpy(f->data + at, &old, 4);
}

static void test_what_is_wrong_is_named(void **state)
{
    struct image_file f = make("<cookie/>", 0, true);

    expect_word(&f, 16, 0, "byte 16: a libvirt save image of version 0");
    expect_word(&f, 16, 3, "byte 16: a libvirt save image of version 3");
    expect_word(&f, 20, 0, "byte 20: the XML has 0 bytes");
    expect_word(&f, 20, UINT32_MAX, "byte 20: the XML has 4294967295 bytes");
    expect_word(&f, 20, (uint32_t)f.bytes, "inside the XML");
    expect_word(&f, 20, (uint32_t)f.text_bytes + 1, "not a migration stream");
    expect_word(&f, 28, 7, "byte 28: unknown compression method 7");
    expect_word(&f, 32, (uint32_t)f.text_bytes, "byte 32: the cookie begins at byte");
    expect_word(&f, 32, 10, "byte 92: the XML has no end");
    expect(&f, 91, "byte 91: the head of a libvirt save image ends early");
    expect(&f, 100, "inside the XML");
    expect(&f, 92 + f.text_bytes, "stream ended at byte");
    memcpy(f.data + 12, "Part", 4);
    expect(&f, f.bytes, "never finished");
    free(f.data);
}

static void test_cut_at_every_byte(void **state)
{
    struct image_file f = make("<cookie/>", 0, true);

    for (size_t n = 16; n < f.bytes; n += n < 200 ? 1 : 7) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_image *image = NULL;
        int r = open_bytes(f.data, n, &image, &err);

        if (r >= 0 ? image->description_bytes || f.data[n - 1] != 0 : r != -EPROTO || !strstr(err.text, "byte "))
            fail_msg("cut at %zu: %d %s", n, r, err.text);
        gw_image_free(image);
    }
    free(f.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_other_byte_order),
        cmocka_unit_test(test_write),
        cmocka_unit_test(test_through_a_parked_file),
        cmocka_unit_test(test_run_state_of_a_stream),
        cmocka_unit_test(test_what_is_wrong_is_named),
        cmocka_unit_test(test_cut_at_every_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
