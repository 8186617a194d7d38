/* SPDX-License-Identifier: MIT
 *
 * Memory of a machine that runs here: pages come from the memory itself and go straight to it, and what a kernel cannot do is
 * told before anything is promised.
 */
#include "rig.h"

#include <sched.h>
#include <sys/mman.h>

#include "engine/guest.h"
#include "ram/page/ops.h"
#include "ram/source/watch.h"
#include "ram/store/uffd.h"

static struct gw_error err;

static void test_source(void **state)
{
    struct gw_source *source = NULL;
    struct gw_tracker *tracker;

    assert_int_equal(rig.vm->guest->source(rig.vm, true, &source, &err), 0);
    assert_false(source->once); /* pages may change again */
    assert_int_equal(gw_vm_tracker(rig.vm, &tracker, &err), 0);
    source->free(source);
    assert_false(rig.vm->guest->at_rest);
}

/* Whether there can be a snapshot is what the kernel says of this memory. */
static void test_snapshot(void **state)
{
    struct gw_source *source = NULL;

    assert_int_equal(rig.vm->guest->can_snapshot(rig.vm, &err), gw_watch_probe(&rig.vm->ram, NULL));
    assert_int_equal(rig.vm->guest->snapshot(rig.vm, NULL, &source, &err), 0);
    source->free(source);
}

static void test_store(void **state)
{
    struct gw_store *store = NULL;
    struct gw_ram_block *b = rig.vm->ram.blocks[0];

    assert_int_equal(rig.vm->guest->store(rig.vm, &store, &err), 0);
    assert_int_equal(store->add(store, b, &err), 0);
    assert_ptr_equal(store->where(store, b, 3, GW_STORE_OVERWRITE), rig.ram + 3 * RIG_PAGE);
    assert_int_equal(store->zero(store, b, 3, &err), 0);
    assert_int_equal(rig.ram[3 * RIG_PAGE], 0);
    assert_int_equal(rig.ram[4 * RIG_PAGE], 1);
    store->free(store);
}

/* Only anonymous memory and some file systems can be waited for: pages of an ordinary file that is mapped cannot. */
static void test_memory_that_cannot_follow(void **state)
{
    static const struct gw_guest_asks asks = {0};
    struct gw_store *store = NULL;
    FILE *f = fopen("/proc/self/exe", "r");
    struct gw_ram_desc d = {.name = "rom", .used_bytes = RIG_PAGE, .gpa = 0x1000000};

    assert_non_null(f);
    d.host = mmap(NULL, RIG_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fileno(f), 0);
    fclose(f);
    assert_ptr_not_equal(d.host, MAP_FAILED);
    assert_int_equal(gw_vm_add_ram(rig.vm, &d, &err), 0);
    assert_true(rig.vm->guest->store_following(rig.vm, &asks, &store, &err) < 0);
    assert_ptr_equal(strstr(err.text, "capability postcopy-ram: "), err.text);
    assert_null(store);
    rig.vm = gw_vm_free(rig.vm);
    munmap(d.host, RIG_PAGE);
}

static _Atomic uint64_t asked;

static void ask(void *opaque, const struct gw_ram_block *b, uint64_t offset, uint64_t bytes)
{
    assert_ptr_equal(opaque, &asked);
    assert_string_equal(b->name, "ram");
    atomic_store(&asked, offset);
}

static void *touch(void *arg)
{
    return (void *)(uintptr_t) * (volatile uint8_t *)arg;
}

/* Who touches a page that has not come is heard by those that the session named. */
static void test_store_following(void **state)
{
    const struct gw_guest_asks asks = {.ask = ask, .opaque = &asked};
    struct gw_ram_block *b = rig.vm->ram.blocks[0];
    struct gw_store *store = NULL;
    pthread_t thread;
    void *saw;

    if (gw_uffd_probe(&rig.vm->ram, &err) < 0) {
        print_message("%s\n", err.text);
        skip();
    }
    asked = 0;
    assert_int_equal(rig.vm->guest->store_following(rig.vm, &asks, &store, &err), 0);
    assert_int_equal(store->add(store, b, &err), 0);
    assert_int_equal(gw_uffd_discard(store, b, 5, 1, &err), 0);
    assert_int_equal(gw_uffd_listen(store, &err), 0);
    assert_int_equal(pthread_create(&thread, NULL, touch, rig.ram + 5 * RIG_PAGE), 0);
    while (!atomic_load(&asked))
        sched_yield();
    assert_int_equal(asked, 5 * RIG_PAGE);
    memset(store->where(store, b, 5, GW_STORE_OVERWRITE), 0x55, RIG_PAGE);
    assert_int_equal(store->place(store, b, 5, &err), 0);
    pthread_join(thread, &saw);
    assert_int_equal((uintptr_t)saw, 0x55);
    assert_int_equal(gw_uffd_end(store, &err), 0);
    store->free(store);
}

static int up(void **state)
{
    err = (struct gw_error)GW_ERROR_INIT;
    return rig_up(state);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, rig_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_source), T(test_snapshot), T(test_store), T(test_memory_that_cannot_follow), T(test_store_following),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
