/* SPDX-License-Identifier: MIT
 *
 * What is in a stream, as people read it.
 */
#include "report.h"

static void test_text(void **state)
{
    struct gw_inspect_options how = {.title = "x.bin"}, one = {.device = "cpu"}, ram = {.ram = true};
    struct bytes b = stream_load("precopy-microvm-7.2.bin.gz");
    struct gw_error err = GW_ERROR_INIT;
    char *text;
    int r;

    text = report(&b, SIZE_MAX, &how, &r, &err);
    assert_int_equal(r, 0);
    assert_true(!strncmp(text, "x.bin: precopy stream, 86.6 KiB (88632 bytes)\n", 46));
    assert_non_null(strstr(text, "machine       microvm"));
    assert_non_null(strstr(text, "FULL  i8259/1 v1"));
    free(text);
    text = report(&b, SIZE_MAX, &one, &r, &err);
    assert_non_null(strstr(text, "env.eip = "));
    assert_null(strstr(text, "elements"));
    free(text);
    text = report(&b, SIZE_MAX, &ram, &r, &err);
    assert_non_null(strstr(text, "pc.bios"));
    assert_null(strstr(text, "devices"));
    free(text);
    free(b.data);
}

static void test_cut_stream_is_shown_up_to_there(void **state)
{
    struct bytes b = stream_load("precopy-none-7.2.bin");
    struct gw_inspect_options how = {.json = true};
    struct gw_error err = GW_ERROR_INIT;
    char *text;
    int r;

    b.bytes = 40000;
    text = report(&b, SIZE_MAX, &how, &r, &err);
    assert_int_equal(r, -ENODATA);
    assert_non_null(strstr(err.text, "ended at byte 40000 inside ram"));
    assert_non_null(strstr(text, "\"complete\": false, \"error\": \"stream ended at byte 40000"));
    assert_non_null(strstr(text, "\"machine\": \"none\""));
    free(text);
    free(b.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_cut_stream_is_shown_up_to_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
