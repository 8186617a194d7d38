/* SPDX-License-Identifier: MIT
 *
 * The calling side, over a node that insists on blocks.
 */
#include "property.h"

#include <sched.h>

static struct {
    const struct gw_node_ops *real;
    struct gw_node_ops ops;
    unsigned block;
    bool slow;
    _Atomic bool wrong, undone;
    _Atomic unsigned threads;
} strict;

static void look(const struct gw_node *n, uint64_t bytes, uint64_t offset)
{
    if (!bytes || offset % strict.block || (bytes % strict.block && offset + bytes != n->bytes) ||
        offset + bytes > n->bytes)
        strict.wrong = true;
}

static int strict_read(struct gw_node *n, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    struct gw_node_run run;
    int r;

    look(n, bytes, offset);
    strict.real->find(n, bytes, offset, &run, err);
    if (n->backing && run.kind == GW_DISK_ABSENT)
        strict.wrong = true;
    r = strict.real->read(n, to, bytes, offset, err);
    for (unsigned i = 0; i < 20 && strict.slow; i++) /* so that another write may come before that of the block */
        sched_yield();
    return r;
}

static int strict_write(struct gw_node *n, const void *from, uint64_t bytes, uint64_t offset, unsigned flags,
                        struct gw_error *err)
{
    look(n, bytes, offset);
    return strict.real->write(n, from, bytes, offset, flags, err);
}

static int strict_zero(struct gw_node *n, uint64_t bytes, uint64_t offset, unsigned flags, struct gw_error *err)
{
    look(n, bytes, offset);
    return strict.real->zero(n, bytes, offset, flags, err);
}

static int strict_discard(struct gw_node *n, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    look(n, bytes, offset);
    return strict.real->discard(n, bytes, offset, err);
}

static int strict_find(struct gw_node *n, uint64_t bytes, uint64_t offset, struct gw_node_run *ret,
                       struct gw_error *err)
{
    look(n, bytes, offset);
    return strict.real->find(n, bytes, offset, ret, err);
}

static struct gw_node *strict_new(uint64_t bytes, uint32_t block)
{
    struct gw_node *n = gw_node_memory(bytes, 4096);

    assert_non_null(n);
    strict.real = n->ops;
    strict.ops = *n->ops;
    strict.ops.read = strict_read;
    strict.ops.write = strict_write;
    strict.ops.zero = strict_zero;
    strict.ops.discard = strict_discard;
    strict.ops.find = strict_find;
    strict.block = block;
    strict.wrong = false;
    strict.slow = false;
    n->ops = &strict.ops;
    n->request_bytes = block;
    return n;
}

static void test_blocks(void **state)
{
    static const uint64_t sizes[] = {65536, 100001, 300};

    for (unsigned i = 0; i < 6; i++) {
        struct gw_node *n = strict_new(sizes[i % 3], i < 3 ? 512 : 4096);
        uint8_t *array = calloc(1, n->bytes);

        node_property(n, array, 100 + i, 500);
        node_refuses_what_is_not_in_it(n);
        assert_false(strict.wrong);
        gw_node_free(n, NULL);
        free(array);
    }
}

/* As a migration sees it: what is absent here is zeros, unless there is something below. */
static void test_look(void **state)
{
    struct gw_node *n = gw_node_memory(65536, 4096);
    struct gw_disk_run run;

    assert_int_equal(gw_node_write(n, "x", 1, 8192, 0, NULL), 0);
    assert_int_equal(gw_node_look(n, 65536, 0, &run, NULL), 0);
    assert_int_equal(run.kind, GW_DISK_ZERO);
    assert_int_equal(run.bytes, 8192);
    assert_int_equal(gw_node_look(n, 65536 - 8192, 8192, &run, NULL), 0);
    assert_int_equal(run.kind, GW_DISK_DATA);
    n->backing = gw_node_memory(65536, 4096);
    assert_int_equal(gw_node_look(n, 65536, 0, &run, NULL), 0);
    assert_int_equal(run.kind, GW_DISK_ABSENT);
    assert_int_equal(gw_node_look(n, 1, 65536, &run, NULL), -EINVAL);
    gw_node_free(n, NULL);
}

static void test_blocks_over_a_backing(void **state)
{
    struct gw_node *base = gw_node_memory(70000, 512), *n = strict_new(100001, 1024);
    uint8_t *array = calloc(1, 100001);

    node_property(base, array, 3, 100);
    n->backing = base;
    node_property(n, array, 4, 1000);
    assert_false(strict.wrong);
    gw_node_free(n, NULL);
    free(array);
}

/* Two threads write the two halves of the same blocks; neither may undo the other. */
struct half {
    struct gw_node *n;
    unsigned which;
};

static void *write_half(void *arg)
{
    const struct half *h = arg;
    uint8_t part[256];

    for (strict.threads++; strict.threads < 2;)
        sched_yield();
    for (unsigned round = 1; round <= 200; round++) {
        memset(part, (int)round, sizeof part);
        for (unsigned b = 0; b < 4; b++) {
            uint8_t back[256];

            gw_node_write(h->n, part, sizeof part, b * 512 + h->which * 256, 0, NULL);
            gw_node_read(h->n, back, sizeof back, b * 512 + h->which * 256, NULL);
            if (memcmp(back, part, sizeof part) != 0)
                strict.undone = true;
        }
    }
    return NULL;
}

static void test_parts_of_a_block_at_once(void **state)
{
    struct gw_node *n = strict_new(2048, 512);
    struct half half[2] = {{n, 0}, {n, 1}};
    pthread_t thread[2];
    uint8_t room[2048];

    strict.slow = true;
    strict.threads = 0;
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, write_half, &half[i]), 0);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    assert_false(strict.undone);
    assert_int_equal(gw_node_read(n, room, sizeof room, 0, NULL), 0);
    for (unsigned i = 0; i < sizeof room; i++)
        assert_int_equal(room[i], 200);
    gw_node_free(n, NULL);
}

static void test_what_is_refused(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_node *n = gw_node_memory(8192, 4096);
    struct gw_node_ops ops = *n->ops;
    const struct gw_node_ops *real = n->ops;

    gw_node_use(n);
    assert_int_equal(gw_node_resize(n, 4096, &err), -EBUSY);
    assert_non_null(strstr(err.text, "in use"));
    gw_node_unuse(n);
    assert_int_equal(gw_node_resize(n, 4096, &err), 0);
    n->read_only = true;
    assert_int_equal(gw_node_write(n, "x", 1, 0, 0, &err), -EROFS);
    assert_int_equal(gw_node_zero(n, 1, 0, 0, &err), -EROFS);
    assert_int_equal(gw_node_discard(n, 4096, 0, &err), -EROFS);
    assert_int_equal(gw_node_resize(n, 8192, &err), -EROFS);
    assert_int_equal(gw_node_flush(n, &err), 0);
    n->read_only = false;
    ops.resize = NULL;
    ops.discard = NULL;
    n->ops = &ops;
    assert_int_equal(gw_node_resize(n, 8192, &err), -ENOTSUP);
    assert_int_equal(gw_node_discard(n, 4096, 0, &err), 0);
    n->ops = real;
    assert_int_equal(gw_node_free(n, &err), 0);
    assert_int_equal(gw_node_free(NULL, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_look), cmocka_unit_test(test_blocks_over_a_backing),
        cmocka_unit_test(test_parts_of_a_block_at_once),
        cmocka_unit_test(test_what_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
