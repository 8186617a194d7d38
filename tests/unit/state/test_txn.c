/* SPDX-License-Identifier: MIT
 *
 * A load that happens or does not: what is written at a commit and what is not, pointers that lead to copies meanwhile, lists,
 * and every allocation that fails.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "state/txn.h"

#define FAILING_COUNTDOWN
#include "../../failing.h"

void *__real_aligned_alloc(size_t align, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n)
{
    return fails() ? NULL : __real_aligned_alloc(align, n);
}

struct device {
    uint32_t a, b;
    uint8_t bytes[200];
    struct device *next;
};

static void test_region(void **state)
{
    for (int commit = 0; commit < 2; commit++) {
        struct device d = {.a = 1, .b = 2, .bytes = {3}}, before = d, *copy;
        struct gw_txn txn = {0};

        assert_int_equal(gw_txn_region(&txn, &d, sizeof d, (void **)&copy), 0);
        assert_ptr_not_equal(copy, &d);
        assert_int_equal((uintptr_t)copy % 64, 0);
        assert_memory_equal(copy, &d, sizeof d);
        assert_ptr_equal(gw_txn_real(&txn, copy), &d);
        assert_ptr_equal(gw_txn_real(&txn, &copy->bytes[199]), &d.bytes[199]);
        assert_ptr_equal(gw_txn_real(&txn, &d), &d);
        assert_null(gw_txn_real(&txn, NULL));
        copy->a = 10;
        copy->bytes[199] = 99;
        assert_memory_equal(&d, &before, sizeof d);
        if (commit) {
            gw_txn_commit(&txn);
            assert_int_equal(d.a, 10);
            assert_int_equal(d.b, 2);
            assert_int_equal(d.bytes[199], 99);
        } else {
            gw_txn_abort(&txn);
            assert_memory_equal(&d, &before, sizeof d);
        }
        assert_null(txn.regions);
        assert_int_equal(txn.region_count, 0);
    }
}

/* Bytes that nothing changed are not written: what somebody else wrote meanwhile stays. */
static void test_unchanged(void **state)
{
    for (size_t at = 0; at < 300; at += 7) {
        uint8_t real[300], *copy;
        struct gw_txn txn = {0};

        memset(real, 1, sizeof real);
        assert_int_equal(gw_txn_region(&txn, real, sizeof real, (void **)&copy), 0);
        copy[at] = 2;
        copy[299] = 5;
        memset(real, 9, sizeof real);
        gw_txn_commit(&txn);
        for (size_t i = 0; i < sizeof real; i++)
            assert_int_equal(real[i], i == 299 ? 5 : i == at ? 2 : 9);
    }
}

static void test_no_bytes(void **state)
{
    struct gw_txn txn = {0};
    char real = 'r';
    void *copy;

    assert_int_equal(gw_txn_region(&txn, &real, 0, &copy), 0);
    assert_ptr_equal(gw_txn_real(&txn, copy), &real);
    gw_txn_commit(&txn);
    assert_int_equal(real, 'r');
    gw_txn_commit(&txn); /* of nothing */
    gw_txn_abort(&txn);
}

/* Pointers lead to copies in copies, and to the real things afterwards, however it ends. */
static void test_pointers(void **state)
{
    for (int commit = 0; commit < 2; commit++) {
        struct device inner = {.a = 5}, outer = {.a = 1, .next = &inner}, *copy, *copied;
        struct gw_txn txn = {0};

        assert_int_equal(gw_txn_region(&txn, &outer, sizeof outer, (void **)&copy), 0);
        assert_int_equal(gw_txn_pointee(&txn, (void **)&copy->next, sizeof inner, (void **)&copied), 0);
        assert_ptr_equal(copy->next, copied);
        assert_ptr_not_equal(copied, &inner);
        assert_ptr_equal(outer.next, &inner);
        copied->a = 6;
        copy->a = 2;
        if (commit)
            gw_txn_commit(&txn);
        else
            gw_txn_abort(&txn);
        assert_ptr_equal(outer.next, &inner);
        assert_int_equal(outer.a, commit ? 2 : 1);
        assert_int_equal(inner.a, commit ? 6 : 5);
    }
}

/* The same memory described twice, whole and in part, and a structure that points at itself: the later has what the earlier
 * was changed to, and both are written. */
static void test_twice(void **state)
{
    struct device d = {.a = 1, .b = 2}, *first, *self;
    struct gw_txn txn = {0};
    uint32_t *part;

    d.next = &d;
    assert_int_equal(gw_txn_region(&txn, &d, sizeof d, (void **)&first), 0);
    first->b = 20;
    assert_int_equal(gw_txn_region(&txn, &d.b, sizeof d.b, (void **)&part), 0);
    assert_int_equal(*part, 20);
    *part = 21;
    assert_int_equal(gw_txn_pointee(&txn, (void **)&first->next, sizeof d, (void **)&self), 0);
    assert_int_equal(self->b, 21);
    assert_ptr_equal(self->next, &d); /* not the copy */
    self->a = 11;
    gw_txn_commit(&txn);
    assert_int_equal(d.a, 11);
    assert_int_equal(d.b, 21);
    assert_ptr_equal(d.next, &d);
}

/* ---- lists and hooks ------------------------------------------------------------------------------------------------ */

struct element {
    struct element *next;
    int number;
};

static struct owner {
    struct element *head;
    unsigned made, freed, cleared;
    char order[64];
} owner;

static void note(const char *what, int number)
{
    size_t n = strlen(owner.order);

    snprintf(owner.order + n, sizeof owner.order - n, "%s%d ", what, number);
}

static void *alloc(void *device)
{
    struct element *e = fails() ? NULL : __real_malloc(sizeof *e);

    assert_ptr_equal(device, &owner);
    if (e)
        *e = (struct element){.number = (int)owner.made++};
    return e;
}

static void append(void *device, void *element)
{
    struct element **at = &owner.head;

    while (*at)
        at = &(*at)->next;
    *at = element;
    note("append", ((struct element *)element)->number);
}

static void clear(void *device)
{
    owner.cleared++;
    while (owner.head) {
        struct element *e = owner.head;

        owner.head = e->next;
        free(e);
    }
}

static void free_element(void *device, void *element)
{
    note("free", ((struct element *)element)->number);
    owner.freed++;
    free(element);
}

static const struct gw_list_ops list_ops = {.alloc = alloc, .append = append, .clear = clear, .free_element = free_element};

static void loaded(void *device, uint32_t version)
{
    assert_ptr_equal(device, &owner);
    note("loaded", (int)version);
}

static const struct gw_state with_hook = {.name = "owner", .loaded = loaded};

static void test_lists(void **state)
{
    for (int commit = 0; commit < 2; commit++) {
        struct gw_txn txn = {0};
        struct owner *copy;
        struct element *e;
        uint32_t list;

        memset(&owner, 0, sizeof owner);
        owner.head = __real_malloc(sizeof *owner.head);
        *owner.head = (struct element){.number = 77};
        /* Whoever looks at the copy sees the old list. */
        assert_int_equal(gw_txn_region(&txn, &owner, sizeof owner, (void **)&copy), 0);
        assert_int_equal(gw_txn_list(&txn, &list_ops, copy, &list), 0);
        for (unsigned i = 0; i < 20; i++)
            assert_int_equal(gw_txn_element(&txn, list, (void **)&e), 0);
        assert_int_equal(gw_txn_loaded(&txn, &with_hook, copy, 3), 0);
        assert_int_equal(owner.head->number, 77);
        owner.order[0] = copy->order[0] = 0;
        memset(copy->order, 0, sizeof copy->order);
        if (commit) {
            gw_txn_commit(&txn);
            assert_int_equal(owner.cleared, 1);
            assert_int_equal(owner.freed, 0);
            assert_int_equal(strncmp(owner.order, "append0 append1 append2 ", 24), 0);
            unsigned n = 0;
            for (e = owner.head; e; e = e->next)
                assert_int_equal(e->number, n++);
            assert_int_equal(n, 20);
        } else {
            gw_txn_abort(&txn);
            assert_int_equal(owner.cleared, 0);
            assert_int_equal(owner.freed, 20);
            assert_int_equal(owner.head->number, 77);
            /* The last that was made goes first. */
            assert_int_equal(strncmp(owner.order, "free19 free18 ", 14), 0);
        }
        clear(NULL);
    }
}

/* Hooks are called when all is written, in the order in which they were noted. */
static void test_hooks(void **state)
{
    struct gw_txn txn = {0};

    memset(&owner, 0, sizeof owner);
    for (uint32_t i = 0; i < 9; i++)
        assert_int_equal(gw_txn_loaded(&txn, &with_hook, &owner, i), 0);
    gw_txn_abort(&txn);
    assert_string_equal(owner.order, "");
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(gw_txn_loaded(&txn, &with_hook, &owner, i), 0);
    gw_txn_commit(&txn);
    assert_string_equal(owner.order, "loaded0 loaded1 loaded2 ");
}

static int everything(struct gw_txn *txn, struct device *d)
{
    struct device *copy, *next;
    struct element *e;
    uint32_t list = 0;
    int r = gw_txn_region(txn, d, sizeof *d, (void **)&copy);

    if (r >= 0)
        copy->a = 100;
    if (r >= 0)
        r = gw_txn_pointee(txn, (void **)&copy->next, sizeof *d, (void **)&next);
    if (r >= 0)
        next->a = 200;
    if (r >= 0)
        r = gw_txn_list(txn, &list_ops, &owner, &list);
    for (unsigned i = 0; r >= 0 && i < 10; i++)
        r = gw_txn_element(txn, list, (void **)&e);
    for (unsigned i = 0; r >= 0 && i < 10; i++)
        r = gw_txn_loaded(txn, &with_hook, &owner, i);
    return r;
}

/* Each allocation fails once: what was made before is given back, and nothing was written. */
static void test_nomem(void **state)
{
    for (unsigned n = 1;; n++) {
        struct device inner = {.a = 2}, d = {.a = 1, .next = &inner};
        struct gw_txn txn = {0};
        bool hit;
        int r;

        memset(&owner, 0, sizeof owner);
        countdown = n;
        r = everything(&txn, &d);
        hit = countdown == 0;
        countdown = 0;
        if (!hit) {
            assert_int_equal(r, 0);
            assert_true(n > 10);
            gw_txn_commit(&txn);
            assert_int_equal(d.a, 100);
            assert_int_equal(inner.a, 200);
            clear(NULL);
            return;
        }
        assert_int_equal(r, -ENOMEM);
        gw_txn_abort(&txn);
        assert_int_equal(d.a, 1);
        assert_int_equal(inner.a, 2);
        assert_ptr_equal(d.next, &inner);
        assert_int_equal(owner.made, owner.freed);
        assert_null(owner.head);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_region), cmocka_unit_test(test_unchanged), cmocka_unit_test(test_no_bytes),
        cmocka_unit_test(test_pointers), cmocka_unit_test(test_twice),   cmocka_unit_test(test_lists),
        cmocka_unit_test(test_hooks),  cmocka_unit_test(test_nomem),
    };

    return cmocka_run_group_tests_name("txn", tests, NULL, NULL);
}
