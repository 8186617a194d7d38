/* SPDX-License-Identifier: MIT
 *
 * The traversal, as a visitor sees it: what comes in which order, what is left out, and what stops it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "state/walk.h"
#include "zoo.h"

struct seen {
    struct gw_walk walk;
    struct gw_error err;
    char text[1000];
    int fail_at; /* the leaf that says no; 0: none does */
    int leaves;
};

static struct seen *seen_of(struct gw_walk *walk)
{
    return GW_CONTAINER(walk, struct seen, walk);
}

GW_PRINTF(2, 3)
static int note(struct gw_walk *walk, const char *fmt, ...)
{
    struct seen *s = seen_of(walk);
    size_t n = strlen(s->text);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(s->text + n, sizeof s->text - n, fmt, ap);
    va_end(ap);
    return 0;
}

static int enter(struct gw_walk *walk, const struct gw_state *st, uint32_t version, void *base)
{
    return note(walk, "%s%u(", st->name, version);
}

static int leave(struct gw_walk *walk, const struct gw_state *st, uint32_t version, void *base, int result)
{
    note(walk, "%s)", result < 0 ? "!" : "");
    return result;
}

static int subsections(struct gw_walk *walk, const struct gw_state *st, void *base, const struct gw_spot *outer)
{
    return note(walk, "+");
}

static int leaf(struct gw_walk *walk, struct gw_spot *spot, void *p, uint32_t n)
{
    note(walk, "%s*%ux%u ", gw_field_name(spot->field), n, (unsigned)spot->bytes);
    return ++seen_of(walk)->leaves == seen_of(walk)->fail_at ? gw_spot_fail(walk, spot, -EPROTO, GW_BLAME_PEER, "no") : 0;
}

static int element(struct gw_walk *walk, struct gw_spot *spot, bool begin)
{
    return note(walk, begin ? "%s[%u]<" : ">", gw_field_name(spot->field), spot->index);
}

static int null(struct gw_walk *walk, struct gw_spot *spot)
{
    return note(walk, "null");
}

static int list(struct gw_walk *walk, struct gw_spot *spot)
{
    return note(walk, "list ");
}

static int pointee(struct gw_walk *walk, struct gw_spot *spot, void **slot, size_t bytes, void **ret)
{
    *ret = *slot;
    return note(walk, "&%zu ", bytes);
}

static uint64_t offset(const struct gw_walk *walk)
{
    return 1000 + (uint64_t)GW_CONTAINER(walk, const struct seen, walk)->leaves;
}

static struct gw_visitor visitor = {.enter = enter, .leave = leave, .subsections = subsections, .leaf = leaf, .element = element,
                                    .null = null, .list = list, .pointee = pointee, .offset = offset, .blame = GW_BLAME_PEER};

static int walk(struct seen *s, const struct gw_state *st, uint32_t version, void *device)
{
    s->text[0] = 0;
    s->leaves = 0;
    s->err = (struct gw_error)GW_ERROR_INIT;
    s->walk.visitor = &visitor;
    s->walk.dry = !device;
    s->walk.err = &s->err;
    return gw_walk_state(&s->walk, st, version, device, NULL);
}

static bool no(const void *p, uint32_t version)
{
    return false;
}

static const struct gw_field fields[] = {
    GW_FIELD(struct zoo, u16),
    GW_FIELD_SINCE(2, struct zoo, u32),
    GW_FIELD_WHEN(no, struct zoo, u64),
    GW_FIELD(struct zoo, rx_len),
    GW_BYTES_N(struct zoo, rx, rx_len),
    GW_FIELD(struct zoo, words_len),
    GW_ARRAY_N(struct zoo, words, words_len),
    GW_STRUCT_ARRAY(struct zoo, cages, &plain_state),
    GW_POINTER_ARRAY(struct zoo, maybe, &plain_state),
    GW_FIELD_POINTER(struct zoo, alone),
    GW_LIST(struct zoo, animals, &animal_state, &zoo_list),
    GW_END,
};
static const struct gw_state st = {.name = "z", .version = 2, .oldest = 1, .fields = fields};

#define PLAIN "plain0(lo*1x2 some*4x2 hi*1x4 +)"
#define DRY   "plain0(lo*1x2 some*1x2 hi*1x4 +)"

static void test_order(void **state)
{
    struct zoo *z = zoo_make(1, 2); /* maybe[1] is there alone */
    struct seen s = {.fail_at = 0};

    z->rx_len = 3;
    z->words_len = 0;
    assert_int_equal(walk(&s, &st, 2, z), 0);
    assert_string_equal(s.text, "z2(u16*1x2 u32*1x4 rx_len*1x4 rx*1x3 words_len*1x4 words*0x8 "
                                "cages[0]<" PLAIN ">cages[1]<" PLAIN ">cages[2]<" PLAIN ">"
                                "maybe[0]<null>maybe[1]<&24 " PLAIN ">maybe[2]<null>maybe[3]<null>&4 alone*1x4 list +)");
    /* An older version lacks what is newer. */
    assert_int_equal(walk(&s, &st, 1, z), 0);
    assert_null(strstr(s.text, "u32"));
    zoo_free(z);
}

/* Without memory every field is there, once. */
static void test_dry(void **state)
{
    struct seen s = {.fail_at = 0};

    assert_int_equal(walk(&s, &st, 1, NULL), 0);
    assert_string_equal(s.text, "z1(u16*1x2 u32*1x4 u64*1x8 rx_len*1x4 rx*1x16 words_len*1x4 words*1x8 cages[0]<" DRY
                                ">maybe[0]<" DRY ">alone*1x4 list +)");
}

/* Whoever gave the count is to blame, and it is refused before anything is read with it. */
static void test_counts(void **state)
{
    struct zoo *z = zoo_make(1, 0);
    struct seen s = {.fail_at = 0};

    z->rx_len = 17;
    assert_int_equal(walk(&s, &st, 2, z), -EPROTO);
    assert_string_equal(s.err.text, "field rx at byte 1003: 17 bytes, at most 16");
    assert_int_equal(s.err.blame, GW_BLAME_PEER);
    assert_string_equal(s.text, "z2(u16*1x2 u32*1x4 rx_len*1x4 !)");
    z->rx_len = 16;
    z->words_len = -1;
    visitor.blame = GW_BLAME_EMBEDDER;
    assert_int_equal(walk(&s, &st, 2, z), -EINVAL);
    assert_string_equal(s.err.text, "field words at byte 1005: -1 elements, at most 9");
    assert_int_equal(s.err.blame, GW_BLAME_EMBEDDER);
    visitor.blame = GW_BLAME_PEER;
    zoo_free(z);
}

static void test_null_pointer(void **state)
{
    static const struct gw_field alone[] = {GW_FIELD_POINTER(struct zoo, alone), GW_END};
    static const struct gw_state one = {.name = "z", .version = 1, .fields = alone};
    struct zoo z = {.alone = NULL};
    struct seen s = {.fail_at = 0};

    assert_int_equal(walk(&s, &one, 1, &z), -EINVAL);
    assert_string_equal(s.err.text, "field alone at byte 1000: the pointer is NULL");
    assert_int_equal(s.err.blame, GW_BLAME_EMBEDDER);
}

/* A failure ends it, and every description that was entered is left; the message has the whole way. */
static void test_stops(void **state)
{
    struct zoo *z = zoo_make(1, 0);
    struct seen s = {.fail_at = 11}; /* `some` of cages[1] */

    z->rx_len = 0;
    z->words_len = 1;
    assert_int_equal(walk(&s, &st, 2, z), -EPROTO);
    assert_string_equal(s.err.text, "field cages[1].some[0] at byte 1010: no");
    assert_non_null(strstr(s.text, ">cages[1]<plain0(lo*1x2 some*4x2 !)!)"));
    assert_int_equal(s.walk.depth, 0);
    zoo_free(z);
}

static void test_check(void **state)
{
    struct zoo z = {.fixed = 76};
    static const struct gw_field check[] = {GW_CHECK("the zoo has a number", zoo_exists), GW_FIELD(struct zoo, u8), GW_END};
    static const struct gw_state one = {.name = "z", .version = 1, .fields = check};
    struct seen s = {.fail_at = 0};

    assert_int_equal(walk(&s, &one, 1, &z), -EPROTO);
    assert_string_equal(s.err.text, "field the zoo has a number at byte 1000: the required condition does not hold");
    z.fixed = 77;
    assert_int_equal(walk(&s, &one, 1, &z), 0);
    assert_int_equal(walk(&s, &one, 1, NULL), 0);
}

static void test_depth(void **state)
{
    struct gw_state chain[GW_STATE_DEPTH + 2];
    struct gw_field links[GW_STATE_DEPTH + 2][2];
    struct seen s = {.fail_at = 0};

    for (unsigned i = 0; i < GW_STATE_DEPTH + 2; i++) {
        links[i][0] = (struct gw_field){.name = "in", .type = i ? GW_T_STRUCT : GW_T_U8, .size = 1,
            .state = i ? &chain[i - 1] : NULL};
        links[i][1] = (struct gw_field)GW_END;
        chain[i] = (struct gw_state){.name = "n", .version = 1, .fields = links[i]};
    }
    assert_int_equal(walk(&s, &chain[GW_STATE_DEPTH], 1, NULL), 0);
    assert_int_equal(walk(&s, &chain[GW_STATE_DEPTH + 1], 1, NULL), -EINVAL);
    assert_non_null(strstr(s.err.text, "nested deeper than"));
}

/* A hook that only returns a code is given words and a blame; what it said itself stays. */
static void test_hook_failed(void **state)
{
    struct seen s = {.err = GW_ERROR_INIT};

    s.walk.err = &s.err;
    assert_int_equal(gw_hook_failed(&s.walk, &st, "check", -ERANGE), -ERANGE);
    assert_string_equal(s.err.text, "callback check of description z failed (Numerical result out of range)");
    assert_int_equal(s.err.blame, GW_BLAME_EMBEDDER);
    gw_fail(&s.err, -ERANGE, GW_BLAME_PEER, "mine");
    gw_hook_failed(&s.walk, &st, "check", -ERANGE);
    assert_string_equal(s.err.text, "mine");
    assert_int_equal(s.err.blame, GW_BLAME_PEER);
    s.err.blame = GW_BLAME_NONE;
    gw_hook_failed(&s.walk, &st, "check", -ERANGE);
    assert_int_equal(s.err.blame, GW_BLAME_EMBEDDER);
    gw_hook_failed(&s.walk, &st, "check", -EIO); /* its words are of something else */
    assert_non_null(strstr(s.err.text, "failed"));
    s.walk.err = NULL;
    assert_int_equal(gw_hook_failed(&s.walk, &st, "check", -EIO), -EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order), cmocka_unit_test(test_dry),   cmocka_unit_test(test_counts),
            cmocka_unit_test(test_null_pointer),
        cmocka_unit_test(test_stops), cmocka_unit_test(test_check), cmocka_unit_test(test_depth),
             cmocka_unit_test(test_hook_failed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
