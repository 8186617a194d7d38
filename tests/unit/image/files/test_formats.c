/* SPDX-License-Identifier: MIT
 *
 * The table of formats: each has a name of its own, what can be opened is recognised by its first bytes, by no more than one
 * row, and from no fewer bytes than it looks at.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "image/image.h"

static void test_rows(void **state)
{
    assert_int_equal(gw_image_format_count, 5);
    for (unsigned i = 0; i < gw_image_format_count; i++) {
        const struct gw_image_format_ops *f = &gw_image_formats[i];

        for (unsigned k = 0; k < i; k++) {
            assert_string_not_equal(f->name, gw_image_formats[k].name);
            assert_int_not_equal(f->format, gw_image_formats[k].format);
        }
        assert_int_equal(!f->recognise, !f->open);
        /* What can be written says before what it cannot. */
        assert_int_equal(!f->write, !f->check);
        if (f->pipe)
            assert_non_null(f->write);
    }
}

/* The row that takes these bytes; NULL: none does. Asserts that it is not two. */
static const char *which(const void *bytes, size_t n)
{
    uint8_t *copy = malloc(n + !n); /* of just that size */
    const char *found = NULL;

    memcpy(copy, bytes, n);
    for (unsigned i = 0; i < gw_image_format_count; i++)
        if (gw_image_formats[i].recognise && gw_image_formats[i].recognise(copy, n)) {
            assert_null(found);
            found = gw_image_formats[i].name;
        }
    free(copy);
    return found;
}

static void test_recognised(void **state)
{
    static const struct {
        const char *bytes;
        size_t magic;
        const char *name;
    } rows[] = {
        {"QEVM\0\0\0\3", 4, "stream"},
        {GW_PARKED_MAGIC "........", 8, "parked"},
        {"LibvirtQemudSave....", 16, "libvirt"},
        {"LibvirtQemudPart....", 16, "libvirt"},
        {"\x7f" "ELF............", 99, NULL},
        {"qevm............", 99, NULL},
        {"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 99, NULL},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++)
        for (size_t n = 0; n <= 8 || n <= GW_MIN(rows[i].magic, 16); n++) {
            const char *name = which(rows[i].bytes, n);

            if (n < rows[i].magic)
                assert_null(name);
            else
                assert_string_equal(name, rows[i].name);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_recognised),
    };

    return cmocka_run_group_tests_name("formats", tests, NULL, NULL);
}
