/* SPDX-License-Identifier: MIT
 *
 * Descriptions that peers wrote, read and applied to the sections that they belong to; and broken ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "capture.h"
#include "state/values.h"
#include "state/vmdesc_read.h"

struct opened {
    struct capture c;
    struct gw_vmdesc_tree *tree;
    struct gw_vmdesc_section *sections;
};

static void open_capture(struct opened *o, const char *name)
{
    struct gw_error err = GW_ERROR_INIT;

    assert_true(capture_open(&o->c, name));
    o->tree = NULL;
    if (gw_vmdesc_parse(o->c.text, o->c.text_bytes, &o->tree, &err) < 0)
        fail_msg("%s: %s", name, err.text);
    o->sections = calloc(o->tree->device_count, sizeof *o->sections);
    if (gw_vmdesc_locate(o->tree, o->c.data, o->c.eof, true, NULL, o->sections, &err) < 0)
        fail_msg("%s: %s", name, err.text);
}

static void close_capture(struct opened *o)
{
    gw_vmdesc_tree_free(o->tree);
    free(o->sections);
    capture_close(&o->c);
}

static char *print(const struct opened *o, uint32_t i, bool json)
{
    const struct gw_vmdesc_section *s = &o->sections[i];
    struct gw_error err = GW_ERROR_INIT;
    struct gw_text t = {0};

    if (gw_values_print(&t, &o->tree->devices[i].state, o->c.data + s->body, s->body_bytes, json, "", &err) < 0)
        fail_msg("%s: %s", o->tree->devices[i].name, err.text);
    return t.data;
}

/* Offset of the footer of the ram section's END in front of the first FULL section. */
static void check_capture(const char *name, uint32_t devices, uint32_t ram_id)
{
    struct opened o;
    size_t first;

    open_capture(&o, name);
    assert_int_equal(o.tree->device_count, devices);
    assert_int_equal(o.tree->page_bytes, 4096);
    first = o.sections[0].start;
    assert_int_equal(o.c.data[first - 5], 0x7e);
    assert_int_equal(gw_load_be32(o.c.data + first - 4), ram_id);
    for (uint32_t i = 0; i < devices; i++) {
        size_t end = o.sections[i].body + o.sections[i].body_bytes + 5;
        char *text = print(&o, i, false);

        assert_int_equal(end, i + 1 < devices ? o.sections[i + 1].start : o.c.eof);
        if (!strcmp(o.tree->devices[i].name, "globalstate"))
            assert_non_null(
                strstr(text, strstr(name, "none") ? "runstate = \"running\"\n" : "runstate = \"prelaunch\"\n"));
        if (!strcmp(o.tree->devices[i].name, "timer"))
            assert_int_equal(strncmp(text, "cpu_ticks_offset = ", 19), 0);
        free(text);
    }
    close_capture(&o);
}

static void test_captures(void **state)
{
    check_capture("precopy-none-7.2.bin", 2, 2);
    check_capture("precopy-none-10.0.bin", 2, 1);
    check_capture("precopy-microvm-7.2.bin.gz", 14, 2);
    check_capture("precopy-microvm-10.0.bin.gz", 14, 1);
    check_capture("precopy-pc-7.2.bin.gz", 30, 2);
    check_capture("precopy-pc-10.0.bin.gz", 30, 1);
}

static uint32_t device(const struct opened *o, const char *name)
{
    for (uint32_t i = 0; i < o->tree->device_count; i++)
        if (!strcmp(o->tree->devices[i].name, name))
            return i;
    fail_msg("no device %s", name);
    return 0;
}

/* A reset x86 processor has well-known registers. */
static void test_values(void **state)
{
    struct opened o;
    char *text, *json;

    open_capture(&o, "precopy-pc-7.2.bin.gz");
    text = print(&o, device(&o, "cpu"), false);
    assert_non_null(strstr(text, "env.eip = 65520 (0xfff0)\n"));
    assert_non_null(strstr(text, "env.segs[1].selector = 61440 (0xf000)\n"));
    assert_non_null(strstr(text, "env.segs[1].base = 4294901760 (0xffff0000)\n"));
    assert_non_null(strstr(text, "env.cr[0] = 1610612752 (0x60000010)\n"));
    assert_non_null(strstr(text, "cpu/poll_control_msr.env.poll_control_msr = 0\n"));
    free(text);
    json = print(&o, device(&o, "cpu"), true);
    assert_non_null(strstr(json, "\"env.eip\": 65520, "));
    free(json);
    close_capture(&o);
    /* 10.0 does not number the last element. */
    open_capture(&o, "precopy-pc-10.0.bin.gz");
    text = print(&o, device(&o, "0000:00:01.1/ide"), false);
    assert_non_null(strstr(text, "\nbmdma[0].cmd = "));
    assert_non_null(strstr(text, "\nbmdma[1].cmd = "));
    assert_null(strstr(text, "\nbmdma.cmd = "));
    free(text);
    close_capture(&o);
}

struct difference {
    unsigned count;
    char path[100];
};

static void differ(void *opaque, const char *path, const struct gw_value *a, const struct gw_value *b)
{
    struct difference *d = opaque;

    d->count++;
    snprintf(d->path, sizeof d->path, "%s %d%d", path, a != NULL, b != NULL);
}

static void test_diff(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct difference d = {0};
    struct opened o;
    uint32_t cpu;
    uint8_t *other;
    const struct gw_vmdesc_state *st;
    const struct gw_vmdesc_section *s;

    open_capture(&o, "precopy-pc-10.0.bin.gz");
    cpu = device(&o, "cpu");
    st = &o.tree->devices[cpu].state;
    s = &o.sections[cpu];
    other = malloc(s->body_bytes);
    memcpy(other, o.c.data + s->body, s->body_bytes);
    assert_int_equal(gw_values_diff(st, o.c.data + s->body, s->body_bytes, st, other, s->body_bytes, differ, &d, &err),
                     0);
    assert_int_equal(d.count, 0);
    other[3 * 8] ^= 1; /* the fourth of env.regs */
    assert_int_equal(gw_values_diff(st, o.c.data + s->body, s->body_bytes, st, other, s->body_bytes, differ, &d, &err),
                     0);
    assert_int_equal(d.count, 1);
    assert_string_equal(d.path, "env.regs[3] 11");
    free(other);
    close_capture(&o);
}

/* One bit of the body's head, of the footer, of the size: the walk back must not accept it. */
static void test_locate_refuses(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct opened o;

    open_capture(&o, "precopy-none-10.0.bin");
    for (size_t at = 0; at < 19; at++) {
        uint8_t *p = o.c.data + o.sections[1].start + at;

        if (at >= 1 && at < 5)
            continue; /* the id is checked against the footer only */
        *p ^= 1;
        assert_int_equal(gw_vmdesc_locate(o.tree, o.c.data, o.c.eof, true, NULL, o.sections, &err), -EPROTO);
        *p ^= 1;
    }
    o.c.data[o.c.eof - 1] ^= 1;
    assert_int_equal(gw_vmdesc_locate(o.tree, o.c.data, o.c.eof, true, NULL, o.sections, &err), -EPROTO);
    o.c.data[o.c.eof - 1] ^= 1;
    assert_int_equal(gw_vmdesc_locate(o.tree, o.c.data, o.c.eof - 1, true, NULL, o.sections, &err), -EPROTO);
    assert_int_equal(gw_vmdesc_locate(o.tree, o.c.data, 40, true, NULL, o.sections, &err), -EPROTO);
    assert_int_equal(gw_vmdesc_locate(o.tree, o.c.data, o.c.eof, true, NULL, o.sections, &err), 0);
    close_capture(&o);
}

#define DEVICE(fields)                                                                                                 \
    "{\"page_size\": 4096, \"devices\": [{\"name\": \"d\", \"instance_id\": 0, \"vmsd_name\": \"d\", "                 \
    "\"version\": 1, \"fields\": [" fields "]}]}"

static void test_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "[",
        "[]",
        "{}",
        "nonsense",
        "{\"page_size\": 4096}",
        "{\"page_size\": -1, \"devices\": []}",
        "{\"page_size\": 4096, \"devices\": [1]}",
        "{\"page_size\": 4096, \"devices\": [{}]} ",
        DEVICE("1"),
        DEVICE("{}"),
        DEVICE("{\"name\": \"\", \"type\": \"u\", \"size\": 1}"),
        DEVICE("{\"name\": \"x\\u001b[31m\", \"type\": \"u\", \"size\": 1}"),
        DEVICE("{\"name\": \"x\", \"type\": \"u\", \"size\": -1}"),
        DEVICE("{\"name\": \"x\", \"type\": \"u\", \"size\": 1e3}"),
        DEVICE("{\"name\": \"x\", \"type\": \"u\", \"size\": 1099511627776, \"array_len\": 4294967295}"),
        DEVICE("{\"name\": \"x\", \"type\": \"u\", \"size\": 9, \"array_len\": 4294967296}"),
        DEVICE("{\"name\": \"x\", \"type\": \"u\", \"size\": 9, \"struct\": 1}"),
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(bad); i++) {
        struct gw_vmdesc_tree *tree = NULL;
        struct gw_error err = GW_ERROR_INIT;

        assert_int_equal(gw_vmdesc_parse(bad[i], strlen(bad[i]), &tree, &err), -EPROTO);
        assert_null(tree);
        assert_int_equal(strncmp(err.text, "state description: ", 19), 0);
    }
}

static void test_depth(void **state)
{
    struct gw_vmdesc_tree *tree = NULL;
    struct gw_error err = GW_ERROR_INIT;
    char *deep = malloc(100000);

    memset(deep, '[', 100000);
    assert_int_equal(gw_vmdesc_parse(deep, 100000, &tree, &err), -EPROTO);
    assert_string_equal(err.text, "state description: not JSON at byte 65: nested too deep");
    memset(deep, '"', 100000);
    assert_int_equal(gw_vmdesc_parse(deep, 100000, &tree, &err), -EPROTO);
    free(deep);
}

struct seen {
    char text[2000];
};

static int see(void *opaque, const struct gw_value *v)
{
    struct seen *s = opaque;
    size_t n = strlen(s->text);

    snprintf(s->text + n, sizeof s->text - n, "%s*%u@%zu ", v->path, v->count, v->at);
    return 0;
}

/* Lists repeat their keys once per element; zero-length entries take no time; sizes that do not agree stay closed. */
static void test_shapes(void **state)
{
    static const char text[] = DEVICE(
        "{\"name\": \"q\", \"type\": \"qtailq\", \"vmsd_name\": \"e\", \"version\": 1, \"fields\": [{\"name\": \"x\", "
        "\"type\": \"uint8\", \"size\": 1}], \"vmsd_name\": \"e\", \"version\": 1, \"fields\": [{\"name\": \"y\", "
        "\"type\": \"uint16\", \"size\": 2}], \"size\": 6}, "
        "{\"name\": \"none\", \"array_len\": 4000000000, \"type\": \"uint8\", \"size\": 0}, "
        "{\"name\": \"empty\", \"type\": \"qtailq\", \"size\": 1}, "
        "{\"name\": \"s\", \"array_len\": 2, \"type\": \"struct\", \"struct\": {\"vmsd_name\": \"e\", \"version\": 1, "
        "\"fields\": [{\"name\": \"x\", \"array_len\": 2, \"type\": \"uint8\", \"size\": 1}]}, \"size\": 2}, "
        "{\"name\": \"odd\", \"type\": \"struct\", \"struct\": {\"vmsd_name\": \"e\", \"version\": 1, "
        "\"fields\": [{\"name\": \"x\", \"array_len\": 2, \"type\": \"uint8\", \"size\": 1}]}, \"size\": 3}");
    static const uint8_t body[] = {1, 10, 1, 11, 12, 0, 0, 1, 2, 3, 4, 5, 6, 7};
    uint8_t wrong[sizeof body];
    struct gw_vmdesc_tree *tree = NULL;
    struct gw_error err = GW_ERROR_INIT;
    struct seen seen = {""};

    assert_int_equal(gw_vmdesc_parse(text, sizeof text - 1, &tree, &err), 0);
    assert_int_equal(tree->devices[0].state.bytes, sizeof body);
    assert_int_equal(gw_values_walk(&tree->devices[0].state, body, sizeof body, see, &seen, &err), 0);
    assert_string_equal(seen.text, "q[0].x*1@1 q[1].y*1@3 empty*1@6 s[0].x*2@7 s[1].x*2@9 odd*1@11 ");
    assert_int_equal(gw_values_walk(&tree->devices[0].state, body, sizeof body - 1, see, &seen, &err), -EPROTO);
    memcpy(wrong, body, sizeof body);
    wrong[2] = 0;
    assert_int_equal(gw_values_walk(&tree->devices[0].state, wrong, sizeof body, see, &seen, &err), -EPROTO);
    assert_string_equal(err.text, "q[1] at byte 2 of the body: no mark of an element");
    gw_vmdesc_tree_free(tree);
}

/* An array of four elements, as 7.2, 10.0 and 11.1 write it; two paddings in a row are no array. */
static void test_arrays(void **state)
{
#define ELEMENT(index) "{\"name\": \"a\", " index "\"type\": \"uint8\", \"size\": 1}, "
#define TWO(index)     "{\"name\": \"a\", " index "\"array_len\": 2, \"type\": \"uint8\", \"size\": 1}, "
#define PADDING        "{\"name\": \"unused\", \"type\": \"unused_buffer\", \"size\": 2}"
    static const char *const texts[] = {
        DEVICE(ELEMENT("\"index\": 0, ") TWO("\"index\": 1, ") ELEMENT("\"index\": 3, ") PADDING ", " PADDING),
        DEVICE(ELEMENT("\"index\": 0, ") TWO("\"index\": 1, ") ELEMENT("") PADDING ", " PADDING),
        DEVICE(ELEMENT("") TWO("") ELEMENT("") PADDING ", " PADDING),
    };
    static const int64_t begins[] = {0, 1, 3, -1, -1};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct gw_vmdesc_tree *tree = NULL;
        struct gw_error err = GW_ERROR_INIT;

        assert_int_equal(gw_vmdesc_parse(texts[i], strlen(texts[i]), &tree, &err), 0);
        assert_int_equal(tree->devices[0].state.field_count, 5);
        for (size_t f = 0; f < 5; f++)
            assert_int_equal(tree->devices[0].state.fields[f].index, begins[f]);
        gw_vmdesc_tree_free(tree);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_captures),       cmocka_unit_test(test_values),  cmocka_unit_test(test_diff),
        cmocka_unit_test(test_locate_refuses), cmocka_unit_test(test_refused), cmocka_unit_test(test_depth),
        cmocka_unit_test(test_shapes),         cmocka_unit_test(test_arrays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
