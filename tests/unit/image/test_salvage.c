/* SPDX-License-Identifier: MIT
 *
 * Two halves of a machine: which pages come from which, what they must have in common, and that a failure leaves both as they were.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/bitmap.h"
#include "base/cursor.h"
#include "image/image.h"
#include "wire/numbers.h"
#include "wire/section.h"

#define FAILING_COUNTDOWN
#include "../../failing.h"

#define PAGE   1024u
#define PAGES  1400u /* more than are looked at in one go */
#define FEW    70u
#define MARK   0x5a

struct half {
    struct gw_image image;
    uint8_t *ram[2]; /* "a", "b" */
    unsigned number[2]; /* of these blocks in this image */
    bool closed, fails;
};

static struct half one, two;

static struct half *of(const struct gw_image *image)
{
    return image->own;
}

static uint8_t *memory(const struct gw_image *image, unsigned block)
{
    return of(image)->ram[block != of(image)->number[0]];
}

static int map(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *kinds, struct gw_error *err)
{
    for (uint64_t i = 0; i < count; i++) {
        const uint8_t *p = memory(image, block) + (first + i) * PAGE;

        kinds[i] = p[0] || memcmp(p, p + 1, PAGE - 1);
    }
    return 0;
}

static int read_pages(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *dst, struct gw_error *err)
{
    if (of(image)->fails)
        return gw_fail(err, -EIO, GW_BLAME_LOCAL, "broken");
    memcpy(dst, memory(image, block) + first * PAGE, count * PAGE);
    return 0;
}

static void close_half(struct gw_image *image)
{
    of(image)->closed = true;
}

static const struct gw_image_ops ops = {.map = map, .read = read_pages, .close = close_half};

static uint64_t pages_of(unsigned block)
{
    return block ? FEW : PAGES;
}

static void put_devices(struct gw_image *image, const char *state)
{
    struct gw_section_head head = {.id = 7, .version = 1, .name = "globalstate"};
    uint8_t body[104] = {0};
    struct gw_out out;
    const uint8_t *data;

    gw_store_be32(body, (uint32_t)strlen(state) + 1);
    strcpy((char *)body + 4, state);
    gw_out_memory(&out);
    gw_section_put_head(&out, GW_ELEMENT_FULL, &head);
    gw_put_bytes(&out, body, sizeof body);
    data = gw_out_data(&out, &image->devices_bytes);
    free(image->devices);
    image->devices = malloc(image->devices_bytes);
    memcpy(image->devices, data, image->devices_bytes);
    gw_out_free(&out);
}

/* Their blocks are listed in different orders. */
static void make(struct half *h, bool turned)
{
    static const char *const names[] = {"a", "b"};

    *h = (struct half){.image = {.ops = &ops, .own = h, .page_bytes = PAGE, .page_bits = 10, .format = GW_IMAGE_STREAM}};
    strcpy(h->image.machine, "none");
    for (unsigned i = 0; i < 2; i++) {
        unsigned block = turned ? !i : i;

        h->number[block] = i;
        assert_int_equal(gw_image_add_block(&h->image, names[block], pages_of(block) * PAGE, NULL, NULL), 0);
        h->ram[block] = calloc(pages_of(block), PAGE);
        for (uint64_t page = 0; page < pages_of(block); page++)
            if (page % 5)
                memset(h->ram[block] + page * PAGE, (int)(page % 250 + 1 + block), PAGE);
    }
    put_devices(&h->image, "running");
}

/* What is lacking reads as zeros. */
static void lose(struct half *h, unsigned block, uint64_t first, uint64_t count)
{
    bool whole = !h->image.received;

    for (unsigned i = 0; whole && i < 2; i++) {
        uint64_t *map = calloc(gw_bitmap_words(h->image.blocks[i].pages), sizeof *map);

        gw_bitmap_set_range(map, 0, h->image.blocks[i].pages);
        assert_int_equal(gw_image_lacks(&h->image, i, map, NULL), 0);
    }
    gw_bitmap_clear_range(h->image.received[h->number[block]], first, count);
    memset(h->ram[block] + first * PAGE, 0, count * PAGE);
}

static int up(void **state)
{
    make(&one, false);
    make(&two, true);
    lose(&one, 0, 3, 64);
    lose(&one, 0, 700, 600);
    lose(&one, 1, 69, 1);
    return 0;
}

static int down(void **state)
{
    countdown = 0;
    if (one.image.ops->close)
        one.image.ops->close(&one.image);
    assert_true(one.closed);
    assert_false(two.closed);
    for (struct half *h = &one;; h = &two) {
        gw_image_clear(&h->image);
        free(h->ram[0]);
        free(h->ram[1]);
        if (h == &two)
            return 0;
    }
}

static void assert_as_other(void)
{
    for (unsigned block = 0; block < 2; block++) {
        uint64_t bytes = pages_of(block) * PAGE;
        uint8_t *got = malloc(bytes), kinds[PAGES];

        assert_int_equal(gw_image_pages(&one.image, one.number[block], 0, pages_of(block), got, NULL), 0);
        assert_memory_equal(got, two.ram[block], bytes);
        assert_int_equal(gw_image_map(&one.image, one.number[block], 1, pages_of(block) - 1, kinds, NULL), 0);
        for (uint64_t page = 1; page < pages_of(block); page++)
            assert_true(kinds[page - 1] || page % 5 == 0); /* zeros may be told as contents, and never the other way round */
        free(got);
    }
}

static bool seen(void *opaque, uint64_t done_bytes, uint64_t total_bytes)
{
    assert_true(done_bytes <= total_bytes);
    ++*(unsigned *)opaque;
    return false;
}

static bool stop(void *opaque, uint64_t done_bytes, uint64_t total_bytes)
{
    return true;
}

static void test_joined(void **state)
{
    unsigned steps = 0;
    struct gw_salvage_options how = {.progress = seen, .opaque = &steps, .threads = 2};

    assert_int_equal(gw_image_block_lacking(&one.image, 0), 664 * PAGE);
    assert_int_equal(gw_image_block_lacking(&one.image, 1), PAGE);
    assert_int_equal(gw_image_block_lacking(&one.image, 2), 0);
    assert_int_equal(gw_image_salvage(&one.image, &two.image, &how, NULL), 0);
    assert_true(steps > 2);
    assert_null(one.image.received);
    assert_int_equal(gw_image_lacking(&one.image), 0);
    assert_as_other();
}

/* The other one was told to wait where it arrives; that is not another machine. The description is the source's own. */
static void test_told_to_wait(void **state)
{
    put_devices(&two.image, "paused");
    two.image.description = strdup("{}");
    two.image.description_bytes = 2;
    assert_int_equal(gw_image_salvage(&one.image, &two.image, &(struct gw_salvage_options){0}, NULL), 0);
    assert_true(gw_image_runs(&one.image));
    assert_false(gw_image_runs(&two.image));
    assert_string_equal(one.image.description, "{}");
    assert_as_other();
}

/* What both lack is lacking still, and nothing but that. */
static void test_both_lack(void **state)
{
    lose(&two, 0, 60, 10);
    lose(&two, 1, 0, 5);
    assert_int_equal(gw_image_salvage(&one.image, &two.image, &(struct gw_salvage_options){0}, NULL), 0);
    assert_int_equal(gw_image_block_lacking(&one.image, 0), 7 * PAGE);
    assert_int_equal(gw_image_block_lacking(&one.image, 1), 0);
    assert_false(gw_bitmap_test(one.image.received[0], 60));
    assert_true(gw_bitmap_test(one.image.received[0], 67));
}

static void refused(int code, const char *why)
{
    struct gw_error err = GW_ERROR_INIT;
    uint64_t lacking = gw_image_lacking(&one.image);

    assert_int_equal(gw_image_salvage(&one.image, &two.image, &(struct gw_salvage_options){0}, &err), code);
    if (!strstr(err.text, why))
        fail_msg("'%s' does not say '%s'", err.text, why);
    assert_ptr_equal(one.image.ops, &ops);
    assert_int_equal(gw_image_lacking(&one.image), lacking);
}

static void test_pages_differ(void **state)
{
    two.ram[0][699 * PAGE + 17] ^= 1;
    refused(-EINVAL, "the page at 0xaec00 of RAM block a is not the one that arrived");
    two.ram[0][699 * PAGE + 17] ^= 1;
    two.ram[1][65 * PAGE + PAGE - 1] = MARK; /* zeros, as it arrived */
    refused(-EINVAL, "the page at 0x10400 of RAM block b");
    memset(two.ram[1] + 64 * PAGE, 0, 2 * PAGE);
    refused(-EINVAL, "the page at 0x10000 of RAM block b");
}

/* What is lacking need not be the same. */
static void test_lost_pages_differ(void **state)
{
    two.ram[0][701 * PAGE] = MARK;
    two.ram[0][66 * PAGE + 5] = MARK;
    assert_int_equal(gw_image_salvage(&one.image, &two.image, &(struct gw_salvage_options){0}, NULL), 0);
    assert_as_other();
}

static void test_another_machine(void **state)
{
    strcpy(two.image.machine, "pc");
    refused(-EINVAL, "its type is pc, not none");
    two.image.machine[0] = 0; /* does not say */
    one.image.has_uuid = two.image.has_uuid = true;
    two.image.uuid[3] = 1;
    refused(-EINVAL, "its UUID differs");
    two.image.has_uuid = false;
    two.image.page_bytes = 4096;
    refused(-EINVAL, "its pages have 4096 bytes, not 1024");
    two.image.page_bytes = PAGE;
    strcpy(two.image.blocks[0].name, "c");
    refused(-EINVAL, "it has no RAM block b");
    strcpy(two.image.blocks[0].name, "b");
    two.image.blocks[0].used_bytes -= PAGE;
    refused(-EINVAL, "RAM block b has 0x11400 bytes, not 0x11800");
    two.image.blocks[0].used_bytes += PAGE;
    assert_int_equal(gw_image_add_block(&two.image, "c", PAGE, NULL, NULL), 0);
    refused(-EINVAL, "it has more RAM blocks");
    two.image.block_count--;
    two.image.devices[two.image.devices_bytes - 1] ^= 1;
    assert_int_equal(gw_image_salvage(&one.image, &two.image, &(struct gw_salvage_options){0}, NULL), 0);
}

static void test_another_moment(void **state)
{
    two.image.devices_bytes--;
    refused(-EINVAL, "the state of its devices is not the one that arrived");
    two.image.devices_bytes++;
    two.image.devices[4] ^= 1;
    refused(-EINVAL, "the state of its devices");
    two.image.devices[4] ^= 1;
    two.image.early = malloc(1);
    two.image.early_bytes = 1;
    refused(-EINVAL, "the state of its devices");
}

static void test_failures(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    two.fails = true;
    refused(-EIO, "broken");
    two.fails = false;
    one.fails = true;
    refused(-EIO, "broken");
    one.fails = false;
    assert_int_equal(gw_image_salvage(&one.image, &two.image, &(struct gw_salvage_options){.progress = stop}, &err), -ECANCELED);
    lose(&two, 0, 60, 10); /* both have maps, of which one is made */
    for (unsigned n = 1, done = 0; !done; n++) {
        int r;

        countdown = n;
        r = gw_image_salvage(&one.image, &two.image, &(struct gw_salvage_options){.threads = 1}, &err);
        done = countdown > 0; /* it needed fewer */
        countdown = 0;
        assert_int_equal(r, done ? 0 : -ENOMEM);
        assert_true(done == (one.image.ops != &ops));
    }
}

/* One that is whole is told so, and one that is not is for nothing else. */
static void test_what_it_is_for(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_vm *vm;

    assert_int_equal(gw_image_vm(&one.image, NULL, NULL, &vm, &err), -EBADMSG);
    for (int format = GW_IMAGE_STREAM; format < GW_IMAGE_FORMATS; format++) {
        struct gw_image_write_options write = {.format = (enum gw_image_format)format};

        assert_int_equal(gw_image_write(&one.image, "/nowhere/x", &write, &err), -EBADMSG);
    }
    assert_int_equal(gw_image_salvage(&one.image, &two.image, &(struct gw_salvage_options){0}, NULL), 0);
    assert_int_equal(gw_image_salvage(&one.image, &two.image, &(struct gw_salvage_options){0}, &err), -EALREADY);
    assert_int_equal(gw_image_vm(&one.image, NULL, NULL, &vm, &err), 0);
    one.image.free_guest(&one.image);
}

/* A session brings the rest; here it is written by hand. */
static void test_awaited(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *rest;

    assert_int_equal(gw_image_new(NULL, &rest, NULL), 0);
    assert_int_equal(gw_image_await(rest, &two.image, &err), -EALREADY);
    for (unsigned n = 1; n < 6; n++) {
        countdown = n;
        assert_int_equal(gw_image_await(rest, &one.image, &err), -ENOMEM);
        assert_int_equal(gw_image_blocks(rest), 0);
    }
    countdown = 0;
    assert_int_equal(gw_image_await(rest, &one.image, NULL), 0);
    assert_int_equal(gw_image_await(rest, &one.image, &err), -EBUSY);
    assert_int_equal(gw_image_block_lacking(rest, 0), 664 * PAGE);
    assert_int_equal(gw_image_block_bytes(rest, 1), FEW * PAGE);
    for (unsigned block = 0; block < 2; block++)
        for (uint64_t page = 0; page < pages_of(block); page++)
            if (!gw_bitmap_test(rest->received[block], page))
                memcpy(gw_memory_host(rest, block) + page * PAGE, two.ram[block] + page * PAGE, PAGE);
    gw_image_lacks_nothing(rest);
    assert_int_equal(gw_image_salvage(&one.image, rest, &(struct gw_salvage_options){0}, NULL), 0);
    assert_int_equal(gw_image_lacking(&one.image), 0);
    assert_as_other();
    gw_image_free(rest);
}

#define salvage_test(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        salvage_test(test_joined),        salvage_test(test_told_to_wait),    salvage_test(test_both_lack),
        salvage_test(test_pages_differ),  salvage_test(test_lost_pages_differ), salvage_test(test_another_machine),
        salvage_test(test_another_moment), salvage_test(test_failures),       salvage_test(test_what_it_is_for),
        salvage_test(test_awaited),
    };

    return cmocka_run_group_tests_name("salvage", tests, NULL, NULL);
}
