/* SPDX-License-Identifier: MIT
 *
 * A device's state as bytes, and what is said of them in the description. (That it comes back: test_decode.c.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "state/codec.h"
#include "state/registry.h"
#include "zoo.h"

struct written {
    struct gw_writer w;
    struct gw_vmdesc *desc;
    struct gw_error err;
    const uint8_t *bytes;
    size_t n;
    const char *text;
};

static int encode(struct written *o, const struct gw_state *st, void *device)
{
    size_t text_bytes;
    int r;

    *o = (struct written){.err = GW_ERROR_INIT};
    assert_int_equal(gw_writer_init_memory(&o->w, NULL), 0);
    assert_int_equal(gw_vmdesc_new(4096, &o->desc, NULL), 0);
    gw_vmdesc_device(o->desc, "d", 0);
    r = gw_state_encode(st, device, &o->w, o->desc, &o->err);
    gw_vmdesc_device_end(o->desc);
    o->bytes = gw_writer_data(&o->w, &o->n);
    assert_int_equal(gw_vmdesc_finish(o->desc, &o->text, &text_bytes, NULL), 0);
    return r;
}

static void done(struct written *o)
{
    gw_writer_close(&o->w);
    gw_vmdesc_free(o->desc);
}

static void says(const struct written *o, const char *part)
{
    if (!strstr(o->text, part))
        fail_msg("%s\nis not in\n%s", part, o->text);
}

/* Known values at known places. */
static void test_bytes(void **state)
{
    struct cage cage = {
        .lo = 0x1234, .wet = true, .depth = 0x55, .n = 2, .some = {1, 0xfffe}, .hi = 0xa0b0c0d0, .bits = 3};
    static const uint8_t want[] = {0x12, 0x34, 1,    0,    0,    0, 0x55, 2,   0,   1,   0xff,
                                   0xfe, 0xa0, 0xb0, 0xc0, 0xd0, 5, 9,    'c', 'a', 'g', 'e',
                                   '/',  'b',  'i',  't',  's',  0, 0,    0,   1,   3};
    struct gw_error err = GW_ERROR_INIT;
    const uint8_t *p;
    struct gw_writer w;
    size_t n;

    assert_int_equal(gw_writer_init_memory(&w, &err), 0);
    assert_int_equal(gw_state_encode(&cage_state, &cage, &w, NULL, &err), 0);
    p = gw_writer_data(&w, &n);
    assert_int_equal(n, sizeof want);
    assert_memory_equal(p, want, n);
    gw_writer_close(&w);
}

/* Elements that all look alike are described once; those that may differ, each with its number. */
static void test_arrays_described(void **state)
{
    static const struct gw_field fields[] = {
        GW_STRUCT_ARRAY(struct zoo, cages, &plain_state), GW_FIELD(struct zoo, cages_len),
        GW_STRUCT_ARRAY_N(struct zoo, cages_n, cages_len, &cage_state), GW_POINTER_ARRAY(struct zoo, maybe, &plain_state), GW_END};
    static const struct gw_state st = {.name = "d", .version = 1, .fields = fields};
    struct zoo *z = zoo_make(1, 2);
    struct written o;

    z->cages_len = 2;
    assert_int_equal(encode(&o, &st, z), 0);
    says(&o, "{\"name\": \"cages\", \"array_len\": 3, \"type\": \"struct\", \"struct\": {\"vmsd_name\": \"plain\"");
    says(&o, "\"size\": 14}, {\"name\": \"cages_len\"");
    assert_null(strstr(strstr(o.text, "\"cages\"") + 1, "\"cages\""));
    says(&o, "{\"name\": \"cages_n\", \"index\": 0, \"type\": \"struct\"");
    says(&o, "{\"name\": \"cages_n\", \"index\": 1, \"type\": \"struct\"");
    assert_null(strstr(o.text, "{\"name\": \"cages_n\", \"index\": 2"));
    says(&o, "{\"name\": \"maybe\", \"index\": 0, \"type\": \"nullptr\", \"size\": 1}");
    says(&o, "{\"name\": \"maybe\", \"index\": 1, \"type\": \"struct\", \"struct\"");
    done(&o);
    zoo_free(z);
}

/* The bytes of a bitmap are those of its bits alone; of padding, zeros. */
static void test_only_what_is_described(void **state)
{
    static const struct gw_field fields[] = {GW_BITMAP(struct zoo, map, 100), GW_UNUSED_BYTES(300), GW_FIELD(struct zoo, open),
        GW_END};
    static const struct gw_state st = {.name = "d", .version = 1, .fields = fields};
    static const uint8_t map[16] = {255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 15, 255, 255, 255, 255};
    struct zoo *z = zoo_make(1, 0);
    struct written o;

    z->map[0] = z->map[1] = UINT64_MAX;
    memset(&z->open, 8, 1); /* true, whatever byte it is */
    assert_int_equal(encode(&o, &st, z), 0);
    assert_int_equal(o.n, 16 + 300 + 1);
    assert_memory_equal(o.bytes, map, 16);
    for (size_t i = 16; i < 316; i++)
        assert_int_equal(o.bytes[i], 0);
    assert_int_equal(o.bytes[316], 1);
    done(&o);
    zoo_free(z);
}

/* A subsection goes when it is needed, and is in the description then. */
static void test_subsections(void **state)
{
    static const struct gw_field fields[] = {GW_FIELD(struct zoo, u8), GW_END};
    static const struct gw_state *const subs[] = {&zoo_sub_state, &zoo_sub2_state, NULL};
    static const struct gw_state st = {.name = "zoo", .version = 1, .fields = fields, .subsections = subs};
    struct zoo *z = zoo_make(1, 0);

    z->has_sub = z->has_deep = false;
    for (int needed = 0; needed < 2; needed++) {
        struct written o;

        z->has_sub2 = needed;
        assert_int_equal(encode(&o, &st, z), 0);
        assert_int_equal(o.n, needed ? 1 + 1 + 1 + 8 + 4 + 4 : 1);
        assert_int_equal(strstr(o.text, "\"subsections\": [{\"vmsd_name\": \"zoo/sub2\", \"version\": 1") != NULL, needed);
        assert_int_equal(strstr(o.text, "subsections") != NULL, needed);
        done(&o);
    }
    zoo_free(z);
}

static void test_list(void **state)
{
    static struct gw_list_ops ops;
    static const struct gw_field fields[] = {GW_LIST(struct zoo, animals, &animal_state, &ops), GW_END};
    static const struct gw_state st = {.name = "d", .version = 1, .fields = fields};
    struct animal b = {.weight = 2, .n = 0}, a = {.next = &b, .weight = 1, .n = 1, .name = {'x'}};
    static const uint8_t want[] = {1, 0, 0, 0, 1, 1, 'x', 1, 0, 0, 0, 2, 0, 0};
    struct zoo z = {.animals = &a};
    struct written o;

    ops = zoo_list;
    ops.max = 2;
    assert_int_equal(encode(&o, &st, &z), 0);
    assert_int_equal(o.n, sizeof want);
    assert_memory_equal(o.bytes, want, sizeof want);
    says(&o, "\"size\": 14}");
    done(&o);
    ops.max = 1;
    assert_int_equal(encode(&o, &st, &z), -EINVAL);
    assert_string_equal(o.err.text, "field animals[1] at byte 0: more than 1 elements");
    assert_int_equal(o.err.blame, GW_BLAME_EMBEDDER);
    done(&o);
}

static int calls[2];

static int before(void *device, struct gw_error *err)
{
    calls[0]++;
    return ((struct cage *)device)->lo == 9 ? -EAGAIN : 0;
}

static void after(void *device)
{
    calls[1]++;
}

/* What pre_save made is undone whatever came of it, but not where it was not made. */
static void test_hooks(void **state)
{
    static const struct gw_field bad[] = {GW_POINTER(struct zoo, far_cage, &plain_state), GW_END}, good[] = {GW_FIELD(struct cage,
        lo), GW_END};
    static const struct gw_state fails = {.name = "fails", .version = 1, .fields = bad, .post_save = after},
                                 st = {.name = "st", .version = 1, .fields = good, .pre_save = before, .post_save = after};
    struct cage cage = {.lo = 9};
    struct zoo z = {.far_cage = NULL};
    struct written o;

    assert_int_equal(encode(&o, &st, &cage), -EAGAIN);
    assert_string_equal(o.err.text, "callback pre_save of description st failed (Resource temporarily unavailable)");
    assert_int_equal(calls[0], 1);
    assert_int_equal(calls[1], 0);
    done(&o);
    cage.lo = 1;
    assert_int_equal(encode(&o, &st, &cage), 0);
    assert_int_equal(calls[1], 1);
    done(&o);
    assert_int_equal(encode(&o, &fails, &z), -EINVAL);
    assert_int_equal(calls[1], 2);
    done(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),       cmocka_unit_test(test_arrays_described), cmocka_unit_test(test_only_what_is_described),
        cmocka_unit_test(test_subsections), cmocka_unit_test(test_list),             cmocka_unit_test(test_hooks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
