/* SPDX-License-Identifier: MIT */
#include "../image/streams.h"

#include <cmocka.h>
#include <jansson.h>

#include "godwit/inspect.h"

static char *report(const struct bytes *b, size_t piece, const struct gw_inspect_options *how, int *ret,
                    struct gw_error *err)
{
    struct gw_inspect *in = NULL;
    char *text = NULL;
    struct trickle t;

    assert_int_equal(gw_inspect_new(&in, err), 0);
    trickle_init(&t, b->data, b->bytes, piece);
    *ret = gw_inspect_read(in, &t.channel, err);
    assert_int_equal(gw_inspect_print(in, how, &text, NULL), 0);
    gw_inspect_free(in);
    return text;
}

static json_t *report_json(const struct bytes *b, size_t piece)
{
    struct gw_inspect_options how = {.json = true};
    struct gw_error err = GW_ERROR_INIT;
    json_error_t wrong;
    json_t *json;
    char *text;
    int r;

    text = report(b, piece, &how, &r, &err);
    if (r < 0)
        fail_msg("%s", err.text);
    /* Registers have 64 bits without a sign, which this library's integers have not. */
    json = json_loads(text, JSON_DECODE_INT_AS_REAL, &wrong);
    if (!json)
        fail_msg("%s at %d: %.200s", wrong.text, wrong.position, text + GW_MAX(wrong.position - 100, 0));
    free(text);
    return json;
}

static int64_t number(const json_t *json, const char *key)
{
    const json_t *v = json_object_get(json, key);

    assert_true(json_is_number(v));
    return (int64_t)json_number_value(v);
}

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

static void test_values(void **state)
{
    struct bytes b = stream_load("precopy-none-10.0.bin");
    json_t *json = report_json(&b, SIZE_MAX), *device, *source = json_object_get(json, "source"), *ram;

    assert_string_equal(json_string_value(json_object_get(json, "machine")), "none");
    assert_string_equal(json_string_value(json_object_get(json, "run_state")), "running");
    assert_string_equal(json_string_value(json_object_get(source, "at_least")), "10.0");
    device = json_array_get(json_object_get(json, "devices"), 0);
    assert_string_equal(json_string_value(json_object_get(device, "name")), "timer");
    assert_int_equal(number(json_object_get(device, "values"), "cpu_clock_offset"), 71844538);
    ram = json_object_get(json_object_get(json, "ram"), "contents");
    assert_int_equal(number(ram, "pages"), 4);
    assert_int_equal(number(ram, "distinct"), 4);
    json_decref(json);
    free(b.data);
    b = stream_load("postcopy-10.0.main.src2dst.bin");
    json = report_json(&b, SIZE_MAX);
    ram = json_object_get(json_object_get(json, "ram"), "contents");
    assert_int_equal(number(ram, "pages"), 55);
    assert_int_equal(number(ram, "duplicate"), 54);
    assert_string_equal(json_string_value(json_object_get(json, "kind")), "postcopy");
    json_decref(json);
    free(b.data);
}

static void test_source(void **state)
{
    /* What only QEMU does, and RAM in which zero pages and others alternate. */
    static const char *const qemu[] = {"block-", "colo", "dirty-bitmaps", "precopy-pc"};

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
        cmocka_unit_test(test_every_byte_has_a_cause), cmocka_unit_test(test_values),
        cmocka_unit_test(test_source),                 cmocka_unit_test(test_in_small_pieces),
        cmocka_unit_test(test_text),                   cmocka_unit_test(test_cut_stream_is_shown_up_to_there),
        cmocka_unit_test(test_unknown_device),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
