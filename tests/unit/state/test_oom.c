/* SPDX-License-Identifier: MIT
 *
 * Every allocation fails once, in turn: the call says -ENOMEM, nothing leaks (the sanitizer sees it), the device is as
 * it was, and the next try works.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "capture.h"
#include "state/codec.h"
#include "state/print.h"
#include "state/registry.h"
#include "state/values.h"
#include "zoo.h"

/* The test's own bookkeeping is not counted: armed only around the call under test. */
static struct {
    bool armed;
    unsigned calls, fail_at;
} heap;

static bool fails(void)
{
    return heap.armed && ++heap.calls == heap.fail_at;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t each);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t align, size_t n);
char *__real_strdup(const char *s);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t each);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n);
char *__wrap_strdup(const char *s);

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t each)
{
    return fails() ? NULL : __real_calloc(n, each);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails() ? NULL : __real_realloc(p, n);
}

void *__wrap_aligned_alloc(size_t align, size_t n)
{
    return fails() ? NULL : __real_aligned_alloc(align, n);
}

char *__wrap_strdup(const char *s)
{
    return fails() ? NULL : __real_strdup(s);
}

/* Runs fn until it gets through without a failure. Returns how many allocations it makes. */
static unsigned each_fails(int (*fn)(void *arg, struct gw_error *err), void *arg)
{
    for (unsigned n = 1;; n++) {
        struct gw_error err = GW_ERROR_INIT;
        int r;

        heap.calls = 0;
        heap.fail_at = n;
        heap.armed = true;
        r = fn(arg, &err);
        heap.armed = false;
        if (heap.calls < n) {
            if (r != 0)
                fail_msg("%s", err.text);
            return n - 1;
        }
        if (r != -ENOMEM || err.code != -ENOMEM || err.blame != GW_BLAME_LOCAL)
            fail_msg("allocation %u: %d %s", n, r, err.text);
    }
}

struct work {
    struct zoo *from, *to;
    uint8_t *body;
    size_t bytes;
    uint8_t before[ZOO_IMAGE], after[ZOO_IMAGE];
    size_t image;
    struct capture capture;
};

static int save(void *arg, struct gw_error *err)
{
    struct work *k = arg;
    struct gw_registry *reg = NULL;
    struct gw_vmdesc *desc = NULL;
    struct gw_writer w;
    const char *text;
    size_t bytes;
    int r = gw_writer_init_memory(&w, err);

    if (r == 0)
        r = gw_registry_new(&reg, err);
    if (r == 0)
        r = gw_registry_add(reg, &zoo_state, "zoo", 0, k->from, err);
    if (r == 0)
        r = gw_registry_add_alias(reg, k->from, "menagerie", 0, err);
    if (r == 0)
        r = gw_vmdesc_new(4096, &desc, err);
    if (r == 0)
        r = gw_registry_save(reg, false, true, &w, desc, err);
    if (r == 0)
        r = gw_writer_flush(&w, err);
    if (r == 0)
        r = gw_vmdesc_finish(desc, &text, &bytes, err);
    gw_vmdesc_free(desc);
    gw_registry_free(reg);
    gw_writer_close(&w);
    return r;
}

static void test_save(void **state)
{
    struct work k = {.from = zoo_make(1, 3)};

    k.from->has_sub = k.from->has_deep = true;
    assert_true(each_fails(save, &k) >= 5);
    zoo_free(k.from);
}

static int load(void *arg, struct gw_error *err)
{
    struct work *k = arg;
    struct gw_reader r;
    bool armed = heap.armed;
    int ret;

    heap.armed = false;
    k->image = zoo_image(k->to, k->before);
    heap.armed = armed;
    gw_reader_init_memory(&r, k->body, k->bytes, 0);
    ret = gw_state_decode(&zoo_state, 3, k->to, &r, err);
    heap.armed = false;
    if (ret < 0) {
        assert_int_equal(zoo_image(k->to, k->after), k->image);
        assert_memory_equal(k->before, k->after, k->image);
    }
    return ret;
}

static void test_load(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_writer w;
    struct work *k = calloc(1, sizeof *k);
    uint64_t seed = 1;

    do {
        if (k->from)
            zoo_free(k->from);
        k->from = zoo_make(seed++, 15);
    } while (!k->from->animals || !k->from->heap_len || !k->from->map_n_len);
    k->to = zoo_make(seed, 15);
    assert_int_equal(gw_writer_init_memory(&w, &err), 0);
    assert_int_equal(gw_state_encode(&zoo_state, k->from, &w, NULL, &err), 0);
    k->body = gw_writer_take(&w, &k->bytes);
    assert_true(each_fails(load, k) > 20);
    assert_int_equal(k->to->loaded, 1);
    free(k->body);
    zoo_free(k->from);
    zoo_free(k->to);
    free(k);
}

static int print(void *arg, struct gw_error *err)
{
    struct work *k = arg;
    struct gw_text t = {0};
    int r = gw_state_print(&zoo_state, k->from, true, &t, err);

    gw_text_free(&t);
    return r;
}

static void test_print(void **state)
{
    struct work k = {.from = zoo_make(4, 3)};

    assert_true(each_fails(print, &k) > 8);
    zoo_free(k.from);
}

static void ignore(void *opaque, const char *path, const struct gw_value *a, const struct gw_value *b)
{
}

static int compare(void *arg, struct gw_error *err)
{
    struct work *k = arg;
    struct gw_vmdesc_tree *tree = NULL;
    struct gw_vmdesc_section sections[2];
    int r = gw_vmdesc_parse(k->capture.text, k->capture.text_bytes, &tree, err);

    if (r == 0)
        r = gw_vmdesc_locate(tree, k->capture.data, k->capture.eof, true, NULL, sections, err);
    for (int i = 0; i < 2 && r == 0; i++) {
        const uint8_t *body = k->capture.data + sections[i].body;

        r = gw_values_diff(&tree->devices[i].state, body, sections[i].body_bytes, &tree->devices[i].state, body,
                           sections[i].body_bytes, ignore, NULL, err);
    }
    gw_vmdesc_tree_free(tree);
    return r;
}

static void test_vmdesc(void **state)
{
    struct work k = {0};

    assert_true(capture_open(&k.capture, "precopy-none-10.0.bin"));
    assert_true(each_fails(compare, &k) > 10);
    capture_close(&k.capture);
}

static int schema(void *arg, struct gw_error *err)
{
    struct work *k = arg;
    struct gw_registry *reg = NULL;
    char *json = NULL, *qemu = NULL;
    int r = gw_registry_new(&reg, err);

    if (r == 0)
        r = gw_registry_add(reg, &zoo_state, "zoo", 0, k->from, err);
    if (r == 0)
        r = gw_schema_dump(reg, "m", &json, err);
    if (r == 0)
        r = gw_schema_check(json, json, NULL, NULL, err);
    if (r == 0)
        r = gw_schema_to_dump(json, &qemu, err);
    if (r == 0)
        r = gw_schema_check(qemu, json, NULL, NULL, err) < 0 ? -ENOMEM : 0;
    free(json);
    free(qemu);
    gw_registry_free(reg);
    return r;
}

static void test_schema(void **state)
{
    struct work k = {.from = zoo_make(4, 3)};

    assert_true(each_fails(schema, &k) > 20);
    zoo_free(k.from);
}

static int schema_of_capture(void *arg, struct gw_error *err)
{
    struct work *k = arg;
    char *json = NULL;
    int r = gw_schema_from_description(k->capture.text, k->capture.text_bytes, "m", &json, err);

    free(json);
    return r;
}

static void test_schema_of_capture(void **state)
{
    struct work k = {0};

    assert_true(capture_open(&k.capture, "precopy-none-10.0.bin"));
    assert_true(each_fails(schema_of_capture, &k) > 4);
    capture_close(&k.capture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_save),   cmocka_unit_test(test_load),   cmocka_unit_test(test_print),
        cmocka_unit_test(test_vmdesc), cmocka_unit_test(test_schema), cmocka_unit_test(test_schema_of_capture),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
