/* SPDX-License-Identifier: MIT
 *
 * Hooks, their order and what they see; loads as transactions through pointers, pointers that are followed twice, lists
 * within lists.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/endian.h"
#include "state/codec.h"

struct log {
    char text[400];
    const void *real; /* the device: hooks of a load must not see it before the commit */
    bool saw_real, refuse;
};

struct part {
    uint32_t v;
    struct log *log;
};

struct dev {
    uint32_t a, b, hidden;
    struct part part;
    struct log *log;
};

static void add(struct log *log, const char *what)
{
    size_t n = strlen(log->text);

    snprintf(log->text + n, sizeof log->text - n, "%s ", what);
}

static int dev_pre_save(void *p, struct gw_error *err)
{
    add(((struct dev *)p)->log, "dev.pre_save");
    return ((struct dev *)p)->log->refuse ? gw_fail(err, -EAGAIN, GW_BLAME_NONE, "not now") : 0;
}

static void dev_post_save(void *p)
{
    add(((struct dev *)p)->log, "dev.post_save");
}

static int dev_pre_load(void *p, struct gw_error *err)
{
    struct dev *d = p;

    d->log->saw_real |= p == d->log->real;
    add(d->log, "dev.pre_load");
    d->b = 1000; /* what an absent field becomes */
    d->hidden = 7;
    return 0;
}

static int dev_check(const void *p, uint32_t version, struct gw_error *err)
{
    const struct dev *d = p;

    d->log->saw_real |= p == d->log->real;
    add(d->log, "dev.check");
    return d->a == 666 ? gw_fail(err, -EPROTO, GW_BLAME_PEER, "a is 666") : 0;
}

static void dev_loaded(void *p, uint32_t version)
{
    struct dev *d = p;

    assert_ptr_equal(p, d->log->real);
    add(d->log, version == 1 ? "dev.loaded1" : "dev.loaded2");
}

static int part_pre_load(void *p, struct gw_error *err)
{
    add(((struct part *)p)->log, "part.pre_load");
    return 0;
}

static int part_check(const void *p, uint32_t version, struct gw_error *err)
{
    add(((const struct part *)p)->log, "part.check");
    return 0;
}

static void part_loaded(void *p, uint32_t version)
{
    struct part *part = p;

    assert_ptr_equal(p, &((const struct dev *)part->log->real)->part);
    add(part->log, "part.loaded");
}

static int part_pre_save(void *p, struct gw_error *err)
{
    add(((struct part *)p)->log, "part.pre_save");
    return ((struct part *)p)->v == 13 ? -EIO : 0;
}

static void part_post_save(void *p)
{
    add(((struct part *)p)->log, "part.post_save");
}

static const struct gw_field part_fields[] = {GW_FIELD(struct part, v), GW_END};
static const struct gw_state part_state = {.name = "part",
                                           .version = 1,
                                           .fields = part_fields,
                                           .pre_save = part_pre_save,
                                           .post_save = part_post_save,
                                           .pre_load = part_pre_load,
                                           .check = part_check,
                                           .loaded = part_loaded};
static const struct gw_field dev_fields[] = {
    GW_FIELD(struct dev, a),
    GW_FIELD_SINCE(2, struct dev, b),
    GW_STRUCT(struct dev, part, &part_state),
    GW_END,
};
static const struct gw_state dev_state = {.name = "dev",
                                          .version = 2,
                                          .oldest = 1,
                                          .fields = dev_fields,
                                          .pre_save = dev_pre_save,
                                          .post_save = dev_post_save,
                                          .pre_load = dev_pre_load,
                                          .check = dev_check,
                                          .loaded = dev_loaded};

static int encode(const struct gw_state *st, void *device, uint8_t *body, size_t *ret_bytes, struct gw_error *err)
{
    const uint8_t *p;
    struct gw_writer w;
    int r;

    assert_int_equal(gw_writer_init_memory(&w, NULL), 0);
    r = gw_state_encode(st, device, &w, NULL, err);
    p = gw_writer_data(&w, ret_bytes);
    if (*ret_bytes)
        memcpy(body, p, *ret_bytes);
    gw_writer_close(&w);
    return r;
}

static int decode(const struct gw_state *st, uint32_t version, void *device, const void *body, size_t bytes,
                  struct gw_error *err)
{
    struct gw_reader r;

    gw_reader_init_memory(&r, body, bytes, 0);
    return gw_state_decode(st, version, device, &r, err);
}

static void test_save_order(void **state)
{
    struct log log = {.real = NULL};
    struct dev d = {.log = &log, .part.log = &log};
    struct gw_error err = GW_ERROR_INIT;
    uint8_t body[100];
    size_t n;

    assert_int_equal(encode(&dev_state, &d, body, &n, &err), 0);
    assert_string_equal(log.text, "dev.pre_save part.pre_save part.post_save dev.post_save ");
    log.text[0] = 0;
    d.part.v = 13; /* post_save of what was begun, not of what refused */
    assert_int_equal(encode(&dev_state, &d, body, &n, &err), -EIO);
    assert_string_equal(log.text, "dev.pre_save part.pre_save dev.post_save ");
    assert_string_equal(err.text, "callback pre_save of description part failed (Input/output error)");
    log.refuse = true;
    log.text[0] = 0;
    assert_int_equal(encode(&dev_state, &d, body, &n, &err), -EAGAIN);
    assert_string_equal(log.text, "dev.pre_save ");
    assert_string_equal(err.text, "not now");
    assert_int_equal(err.blame, GW_BLAME_EMBEDDER);
}

static void test_load_order(void **state)
{
    struct log log = {.real = NULL};
    struct dev d = {.a = 1, .b = 2, .hidden = 3, .log = &log, .part = {4, &log}}, before = d;
    struct gw_error err = GW_ERROR_INIT;
    uint8_t body[12] = {0, 0, 0, 10, 0, 0, 0, 20, 0, 0, 0, 30};

    log.real = &d;
    assert_int_equal(decode(&dev_state, 2, &d, body, 12, &err), 0);
    assert_string_equal(log.text, "dev.pre_load part.pre_load part.check dev.check part.loaded dev.loaded2 ");
    assert_false(log.saw_real);
    assert_true(d.a == 10 && d.b == 20 && d.part.v == 30 && d.hidden == 7);
    /* Version 1 has no b: what pre_load made of it is committed. */
    d = before;
    log.text[0] = 0;
    assert_int_equal(decode(&dev_state, 1, &d, body, 8, &err), 0);
    assert_true(d.a == 10 && d.b == 1000 && d.part.v == 20);
    assert_string_equal(log.text, "dev.pre_load part.pre_load part.check dev.check part.loaded dev.loaded1 ");
    /* Refused by check: not even what pre_load did stays. */
    d = before;
    gw_store_be32(body, 666);
    assert_int_equal(decode(&dev_state, 2, &d, body, 12, &err), -EPROTO);
    assert_memory_equal(&d, &before, sizeof d);
    assert_string_equal(err.text, "a is 666");
}

/* ---- pointers -----------------------------------------------------------------------------------------------------
 */

struct twice {
    uint32_t n;
    uint32_t *p; /* read as one value, and again as an array */
    uint32_t own[2];
    uint32_t *inside; /* into own */
    struct part *null;
    struct twice *self;
};

static const struct gw_field twice_fields[] = {
    GW_FIELD_POINTER(struct twice, p),         GW_FIELD(struct twice, n),
    GW_ARRAY_POINTER_N(struct twice, p, n, 4), GW_ARRAY(struct twice, own),
    GW_FIELD_POINTER(struct twice, inside),    GW_END,
};
static const struct gw_state twice_state = {.name = "twice", .version = 1, .fields = twice_fields};
static const struct gw_field null_fields[] = {GW_POINTER(struct twice, null, &part_state), GW_END};
static const struct gw_state null_state = {.name = "null", .version = 1, .fields = null_fields};

static const struct gw_field inner_fields[] = {GW_FIELD(struct twice, n), GW_ARRAY(struct twice, own), GW_END};
static const struct gw_state inner_state = {.name = "inner", .version = 1, .fields = inner_fields};
static const struct gw_field self_fields[] = {GW_FIELD_POINTER(struct twice, p),
                                              GW_POINTER(struct twice, self, &inner_state), GW_END};
static const struct gw_state self_state = {.name = "self", .version = 1, .fields = self_fields};

/* A structure that points to itself: the pointers that are followed in the copies must not get into it. */
static void test_points_to_itself(void **state)
{
    static const uint8_t body[] = {0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 5};
    uint32_t data = 77;
    struct twice t = {.p = &data, .inside = &data}, before;
    struct gw_error err = GW_ERROR_INIT;

    t.self = &t;
    before = t;
    assert_true(decode(&self_state, 1, &t, body, sizeof body - 1, &err) < 0);
    assert_memory_equal(&t, &before, sizeof t);
    assert_int_equal(data, 77);
    assert_int_equal(decode(&self_state, 1, &t, body, sizeof body, &err), 0);
    assert_true(t.p == &data && t.self == &t && t.inside == &data && !t.null);
    assert_true(t.n == 2 && data == 3 && t.own[0] == 4 && t.own[1] == 5);
}

static void test_pointers(void **state)
{
    uint32_t data[4] = {1, 2, 3, 4};
    struct twice t = {.p = data}, before;
    struct gw_error err = GW_ERROR_INIT;
    uint8_t body[4 * 7];

    t.inside = &t.own[1];
    for (uint32_t i = 0; i < 7; i++)
        gw_store_be32(body + i * 4, i == 1 ? 2 : i * 11);
    before = t;
    for (size_t cut = 0; cut < sizeof body; cut++) {
        uint8_t exact[sizeof body];

        memcpy(exact, body, cut);
        assert_true(decode(&twice_state, 1, &t, exact, cut, &err) < 0);
        assert_memory_equal(&t, &before, sizeof t);
        assert_true(data[0] == 1 && data[1] == 2);
    }
    assert_int_equal(decode(&twice_state, 1, &t, body, sizeof body, &err), 0);
    assert_ptr_equal(t.p, data);
    assert_ptr_equal(t.inside, &t.own[1]);
    assert_true(data[0] == 22 && data[1] == 33 && data[2] == 3); /* the array came last */
    assert_true(t.own[0] == 44 && t.own[1] == 66);               /* and so did the pointer into own */
    assert_int_equal(decode(&null_state, 1, &t, body, sizeof body, &err), -EINVAL);
    assert_string_equal(err.text, "field null at byte 0: the pointer is NULL");
    assert_int_equal(encode(&null_state, &t, body, &(size_t){0}, &err), -EINVAL);
}

/* ---- lists in lists ------------------------------------------------------------------------------------------------
 */

struct leaf {
    struct leaf *next;
    uint8_t v;
};

struct branch {
    struct branch *next;
    struct leaf *leaves;
    uint8_t *mark; /* made by alloc */
};

struct tree {
    struct branch *branches;
    int alive; /* elements that exist; not described */
};

struct tree_log {
    int alive;
};
static struct tree_log *tree_log; /* of the running test */

static void *leaf_first(void *p)
{
    return ((struct branch *)p)->leaves;
}
static void *leaf_next(void *p)
{
    return ((struct leaf *)p)->next;
}
static void *leaf_alloc(void *p)
{
    tree_log->alive++;
    return calloc(1, sizeof(struct leaf));
}
static void leaf_append(void *p, void *e)
{
    struct leaf **l = &((struct branch *)p)->leaves;

    while (*l)
        l = &(*l)->next;
    *l = e;
}
static void leaf_free(void *p, void *e)
{
    tree_log->alive--;
    free(e);
}
static void leaf_clear(void *p)
{
    struct branch *b = p;

    while (b->leaves) {
        struct leaf *next = b->leaves->next;

        leaf_free(b, b->leaves);
        b->leaves = next;
    }
}
static const struct gw_list_ops leaf_list = {leaf_first, leaf_next, leaf_alloc, leaf_append,
                                             leaf_clear, leaf_free, NULL,       3};

static void *branch_first(void *p)
{
    return ((struct tree *)p)->branches;
}
static void *branch_next(void *p)
{
    return ((struct branch *)p)->next;
}
static void *branch_alloc(void *p)
{
    struct branch *b = calloc(1, sizeof *b);

    b->mark = malloc(1);
    *b->mark = 9;
    tree_log->alive++;
    return b;
}
static void branch_append(void *p, void *e)
{
    struct branch **b = &((struct tree *)p)->branches;

    while (*b)
        b = &(*b)->next;
    *b = e;
}
static void branch_free(void *p, void *e)
{
    struct branch *b = e;

    leaf_clear(b);
    free(b->mark);
    tree_log->alive--;
    free(b);
}
static void branch_clear(void *p)
{
    struct tree *t = p;

    while (t->branches) {
        struct branch *next = t->branches->next;

        branch_free(t, t->branches);
        t->branches = next;
    }
}
static int branch_check(const void *p, void *const *elements, uint32_t count, struct gw_error *err)
{
    for (uint32_t i = 0; i < count; i++)
        if (*((const struct branch *)elements[i])->mark == 99)
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "branch %u is rotten", i);
    return 0;
}
static const struct gw_list_ops branch_list = {branch_first, branch_next, branch_alloc, branch_append,
                                               branch_clear, branch_free, branch_check, 3};

static const struct gw_field leaf_fields[] = {GW_FIELD(struct leaf, v), GW_END};
static const struct gw_state leaf_state = {.name = "leaf", .version = 1, .fields = leaf_fields};
static const struct gw_field branch_fields[] = {GW_LIST(struct branch, leaves, &leaf_state, &leaf_list),
                                                GW_FIELD_POINTER(struct branch, mark), GW_END};
static const struct gw_state branch_state = {.name = "branch", .version = 1, .fields = branch_fields};
static const struct gw_field tree_fields[] = {GW_LIST(struct tree, branches, &branch_state, &branch_list), GW_END};
static const struct gw_state tree_state = {.name = "tree", .version = 1, .fields = tree_fields};

static void test_lists(void **state)
{
    static const uint8_t good[] = {1, 1, 10, 1, 11, 0, 5, 1, 0, 6, 0}, more[] = {1, 1, 1, 1, 2, 1, 3, 1, 4, 0, 5, 0};
    struct tree t = {NULL, 0};
    struct tree_log log = {0};
    struct gw_error err = GW_ERROR_INIT;
    uint8_t body[sizeof good];
    size_t n;

    tree_log = &log;
    assert_int_equal(decode(&tree_state, 1, &t, good, sizeof good, &err), 0);
    assert_int_equal(log.alive, 4);
    assert_true(t.branches->leaves->v == 10 && t.branches->leaves->next->v == 11 && *t.branches->mark == 5);
    assert_true(!t.branches->next->leaves && *t.branches->next->mark == 6);
    assert_int_equal(encode(&tree_state, &t, body, &n, &err), 0);
    assert_int_equal(n, sizeof good);
    assert_memory_equal(body, good, n);
    for (size_t cut = 0; cut < sizeof good; cut++) {
        struct branch *branches = t.branches;

        assert_true(decode(&tree_state, 1, &t, good, cut, &err) < 0);
        assert_ptr_equal(t.branches, branches);
        assert_int_equal(log.alive, 4);
    }
    body[6] = 99;
    assert_int_equal(decode(&tree_state, 1, &t, body, n, &err), -EPROTO);
    assert_string_equal(err.text, "branch 0 is rotten");
    assert_int_equal(decode(&tree_state, 1, &t, more, sizeof more, &err), -EPROTO);
    assert_string_equal(err.text, "field branches[0].leaves[3] at byte 7: more than 3 elements");
    body[3] = 2;
    assert_int_equal(decode(&tree_state, 1, &t, body, n, &err), -EPROTO);
    assert_string_equal(err.text, "field branches[0].leaves[1] at byte 3: 0x02 is neither an element nor the end mark");
    assert_int_equal(log.alive, 4);
    assert_int_equal(decode(&tree_state, 1, &t, "", 1, &err), 0);
    assert_int_equal(log.alive, 0);
    assert_null(t.branches);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_save_order),       cmocka_unit_test(test_load_order), cmocka_unit_test(test_pointers),
        cmocka_unit_test(test_points_to_itself), cmocka_unit_test(test_lists),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
