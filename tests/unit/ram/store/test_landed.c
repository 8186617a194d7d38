/* SPDX-License-Identifier: MIT
 *
 * Who takes the marks of a landed store knows every page as it is; what changes nothing is not told.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "ram/store/direct.h"
#include "ram/store/landed.h"

#define PAGES 130u
#define PAGE  4096u

struct rig {
    struct gw_ram ram;
    struct gw_ram_block *b;
    struct gw_store *store;
    uint8_t *host;
    uint64_t *landed;
    atomic_bool over; /* the last page has arrived */
};

static int map(void *opaque, struct gw_ram_block *b, uint64_t **ret_map, struct gw_error *err)
{
    *ret_map = ((struct rig *)opaque)->landed;
    return 0;
}

static void rig_open(struct rig *rig, unsigned flags)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_ram_desc desc = {.name = "r", .used_bytes = PAGES * PAGE, .flags = flags};

    rig->host = aligned_alloc(PAGE, PAGES * PAGE);
    memset(rig->host, 0, PAGES * PAGE);
    desc.host = rig->host;
    assert_int_equal(gw_ram_init(&rig->ram, PAGE, NULL, &err), 0);
    assert_int_equal(gw_ram_add(&rig->ram, &desc, &err), 0);
    rig->b = gw_ram_find(&rig->ram, "r");
    rig->landed = gw_bitmap_new(PAGES);
    assert_int_equal(gw_store_direct_new(&rig->ram, &rig->store, &err), 0);
    assert_int_equal(gw_store_landed_new(rig->store, map, rig, &rig->store, &err), 0);
    assert_int_equal(rig->store->add(rig->store, rig->b, &err), 0);
}

static void rig_close(struct rig *rig)
{
    rig->store->free(rig->store);
    gw_bitmap_free(rig->landed, PAGES);
    gw_ram_close(&rig->ram);
    free(rig->host);
}

static bool taken(struct rig *rig, uint64_t page)
{
    return gw_bitmap_take_word_atomic(rig->landed, page / 64) >> page % 64 & 1;
}

static void marks(void **state)
{
    struct rig rig;

    rig_open(&rig, GW_RAM_FRESH);
    assert_int_equal(rig.store->zero(rig.store, rig.b, 3, NULL), 0); /* was zeros, is zeros */
    assert_false(taken(&rig, 3));
    memset(rig.store->where(rig.store, rig.b, 70, GW_STORE_OVERWRITE), 5, PAGE); /* a guess: nothing has arrived */
    assert_false(taken(&rig, 70));
    rig.store->unguess(rig.store, rig.b, 70);
    assert_false(taken(&rig, 70));
    assert_int_equal(rig.host[70 * PAGE], 0);
    memset(rig.store->where(rig.store, rig.b, 70, GW_STORE_OVERWRITE), 6, PAGE);
    assert_int_equal(rig.store->place(rig.store, rig.b, 70, NULL), 0);
    assert_int_equal(rig.store->missing(rig.store, rig.b), PAGES - 2);
    assert_true(taken(&rig, 70));
    assert_false(taken(&rig, 70));
    assert_int_equal(rig.store->place(rig.store, rig.b, 70, NULL), 0); /* again */
    assert_true(taken(&rig, 70));
    assert_int_equal(rig.store->zero(rig.store, rig.b, 70, NULL), 0);
    assert_true(taken(&rig, 70));
    assert_int_equal(rig.host[70 * PAGE], 0);
    assert_int_equal(rig.store->open(rig.store, rig.b, 70, PAGES), 71);
    rig.store->expect(rig.store, rig.b, 100, 20);
    assert_int_equal(gw_bitmap_count(rig.landed, PAGES), 0);
    rig_close(&rig);
}

/* Contents that were there before are overwritten by zeros that came first. */
static void not_fresh(void **state)
{
    struct rig rig;

    rig_open(&rig, 0);
    memset(rig.host, 7, PAGES * PAGE);
    assert_int_equal(rig.store->zero(rig.store, rig.b, 129, NULL), 0);
    assert_true(taken(&rig, 129));
    assert_int_equal(rig.host[129 * PAGE], 0);
    rig_close(&rig);
}

/* ---- two threads ------------------------------------------------------------------------------------------------- */

#define ROUNDS 20000u

static void *arrive(void *opaque)
{
    struct rig *rig = opaque;

    for (uint32_t i = 1; i <= ROUNDS; i++) {
        uint64_t page = i * 7919 % PAGES;

        __atomic_store_n((uint32_t *)rig->store->where(rig->store, rig->b, page, GW_STORE_OVERWRITE), i,
                         __ATOMIC_RELAXED);
        rig->store->place(rig->store, rig->b, page, NULL);
    }
    atomic_store(&rig->over, true);
    return NULL;
}

static void last_contents_are_seen(void **state)
{
    uint32_t seen[PAGES] = {0};
    struct rig rig;
    pthread_t thread;
    bool over, any;

    rig_open(&rig, GW_RAM_FRESH);
    pthread_create(&thread, NULL, arrive, &rig);
    do {
        over = atomic_load(&rig.over);
        any = false;
        for (size_t w = 0; w < gw_bitmap_words(PAGES); w++) {
            uint64_t word = gw_bitmap_take_word_atomic(rig.landed, w);

            any |= word != 0;
            for (; word; word &= word - 1) {
                uint64_t page = w * 64 + (unsigned)__builtin_ctzll(word);

                seen[page] = __atomic_load_n((uint32_t *)(rig.host + page * PAGE), __ATOMIC_RELAXED);
            }
        }
    } while (!over || any);
    pthread_join(thread, NULL);
    for (uint64_t page = 0; page < PAGES; page++)
        assert_int_equal(seen[page], *(uint32_t *)(rig.host + page * PAGE));
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(marks),
        cmocka_unit_test(not_fresh),
        cmocka_unit_test(last_contents_are_seen),
    };

    return cmocka_run_group_tests_name("landed", tests, NULL, NULL);
}
