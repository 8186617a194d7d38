/* SPDX-License-Identifier: MIT
 *
 * Machines with unknown devices: a sim migrates into an image and from there into another sim. (How it is stored:
 * test_guest_parked.c; its devices: test_guest_devices.c)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ram/page/ops.h"
#include "ways.h"

/* ---- an image that can only be asked, as one in a file ----------------------------------------------------------- */

static int ask_map(struct gw_image *image, unsigned block, uint64_t first, uint64_t pages, uint8_t *kinds,
                   struct gw_error *err)
{
    return gw_image_map(image->own, block, first, pages, kinds, err);
}

static int ask_read(struct gw_image *image, unsigned block, uint64_t first, uint64_t pages, uint8_t *dst,
                    struct gw_error *err)
{
    return gw_image_pages(image->own, block, first, pages, dst, err);
}

/* Whether a page is zeros is not known before it is read, and one block has read errors. */
static int know_nothing(struct gw_image *image, unsigned block, uint64_t first, uint64_t pages, uint8_t *kinds,
                        struct gw_error *err)
{
    memset(kinds, 1, pages);
    return 0;
}

static int broken_read(struct gw_image *image, unsigned block, uint64_t first, uint64_t pages, uint8_t *dst,
                       struct gw_error *err)
{
    if (first < 3000)
        return gw_image_pages(image->own, block, first, pages, dst, err);
    return gw_fail(err, -EIO, GW_BLAME_LOCAL, "page %" PRIu64 " is broken", first);
}

static const struct gw_image_ops asking = {ask_map, ask_read, NULL}, ignorant = {know_nothing, ask_read, NULL},
                                 broken = {know_nothing, broken_read, NULL};

static void *copy(const void *p, size_t n)
{
    void *q = malloc(n + 1);

    assert_non_null(q);
    memcpy(q, p, n);
    return q;
}

static struct gw_image *as_file(struct gw_image *memory, const struct gw_image_ops *ops)
{
    struct gw_image *image = calloc(1, sizeof *image);

    assert_non_null(image);
    *image = *memory;
    image->guest = NULL;
    image->free_guest = NULL;
    image->head = NULL;
    image->ops = ops;
    image->own = memory;
    image->format = GW_IMAGE_PARKED;
    image->blocks = copy(memory->blocks, memory->block_count * sizeof *memory->blocks);
    image->devices = copy(memory->devices, memory->devices_bytes);
    image->description = copy(memory->description, memory->description_bytes);
    return owned(image, end_image);
}

/* ---- tests --------------------------------------------------------------------------------------------------------
 */

static void there_and_back(const char *peer, uint64_t rate, const struct gw_image_ops *ops)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *image = empty(), *file = NULL;
    struct sim *from = sim_new(42, 32, NULL), *to = sim_new(0, 32, NULL);

    must(gw_options_set_parameter(gw_vm_options(from->vm), "max-bandwidth", "0", &err), &err);
    from->words_per_ms = to->words_per_ms = rate;
    if (rate) {
        sim_start(from);
        sim_await_writes(from, rate);
    }
    into(image, from, peer);
    if (ops)
        file = as_file(image, ops);
    out_of(file ? file : image, to, rate > 0);
    sim_stop(to);
    assert_true(to->device.writes >= from->device.writes);
    assert_int_equal(sim_check(to), 0);
    owned_end(file);
    owned_end(image);
    owned_end(from);
    owned_end(to);
}

static void test_memory(void **state)
{
    there_and_back(NULL, 0, NULL);
    there_and_back(NULL, 20, NULL);
    there_and_back("7.2", 20, NULL);
    there_and_back("10.0", 20, NULL);
}

static void test_fetched(void **state)
{
    there_and_back(NULL, 20, &asking);
    there_and_back("10.0", 5, &asking);
    there_and_back(NULL, 20, &ignorant);
}

/* A page that cannot be read ends the session, with the reason, and nothing runs on the destination. */
static void test_broken_file(void **state)
{
    struct gw_image *image = empty(), *file;
    struct sim *from = sim_new(42, 32, NULL), *to = sim_new(0, 32, NULL);
    struct way w;

    into(image, from, NULL);
    file = as_file(image, &broken);
    w = (struct way){.from = vm_of(file, NULL, NULL), .to = to->vm};
    migrate(&w);
    assert_int_equal(w.send_result, -EIO);
    assert_non_null(strstr(w.send_error.text, "is broken"));
    assert_true(w.recv_result < 0);
    assert_int_equal(w.send_says, GW_OWNER_SOURCE);
    assert_false(sim_runs(to));
    owned_end(file);
    owned_end(image);
    owned_end(from);
    owned_end(to);
}

/* An image takes one machine only. */
static void test_taken(void **state)
{
    struct gw_image *image = empty();
    struct sim *from = sim_new(42, 32, NULL), *other = sim_new(43, 32, NULL);
    struct way w;

    into(image, from, NULL);
    w = (struct way){.from = other->vm, .to = vm_of(image, NULL, NULL)};
    migrate(&w);
    assert_int_equal(w.recv_result, -EBUSY);
    assert_int_equal(w.send_says, GW_OWNER_SOURCE);
    owned_end(image);
    owned_end(from);
    owned_end(other);
}

/* Single pages in any order, while a source reads ahead: their contents are correct. */
static void test_any_order(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *image = empty(), *file;
    static struct gw_batch batch;
    struct gw_source *source;
    bool goes[SIM_BLOCKS] = {true, true, true};
    struct sim *from = sim_new(42, 32, NULL);
    uint64_t random = 1;
    struct gw_vm *vm;

    into(image, from, NULL);
    file = as_file(image, &asking);
    vm = vm_of(file, NULL, NULL);
    must(gw_guest_at_rest.source(vm, true, &source, &err), &err);
    must(source->begin(source, goes, &err), &err);
    for (unsigned n = 0; n < 400; n++) {
        unsigned block = n % file->block_count;
        uint64_t page = (random >> 33) % file->blocks[block].pages;
        uint8_t one[4096];

        random = random * 6364136223846793005ull + 1;
        must(gw_image_pages(file, block, page, 1, one, &err), &err);
        assert_memory_equal(one, gw_memory_host(image, block) + page * 4096, 4096);
        must(source->next(source, &batch, 1 + n % 200, &err), &err);
        for (unsigned i = 0; i < batch.count; i++) {
            const uint8_t *there = gw_memory_host(image, file->guest->of_block[batch.block->index]) + batch.page[i] * 4096;
            static const uint8_t zeros[4096];

            assert_memory_equal(batch.form[i] == GW_FORM_ZERO ? zeros : batch.body[i].data, there, 4096);
        }
        if (batch.count)
            source->sent(source, &batch);
    }
    source->end(source);
    source->free(source);
    owned_end(file);
    owned_end(image);
    owned_end(from);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        owned_test(test_memory), owned_test(test_fetched),   owned_test(test_broken_file),
        owned_test(test_taken),  owned_test(test_any_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
