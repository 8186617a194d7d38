/* SPDX-License-Identifier: MIT
 *
 * Live sections that are not known, carried by images: byte for byte, in their order, through every format; and what a
 * parked file may not say of them.
 */
#include "files.h"

#include "built.h"
#include "image/others.h"

#define XML "<domain type='kvm'><name>x</name></domain>"

static struct file stream_of(struct built *b)
{
    size_t bytes;
    const uint8_t *data = gw_out_data(&b->out, &bytes);
    struct file f = file_new(data, bytes);

    gw_out_free(&b->out);
    return f;
}

/* Every place, and an early device between two of them. */
static struct gw_image *open_all_places(struct file *f)
{
    struct built b = {0};
    struct gw_section_head early = {.id = 20, .version = 1, .name = "early"};

    built_begin(&b, 4096);
    built_ram_start(&b);
    built_unknown(&b, GW_ELEMENT_START, "1", 1);
    gw_section_put_head(&b.out, GW_ELEMENT_FULL, &early);
    gw_put_u64(&b.out, 7);
    built_footer(&b, 20);
    gw_section_put_head(&b.out, GW_ELEMENT_START, &(struct gw_section_head){.id = 21, .version = 3, .name = "second"});
    built_footer(&b, 21);
    built_unknown(&b, GW_ELEMENT_PART, "ahead", 5);
    built_ram(&b, GW_ELEMENT_PART, 0, BUILT_PAGES / 2, BUILT_MIXED);
    built_unknown(&b, GW_ELEMENT_PART, "two", 3);
    built_ram(&b, GW_ELEMENT_PART, BUILT_PAGES / 2, BUILT_PAGES / 2, BUILT_MIXED);
    gw_section_put_part(&b.out, GW_ELEMENT_END, 21);
    built_footer(&b, 21);
    built_ram(&b, GW_ELEMENT_END, 0, 0, BUILT_ZEROS);
    built_unknown(&b, GW_ELEMENT_END, "three", 5);
    built_end(&b, 0);
    *f = stream_of(&b);
    return open_file(f);
}

static void assert_same_others(const struct gw_image *a, const struct gw_image *b)
{
    assert_int_equal(a->others.count, b->others.count);
    for (unsigned i = 0; i < a->others.count; i++) {
        assert_int_equal(a->others.list[i].place, b->others.list[i].place);
        assert_int_equal(a->others.list[i].early_at, b->others.list[i].early_at);
        assert_int_equal(a->others.list[i].bytes, b->others.list[i].bytes);
    }
    assert_int_equal(a->others.bytes, b->others.bytes);
    assert_memory_equal(a->others.data, b->others.data, a->others.bytes);
}

static void test_every_format(void **state)
{
    static const struct gw_image_write_options ways[] = {
        {.format = GW_IMAGE_PARKED},
        {.format = GW_IMAGE_PARKED, .compress = "none"},
        {.format = GW_IMAGE_STREAM},
        {.format = GW_IMAGE_MAPPED_RAM},
        {.format = GW_IMAGE_LIBVIRT, .libvirt_xml = XML},
    };
    struct file f, g;
    struct gw_image *image = open_all_places(&f), *again;

    assert_int_equal(image->others.count, 5);
    assert_true(image->early_bytes && image->others.list[1].early_at == image->early_bytes);
    for (size_t i = 0; i < GW_ARRAY_LEN(ways); i++) {
        g = write_to_file(image, &ways[i]);
        again = open_file(&g);
        assert_same_image(image, again);
        assert_same_others(image, again);
        gw_image_free(again);
        close(g.fd);
    }
    gw_image_free(image);
    close(f.fd);
}

/* The stream that is written has them where they were, but behind the RAM's PARTs those that came among these. */
static void test_order(void **state)
{
    static const char *const order[] = {"\1\0\0\0\2\3ram", "\1\0\0\2\x33\4fork", "\4\0\0\0\x14\5early",
                                        "\1\0\0\0\x15\6second", "\2\0\0\2\063ahead", "\2\0\0\0\2", "\2\0\0\2\x33two", "\3\0\0\0\x15\x7e",
                                        "\3\0\0\0\2", "\3\0\0\2\x33three", "\4\0\0\0\x28\3dev"};
    static const size_t bytes[] = {9, 10, 11, 12, 10, 5, 8, 6, 5, 10, 9};
    const struct gw_image_write_options stream = {.format = GW_IMAGE_STREAM};
    struct file f, g;
    struct gw_image *image = open_all_places(&f);
    struct stat st;
    uint8_t *data, *at;

    g = write_to_file(image, &stream);
    assert_int_equal(fstat(g.fd, &st), 0);
    at = data = malloc((size_t)st.st_size);
    assert_int_equal(pread(g.fd, data, (size_t)st.st_size, 0), st.st_size);
    for (size_t i = 0; i < GW_ARRAY_LEN(order); i++) {
        at = memmem(at, (size_t)(data + st.st_size - at), order[i], bytes[i]);
        if (!at)
            fail_msg("%zu is not behind the one before", i);
        at += bytes[i];
    }
    free(data);
    gw_image_free(image);
    close(f.fd);
    close(g.fd);
}

/* Sizes of pages go the same way. */
static void test_page_sizes(void **state)
{
    static const enum gw_image_format formats[] = {GW_IMAGE_PARKED, GW_IMAGE_STREAM, GW_IMAGE_MAPPED_RAM};

    for (unsigned bits = GW_PAGE_BITS_MIN; bits <= GW_PAGE_BITS_MAX; bits++)
        for (size_t i = 0; i < GW_ARRAY_LEN(formats); i++) {
            const struct gw_image_write_options options = {.format = formats[i]};
            struct built b = {0};
            struct gw_image *image, *again;
            struct file f, g;

            built_begin(&b, 1u << bits);
            built_ram_start(&b);
            built_ram(&b, GW_ELEMENT_PART, 0, BUILT_PAGES, BUILT_MIXED);
            built_ram(&b, GW_ELEMENT_END, 0, 0, BUILT_ZEROS);
            built_end(&b, 8);
            f = stream_of(&b);
            image = open_file(&f);
            assert_int_equal(image->page_bytes, 1u << bits);
            g = write_to_file(image, &options);
            again = open_file(&g);
            assert_int_equal(again->page_bytes, 1u << bits);
            assert_same_image(image, again);
            gw_image_free(image);
            gw_image_free(again);
            close(f.fd);
            close(g.fd);
        }
}

static void test_hostile_part(void **state)
{
    struct file f;
    struct gw_image *image = open_all_places(&f), *other = calloc(1, sizeof *other);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_out out;
    size_t bytes;
    const uint8_t *data;

    gw_out_memory(&out);
    gw_image_pack_others(image, &out);
    data = gw_out_data(&out, &bytes);
    other->early_bytes = image->early_bytes;
    other->early_before = image->early_before;
    assert_int_equal(gw_image_unpack_others(other, data, bytes, &err), 0);
    assert_same_others(image, other);
    gw_image_clear_others(other);
    for (size_t n = 0; n < bytes; n++) {
        uint8_t *copy = malloc(n + !n);

        memcpy(copy, data, n);
        assert_int_equal(gw_image_unpack_others(other, copy, n, &err), -EPROTO);
        gw_image_clear_others(other);
        free(copy);
    }
    for (size_t at = 0; at < 4 + 5 * 17; at++) { /* count, places and sizes: none of them may be another */
        uint8_t *copy = malloc(bytes);

        memcpy(copy, data, bytes);
        copy[at] ^= 0x80;
        assert_int_equal(gw_image_unpack_others(other, copy, bytes, &err), -EPROTO);
        gw_image_clear_others(other);
        free(copy);
    }
    gw_out_free(&out);
    free(other);
    gw_image_free(image);
    close(f.fd);
}

/* A godwit that does not know the part must not open the file: it would send a machine that lacks something. */
static void test_needed(void **state)
{
    const struct gw_image_write_options options = {.format = GW_IMAGE_PARKED, .compress = "none"};
    struct file f, g;
    struct gw_image *image = open_all_places(&f);
    uint8_t needs = 0;

    g = write_to_file(image, &options);
    assert_int_equal(pread(g.fd, &needs, 1, 15), 1);
    assert_int_equal(needs & ~16, 2); /* 16: the header says where the file ends */
    gw_image_free(image);
    close(f.fd);
    close(g.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_format), cmocka_unit_test(test_order),  cmocka_unit_test(test_page_sizes),
        cmocka_unit_test(test_hostile_part), cmocka_unit_test(test_needed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
