/* SPDX-License-Identifier: MIT */
#include "model.h"

static uint8_t *zeros(size_t bytes)
{
    return memset(aligned_alloc(PAGE, bytes), 0, bytes);
}

static void add_blocks(struct model *m)
{
    static const uint64_t pages[MODEL_BLOCKS] = {37, 4096, 9000};

    for (unsigned i = 0; i < MODEL_BLOCKS; i++) {
        void *p = mmap(NULL, pages[i] * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        assert_ptr_not_equal(p, MAP_FAILED);
        model_add(m, p, pages[i], 0);
    }
    m->marks = true;
}

static void unmap_all(struct model *m)
{
    for (unsigned i = 0; i < MODEL_BLOCKS; i++)
        munmap(m->mem[i], m->pages[i] * PAGE);
}

static void test_explicit(void **state)
{
    struct model m;

    model_init(&m, 4711);
    add_blocks(&m);
    must(gw_tracker_explicit_new(&m.ram, &m.tracker, err));
    model_write(&m, &m.random); /* marks before start do no harm */
    model_rounds(&m, MODEL_ROUNDS(3000), 40, 25);
    model_concurrent(&m, 30, 8, 3);
    model_close(&m);
    unmap_all(&m);
}

/* Blocks may be added between two sessions, marks come while there is none. */
static void test_grows(void **state)
{
    struct model m;
    uint8_t *p = zeros(3 * 100 * PAGE);
    uint64_t found;

    model_init(&m, 3);
    m.marks = true;
    must(gw_tracker_explicit_new(&m.ram, &m.tracker, err));
    for (unsigned i = 0; i < 3; i++) {
        model_add(&m, p + i * 100 * PAGE, 100, 0);
        gw_tracker_mark(m.tracker, m.ram.blocks[i], 3, 4);
        must(gw_tracker_start(m.tracker, NULL, err));
        for (unsigned k = 0; k <= i; k++) {
            must(gw_tracker_drop(m.tracker, m.ram.blocks[k], 0, 100, &found, err));
            assert_int_equal(found, 100);
        }
        assert_int_equal(model_sync(&m), 0); /* what was marked before is forgotten: all was dirty at the start */
        gw_tracker_mark(m.tracker, m.ram.blocks[i], 98, 40);
        assert_int_equal(model_sync(&m), 2); /* cut at the end */
        model_finish(&m);
        gw_tracker_stop(m.tracker);
        gw_tracker_mark(m.tracker, m.ram.blocks[0], 0, 100);
    }
    model_close(&m);
    free(p);
}

/* A large block gets the number of a small one that was removed between two sessions. */
static void test_removed(void **state)
{
    struct model m;
    uint8_t *p = zeros(401 * PAGE);
    uint64_t found;

    model_init(&m, 3);
    must(gw_tracker_explicit_new(&m.ram, &m.tracker, err));
    model_add(&m, p, 1, 0);
    model_add(&m, p + PAGE, 400, 0);
    for (unsigned i = 0; i < 2; i++) {
        must(gw_tracker_start(m.tracker, NULL, err));
        must(gw_tracker_drop(m.tracker, m.ram.blocks[1 - i], 0, 400, &found, err));
        gw_tracker_mark(m.tracker, m.ram.blocks[1 - i], 300, 7);
        must(gw_tracker_sync(m.tracker, &found, err));
        assert_int_equal(found, 7);
        gw_tracker_stop(m.tracker);
        if (!i)
            gw_ram_remove(&m.ram, m.ram.blocks[0]);
    }
    model_close(&m);
    free(p);
}

static void test_discarded(void **state)
{
    struct model m;
    uint8_t *p = zeros(1 * 300 * PAGE);
    struct gw_ram_block *b;
    uint64_t naive, found, map[5];

    model_init(&m, 3);
    model_add(&m, p, 300, 0);
    b = m.ram.blocks[0];
    b->discarded = gw_bitmap_new(300);
    must(gw_tracker_explicit_new(&m.ram, &m.tracker, err));
    for (unsigned n = 0; n < 500; n++) {
        uint64_t r = model_random(&m.random), first = r % 300, pages = (r >> 16) % (301 - first);

        gw_bitmap_clear_range(b->discarded, 0, 300);
        for (unsigned i = 0; i < r >> 60; i++) {
            uint64_t at = model_random(&m.random) % 280;

            gw_bitmap_set_range(b->discarded, at, model_random(&m.random) % 20);
        }
        must(gw_tracker_start(m.tracker, NULL, err));
        assert_int_equal(gw_bitmap_count(b->dirty, 300), 300 - gw_bitmap_count(b->discarded, 300));
        must(gw_tracker_drop(m.tracker, b, 0, 300, &found, err));
        naive = 0;
        for (uint64_t i = first; i < first + pages; i++)
            naive += !gw_bitmap_test(b->discarded, i);
        if (n % 2) { /* as a range, and as a map */
            assert_int_equal(gw_tracker_found(m.tracker, b, first, pages, true), naive);
        } else {
            memset(map, 0, sizeof map);
            gw_bitmap_set_range(map, first, pages);
            map[4] |= ~0ull << (300 % 64); /* beyond the end: ignored */
            assert_int_equal(gw_tracker_found_map(m.tracker, b, 0, 300, map, true), naive);
        }
        for (uint64_t i = 0; i < 300; i++)
            assert_int_equal(gw_bitmap_test(b->dirty, i),
                             i >= first && i < first + pages && !gw_bitmap_test(b->discarded, i));
        assert_int_equal(b->dirty[4] >> (300 % 64), 0);
        gw_tracker_stop(m.tracker);
    }
    model_close(&m);
    free(p);
}

static void test_misuse(void **state)
{
    struct gw_error e = GW_ERROR_INIT;
    struct gw_tracker_config config = {.kind = (enum gw_tracker_kind)77};
    uint8_t *p = zeros(1 * 10 * PAGE);
    uint64_t n = 5;
    struct model m;

    model_init(&m, 3);
    model_add(&m, p, 10, 0);
    assert_int_equal(gw_tracker_new(&m.ram, &config, &m.tracker, &e), -EINVAL);
    assert_null(m.tracker);
    config.kind = GW_TRACKER_EXPLICIT;
    must(gw_tracker_new(&m.ram, &config, &m.tracker, err));
    assert_string_equal(m.tracker->ops->name, "explicit");
    assert_int_equal(gw_tracker_sync(m.tracker, &n, &e), -EINVAL);
    assert_int_equal(gw_tracker_clean(m.tracker, m.ram.blocks[0], 0, &n, &e), -EINVAL);
    must(gw_tracker_start(m.tracker, NULL, err));
    assert_int_equal(gw_tracker_start(m.tracker, NULL, &e), -EBUSY);
    assert_int_equal(gw_tracker_clean(m.tracker, m.ram.blocks[0], 10, &n, &e), -EINVAL);
    assert_int_equal(gw_tracker_drop(m.tracker, m.ram.blocks[0], 5, 6, &n, &e), -EINVAL);
    assert_int_equal(gw_tracker_drop(m.tracker, m.ram.blocks[0], 5, UINT64_MAX, &n, &e), -EINVAL);
    assert_int_equal(n, 5);
    gw_tracker_mark(NULL, m.ram.blocks[0], 0, 1);
    must(gw_tracker_ring_full(NULL, err));
    must(gw_tracker_ring_full(m.tracker, err));
    assert_null(gw_tracker_free(NULL));
    model_close(&m);
    free(p);
}

static void test_auto(void **state)
{
    struct gw_tracker_config config = {.kind = GW_TRACKER_AUTO};
    struct gw_error e = GW_ERROR_INIT;
    struct gw_tracker *t = NULL;
    struct gw_ram ram = {0};

    if (gw_tracker_new(&ram, &config, &t, &e) == 0) {
        assert_string_equal(t->ops->name, "pagemap");
        assert_true(t->reason[0]);
        gw_tracker_free(t);
    } else {
        assert_true(e.text[0]); /* says why */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_explicit, model_clean_up),
        cmocka_unit_test(test_grows),
        cmocka_unit_test(test_removed),
        cmocka_unit_test(test_discarded),
        cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_auto),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
