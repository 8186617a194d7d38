/* SPDX-License-Identifier: MIT
 *
 * What is in a stream: every byte of it has a cause.
 */
#include "report.h"

/* The elements follow each other without gaps, and the causes add up. */
static void test_every_byte_has_a_cause(void **state)
{
    for (size_t i = 0; i < GW_ARRAY_LEN(streams); i++) {
        struct bytes b = stream_load(streams[i].name);
        json_t *json = report_json(&b, SIZE_MAX), *causes = json_object_get(json, "bytes_by_cause"), *v;
        int64_t sum = 0, elements = 0;
        const char *key;
        size_t k;

        assert_int_equal(number(json, "bytes"), b.bytes);
        json_object_foreach(causes, key, v)
            sum += (int64_t)json_number_value(v);
        assert_int_equal(sum, b.bytes);
        json_array_foreach(json_object_get(json, "elements"), k, v)
            elements += number(v, "bytes");
        if (!strstr(streams[i].name, "colo"))
            assert_int_equal(elements + number(causes, "head"), b.bytes);
        assert_true(number(causes, "section_frames") > 0);
        assert_int_equal(json_array_size(json_object_get(json, "devices")), streams[i].devices);
        json_decref(json);
        free(b.data);
    }
}

static void test_source(void **state)
{
    /* What only QEMU does, and RAM in which zero pages and others alternate. */
    static const char *const qemu[] = {"colo", "precopy-pc"};

    for (size_t i = 0; i < GW_ARRAY_LEN(streams); i++) {
        struct bytes b = stream_load(streams[i].name);
        json_t *json = report_json(&b, SIZE_MAX), *source = json_object_get(json, "source");
        const char *at_least = json_string_value(json_object_get(source, "at_least"));
        const char *program = json_string_value(json_object_get(source, "program"));
        bool old = strstr(streams[i].name, "7.2.") && !strstr(streams[i].name, "10.0-to-7.2"), told = false;

        for (size_t k = 0; k < GW_ARRAY_LEN(qemu); k++)
            told |= strstr(streams[i].name, qemu[k]) != NULL;
        if (strcmp(program, told ? "QEMU" : "unknown") != 0)
            fail_msg("%s: said to be written by %s", streams[i].name, program);
        if (old ? at_least != NULL || !json_object_get(source, "before") : at_least == NULL)
            fail_msg("%s: at least %s", streams[i].name, at_least ? at_least : "nothing");
        json_decref(json);
        free(b.data);
    }
}

/* Where the reads end makes no difference. */
static void test_in_small_pieces(void **state)
{
    static const char *const names[] = {"precopy-pc-10.0.bin.gz", "colo-7.2.src2dst.bin", "mapped-ram-10.0.bin.gz",
                                        "xbzrle-microvm-7.2.bin", "postcopy-7.2.main.src2dst.bin"};

    for (size_t i = 0; i < GW_ARRAY_LEN(names); i++) {
        struct bytes b = stream_load(names[i]);
        json_t *whole = report_json(&b, SIZE_MAX), *pieces = report_json(&b, 7);

        assert_true(json_equal(whole, pieces));
        json_decref(whole);
        json_decref(pieces);
        free(b.data);
    }
}

static void test_unknown_device(void **state)
{
    struct bytes b = stream_load("precopy-none-7.2.bin");
    struct gw_inspect_options how = {.device = "cpu/0"};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_inspect *in = NULL;
    char *text = NULL;
    struct trickle t;

    assert_int_equal(gw_inspect_new(&in, &err), 0);
    trickle_init(&t, b.data, b.bytes, SIZE_MAX);
    assert_int_equal(gw_inspect_read(in, &t.channel, &err), 0);
    assert_int_equal(gw_inspect_print(in, &how, &text, &err), -ENOENT);
    assert_string_equal(err.text, "there is no device cpu/0 in it, but timer, globalstate");
    assert_null(text);
    how.device = "globalstate/0";
    assert_int_equal(gw_inspect_print(in, &how, &text, &err), 0);
    free(text);
    assert_int_equal(gw_inspect_read(in, &t.channel, &err), -EINVAL);
    gw_inspect_free(in);
    free(b.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_byte_has_a_cause),
        cmocka_unit_test(test_source),
        cmocka_unit_test(test_in_small_pieces),
        cmocka_unit_test(test_unknown_device),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
