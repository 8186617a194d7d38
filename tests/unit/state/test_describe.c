/* SPDX-License-Identifier: MIT
 *
 * The description that the encoder writes: its text for each kind of field, its sums against the bytes, and printing by
 * it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "state/codec.h"
#include "state/print.h"
#include "state/registry.h"
#include "state/values.h"
#include "zoo.h"

static int nothing(void *opaque, const struct gw_value *v)
{
    (*(unsigned *)opaque)++;
    return 0;
}

/* Saves the device alone; returns the text. */
static char *describe(const struct gw_state *st, void *device, uint8_t **ret_body, size_t *ret_bytes)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_vmdesc *desc;
    struct gw_writer w;
    const char *text;
    size_t bytes;
    char *copy;

    assert_int_equal(gw_writer_init_memory(&w, &err), 0);
    assert_int_equal(gw_vmdesc_new(4096, &desc, &err), 0);
    gw_vmdesc_device(desc, "d", 0);
    assert_int_equal(gw_state_encode(st, device, &w, desc, &err), 0);
    gw_vmdesc_device_end(desc);
    assert_int_equal(gw_vmdesc_finish(desc, &text, &bytes, &err), 0);
    copy = strndup(text, bytes);
    gw_vmdesc_free(desc);
    *ret_body = gw_writer_take(&w, ret_bytes);
    return copy;
}

/* The sizes in the text add up to the body, whatever is in it, and the body walks. */
static void test_sums(void **state)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct zoo *z = zoo_make(seed, seed % 16);
        struct gw_vmdesc_tree *tree = NULL;
        struct gw_error err = GW_ERROR_INIT;
        unsigned values = 0;
        uint8_t *body;
        size_t bytes;
        char *text = describe(&zoo_state, z, &body, &bytes);

        if (gw_vmdesc_parse(text, strlen(text), &tree, &err) < 0)
            fail_msg("%s", err.text);
        assert_int_equal(tree->devices[0].state.bytes, bytes);
        if (gw_values_walk(&tree->devices[0].state, body, bytes, nothing, &values, &err) < 0)
            fail_msg("seed %d: %s", (int)seed, err.text);
        assert_true(values > 40);
        gw_vmdesc_tree_free(tree);
        free(text);
        free(body);
        zoo_free(z);
    }
}

struct odd {
    uint8_t a[4], b[1], n, none[3];
    uint32_t x, y;
    struct cage plain[2], cages[2];
    struct cage *maybe[2];
    struct animal *animals;
};

static bool yes(const void *device, uint32_t version)
{
    return true;
}

static void *odd_first(void *p)
{
    return ((struct odd *)p)->animals;
}

static const struct gw_list_ops odd_list = {odd_first, zoo_next,         zoo_alloc, zoo_append,
                                            zoo_clear, zoo_free_element, NULL,      4};
static const struct gw_field small_fields[] = {GW_FIELD(struct cage, lo), GW_END};
static const struct gw_state small_state = {.name = "small", .version = 7, .fields = small_fields};
static const struct gw_field when_fields[] = {GW_FIELD_WHEN(yes, struct cage, lo), GW_END};
static const struct gw_state when_state = {.name = "when", .version = 1, .fields = when_fields};
static const struct gw_field weight_fields[] = {GW_FIELD(struct animal, weight), GW_END};
static const struct gw_state weight_state = {.name = "w", .version = 1, .fields = weight_fields};

static const struct gw_field odd_fields[] = {
    GW_ARRAY(struct odd, a),
    GW_ARRAY(struct odd, b),
    GW_ARRAY_FIRST(struct odd, a, 2, .when = yes),
    GW_FIELD(struct odd, n),
    GW_ARRAY_N(struct odd, none, n),
    GW_FIELD(struct odd, x, .name = "same"),
    GW_FIELD(struct odd, y, .name = "same"),
    GW_STRUCT_ARRAY(struct odd, plain, &small_state),
    GW_STRUCT_ARRAY(struct odd, cages, &when_state),
    GW_POINTER_ARRAY(struct odd, maybe, &small_state),
    GW_STRUCT(struct odd, plain[0], &small_state, .state_version = 7),
    GW_STRUCT(struct odd, plain[0], &small_state, .type_name = "tmp", .name = "t"),
    GW_LIST(struct odd, animals, &weight_state, &odd_list),
    GW_END,
};
static const struct gw_state odd_state = {.name = "odd", .version = 1, .fields = odd_fields};

#define INSIDE(name, version) "\"vmsd_name\": \"" name "\", \"version\": " version ", \"fields\": "
#define LO                    "[{\"name\": \"lo\", \"type\": \"uint16\", \"size\": 2}]"

static void test_text(void **state)
{
    struct animal second = {NULL, 2, 0, {0}}, first = {&second, 1, 0, {0}};
    struct cage cage = {0};
    struct odd odd = {.maybe = {&cage, NULL}, .animals = &first};
    size_t bytes;
    uint8_t *body;
    char *text = describe(&odd_state, &odd, &body, &bytes);

    assert_string_equal(
        text, "{\"page_size\": 4096, \"devices\": [{\"name\": \"d\", \"instance_id\": 0, " INSIDE(
                  "odd", "1") "["
                              "{\"name\": \"a[0]\", \"array_len\": 4, \"type\": \"uint8\", \"size\": 1}, "
                              "{\"name\": \"b\", \"type\": \"uint8\", \"size\": 1}, "
                              "{\"name\": \"a[1]\", \"index\": 0, \"type\": \"uint8\", \"size\": 1}, "
                              "{\"name\": \"a[1]\", \"index\": 1, \"type\": \"uint8\", \"size\": 1}, "
                              "{\"name\": \"n\", \"type\": \"uint8\", \"size\": 1}, "
                              "{\"name\": \"same[0]\", \"type\": \"uint32\", \"size\": 4}, "
                              "{\"name\": \"same[1]\", \"type\": \"uint32\", \"size\": 4}, "
                              "{\"name\": \"plain\", \"array_len\": 2, \"type\": \"struct\", \"struct\": {" INSIDE(
                                  "small", "7") LO
        "}, \"size\": 2}, "
        "{\"name\": \"cages\", \"index\": 0, \"type\": \"struct\", \"struct\": {" INSIDE("when", "1") LO
        "}, \"size\": 2}, "
        "{\"name\": \"cages\", \"index\": 1, \"type\": \"struct\", \"struct\": {" INSIDE("when", "1")
            LO "}, \"size\": 2}, "
               "{\"name\": \"maybe\", \"index\": 0, \"type\": \"struct\", \"struct\": {" INSIDE("small", "7")
                   LO "}, \"size\": 2}, "
                      "{\"name\": \"maybe\", \"index\": 1, \"type\": \"nullptr\", \"size\": 1}, "
                      "{\"name\": \"plain[0]\", \"type\": \"vstruct\", " INSIDE("small", "7")
                          LO ", \"size\": 2}, "
                             "{\"name\": \"t\", \"type\": \"tmp\", " INSIDE("small", "7")
                                 LO ", \"size\": 2}, "
                                    "{\"name\": \"animals\", \"type\": \"qtailq\", " INSIDE(
                                        "w", "1") "[{\"name\": \"weight\", \"type\": \"uint32\", \"size\": "
                                                  "4}], " INSIDE("w",
                                                                 "1") "[{\"name\": \"weight\", \"type\": \"uint32\", "
                                                                      "\"size\": 4}], \"size\": 11}]}]}");
    assert_int_equal(bytes, 4 + 1 + 2 + 1 + 8 + 4 + 4 + 2 + 1 + 2 + 2 + 11);
    free(text);
    free(body);
}

static void test_print(void **state)
{
    struct animal second = {NULL, 2, 0, {0}}, first = {&second, 1, 0, {0}};
    struct odd odd = {.a = {1, 2, 3, 4}, .x = 10, .animals = &first};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_text t = {0};

    assert_int_equal(gw_state_print(&odd_state, &odd, false, &t, &err), 0);
    assert_non_null(strstr(t.data, "a[0] = [1, 2, 3, 4]\nb = 0\na[1][0] = 1\n"));
    assert_non_null(strstr(t.data, "same[0] = 10 (0xa)\n"));
    assert_non_null(strstr(t.data, "animals[1].weight = 2\n"));
    gw_text_free(&t);
    assert_int_equal(gw_state_print(&odd_state, &odd, true, &t, &err), 0);
    assert_int_equal(strncmp(t.data, "{\"a[0]\": [1, 2, 3, 4], \"b\": 0, ", 30), 0);
    gw_text_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_print),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
