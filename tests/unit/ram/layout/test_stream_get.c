/* SPDX-License-Identifier: MIT
 *
 * Records in any order, split anywhere, must end up where they belong, whatever the reader guessed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "channel/iov.h"
#include "ram/codec/plain.h"
#include "ram/codec/zero.h"
#include "ram/layout/stream.h"
#include "ram/store/direct.h"
#include "wire/numbers.h"

#define PAGE 4096u

static uint64_t random_next(uint64_t *s)
{
    uint64_t z = *s += 0x9E3779B97F4A7C15ull;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

/* ---- a channel over bytes, which gives no more than it likes ------------------------------------------------------
 */

struct tape {
    struct gw_channel channel;
    const uint8_t *data;
    size_t bytes, at, most; /* most: at one read; 0: random */
    uint64_t seed;
    uint64_t reads;
};

static ssize_t tape_readv(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    struct tape *t = (struct tape *)ch;
    size_t left = t->most                     ? t->most
                  : random_next(&t->seed) % 3 ? random_next(&t->seed) % 60000 + 1
                                              : 1 + random_next(&t->seed) % 12;
    ssize_t done = 0;

    t->reads++;
    left = GW_MIN(left, t->bytes - t->at);
    for (int i = 0; i < n && left; i++) {
        size_t take = GW_MIN(left, iov[i].iov_len);

        memcpy(iov[i].iov_base, t->data + t->at, take);
        t->at += take;
        left -= take;
        done += (ssize_t)take;
    }
    return done;
}

static const struct gw_channel_ops tape_ops = {.kind = "tape", .readv = tape_readv};

/* ---- a machine with two blocks, on both sides ---------------------------------------------------------------------
 */

struct side {
    struct gw_ram ram;
    uint8_t *mem[2];
    struct gw_store *store;
    struct gw_layout_in *in;
};

static const unsigned block_pages[2] = {1500, 7};
static const char *const block_name[2] = {"ram", "rom"};

static void side_init(struct side *s, unsigned flags, uint8_t junk)
{
    struct gw_error err = GW_ERROR_INIT;

    memset(s, 0, sizeof *s);
    assert_int_equal(gw_ram_init(&s->ram, PAGE, s, &err), 0);
    for (unsigned i = 0; i < 2; i++) {
        struct gw_ram_desc d = {
            .name = block_name[i], .used_bytes = block_pages[i] * PAGE, .gpa = i * 0x10000000ull, .flags = flags};

        s->mem[i] = aligned_alloc(PAGE, block_pages[i] * PAGE);
        memset(s->mem[i], junk, block_pages[i] * PAGE);
        d.host = s->mem[i];
        assert_int_equal(gw_ram_add(&s->ram, &d, &err), 0);
    }
    assert_int_equal(gw_store_direct_new(&s->ram, &s->store, &err), 0);
    assert_int_equal(gw_layout_stream_in_new(&s->ram, true, &s->in, &err), 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(s->store->add(s->store, s->ram.blocks[i], &err), 0);
        assert_int_equal(s->in->add(s->in, s->ram.blocks[i], &err), 0);
    }
}

static bool came(const struct side *s, unsigned b, uint64_t page)
{
    return s->store->open(s->store, s->ram.blocks[b], page, page + 1) != page;
}

static void side_close(struct side *s)
{
    s->store->free(s->store);
    s->in->free(s->in);
    for (unsigned i = 0; i < 2; i++) {
        free(s->mem[i]);
    }
    gw_ram_close(&s->ram);
}

static void scribble(uint8_t *page, uint64_t *seed)
{
    uint64_t v = random_next(seed) | 1;

    for (unsigned i = 0; i < PAGE; i += 8, v += 0x123456789ull)
        memcpy(page + i, &v, 8);
}

/* ---- streams ------------------------------------------------------------------------------------------------------
 */

struct maker {
    struct gw_writer w;
    struct side *src;
    bool sent[2][1500];
    int last;
    uint64_t seed;
};

static void put_page(struct maker *m, unsigned b, unsigned page)
{
    const uint8_t *p = m->src->mem[b] + page * PAGE;
    bool zero = !p[0] && !memcmp(p, p + 1, PAGE - 1);
    uint64_t word = (uint64_t)page * PAGE | (zero ? GW_RAMF_ZERO : GW_RAMF_PAGE);

    gw_put_u64(&m->w, word | (m->last == (int)b ? GW_RAMF_CONTINUE : 0));
    if (m->last != (int)b)
        gw_put_str8(&m->w, block_name[b]);
    m->last = (int)b;
    if (zero)
        gw_put_u8(&m->w, 0);
    else
        gw_put_bytes(&m->w, p, PAGE);
    m->sent[b][page] = true;
}

/* Runs of pages, zeros among them, jumps back and forth, pages written again. */
static void make_random(struct maker *m, unsigned runs)
{
    for (unsigned i = 0; i < runs; i++) {
        unsigned b = random_next(&m->seed) % 8 == 0, page = (unsigned)(random_next(&m->seed) % block_pages[b]);
        unsigned n = 1 + (unsigned)(random_next(&m->seed) % (random_next(&m->seed) % 2 ? 5 : 300));

        for (; n-- && page < block_pages[b]; page++) {
            if (random_next(&m->seed) % 50 == 0)
                continue;
            if (random_next(&m->seed) % 6 == 0)
                memset(m->src->mem[b] + page * PAGE, 0, PAGE);
            else
                scribble(m->src->mem[b] + page * PAGE, &m->seed);
            put_page(m, b, page);
        }
        if (random_next(&m->seed) % 10 == 0)
            gw_put_u64(&m->w, GW_RAMF_EOS);
    }
    gw_put_u64(&m->w, GW_RAMF_EOS);
}

static void receive(struct side *dst, const uint8_t *data, size_t bytes, size_t most, uint64_t seed,
                    uint64_t *ret_reads)
{
    struct tape t = {.data = data, .bytes = bytes, .most = most, .seed = seed};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_reader r;

    gw_channel_init(&t.channel, &tape_ops, 0, "tape");
    assert_int_equal(gw_reader_init(&r, &t.channel, &err), 0);
    while (gw_reader_offset(&r) < bytes)
        if (dst->in->get(dst->in, &r, dst->store, &err) < 0)
            fail_msg("%s", err.text);
    assert_int_equal(gw_reader_offset(&r), bytes);
    assert_int_equal(gw_reader_buffered(&r), 0);
    if (ret_reads)
        *ret_reads = t.reads;
    gw_reader_close(&r);
}

static void compare(const struct maker *m, const struct side *dst, uint8_t junk)
{
    for (unsigned b = 0; b < 2; b++)
        for (unsigned p = 0; p < block_pages[b]; p++) {
            const uint8_t *got = dst->mem[b] + p * PAGE;

            assert_int_equal(came(dst, b, p), m->sent[b][p]);
            if (m->sent[b][p])
                assert_memory_equal(got, m->src->mem[b] + p * PAGE, PAGE);
            else if ((got[0] && got[0] != junk) || memcmp(got, got + 1, PAGE - 1))
                fail_msg("page %u of block %u never came, and is neither what it was nor zeros", p, b);
        }
}

static void test_random(void **state)
{
    static const size_t most[] = {0, 0, 0, 1u << 20, 4104, 4096, 5000};

    for (unsigned i = 0; i < 120; i++) {
        bool fresh = i % 2;
        struct side src, dst;
        struct maker m = {.src = &src, .last = -1, .seed = i};
        size_t bytes;
        void *data;

        side_init(&src, 0, 0);
        side_init(&dst, fresh ? GW_RAM_FRESH : 0, fresh ? 0 : 0xAA);
        assert_int_equal(gw_writer_init_memory(&m.w, NULL), 0);
        make_random(&m, 40);
        data = gw_writer_take(&m.w, &bytes);
        receive(&dst, data, bytes, most[i % 7], i, NULL);
        compare(&m, &dst, 0xAA);
        free(data);
        gw_writer_close(&m.w);
        side_close(&src);
        side_close(&dst);
    }
}

/* What our own put writes is what get guesses best: hardly a page comes by the slow path, none is put back. */
static void test_own_order(void **state)
{
    struct side src, dst;
    struct maker m = {.src = &src, .last = -1, .seed = 42};
    struct gw_layout *layout = NULL;
    struct gw_codec *zero = NULL, *plain = NULL;
    uint64_t reads, guessed, missed;
    size_t bytes;
    void *data;

    side_init(&src, 0, 0);
    side_init(&dst, 0, 0xAA);
    for (unsigned p = 0; p < block_pages[0]; p++)
        if (random_next(&m.seed) % 4)
            scribble(src.mem[0] + p * PAGE, &m.seed);
    assert_int_equal(gw_writer_init_memory(&m.w, NULL), 0);
    assert_int_equal(gw_layout_stream_new(&src.ram, &layout, NULL), 0);
    assert_int_equal(gw_codec_zero_new(&zero, NULL), 0);
    assert_int_equal(gw_codec_plain_new(&plain, NULL), 0);
    for (unsigned b = 0; b < 2; b++)
        for (unsigned first = 0; first < block_pages[b]; first += GW_BATCH_PAGES) {
            struct gw_batch batch = {.block = src.ram.blocks[b]};

            for (; batch.count < GW_BATCH_PAGES && first + batch.count < block_pages[b]; batch.count++) {
                batch.page[batch.count] = first + batch.count;
                batch.form[batch.count] = GW_FORM_OPEN;
                batch.body[batch.count] = (struct gw_body){src.mem[b] + (first + batch.count) * PAGE, PAGE};
                m.sent[b][first + batch.count] = true;
            }
            assert_int_equal(zero->encode(zero, &batch, NULL), 0);
            assert_int_equal(plain->encode(plain, &batch, NULL), 0);
            layout->put(layout, &batch, &m.w);
        }
    gw_put_u64(&m.w, GW_RAMF_EOS);
    data = gw_writer_take(&m.w, &bytes);
    receive(&dst, data, bytes, 200000, 1, &reads);
    compare(&m, &dst, 0xAA);
    gw_layout_stream_guesses(dst.in, &guessed, &missed);
    print_message("%u plain, %u guessed, %u put back, %u reads for %zu bytes\n", (unsigned)dst.in->pages[GW_FORM_PLAIN],
                  (unsigned)guessed, (unsigned)missed, (unsigned)reads, bytes);
    assert_int_equal(dst.in->pages[GW_FORM_PLAIN], layout->pages[GW_FORM_PLAIN]);
    assert_int_equal(dst.in->pages[GW_FORM_ZERO], layout->pages[GW_FORM_ZERO]);
    assert_true(guessed + 12 >= dst.in->pages[GW_FORM_PLAIN]);
    assert_true(missed <= 2); /* the end mark */
    assert_true(reads < 80);
    free(data);
    zero->free(zero);
    plain->free(plain);
    layout->free(layout);
    gw_writer_close(&m.w);
    side_close(&src);
    side_close(&dst);
}

/* Cut anywhere: an error that says where, no page counted that did not come whole. */
static void test_cut(void **state)
{
    struct side src;
    struct maker m = {.src = &src, .last = -1, .seed = 7};
    size_t bytes;
    uint8_t *data;

    side_init(&src, 0, 0);
    assert_int_equal(gw_writer_init_memory(&m.w, NULL), 0);
    for (unsigned p = 0; p < 20; p++) {
        if (p != 3 && p != 9)
            scribble(src.mem[0] + p * PAGE, &m.seed);
        put_page(&m, 0, p);
    }
    gw_put_u64(&m.w, GW_RAMF_EOS);
    data = gw_writer_take(&m.w, &bytes);
    for (size_t cut = 0; cut < bytes; cut += cut < 60 ? 1 : 97) {
        struct tape t = {.data = data, .bytes = cut, .seed = cut};
        struct gw_error err = GW_ERROR_INIT;
        struct gw_reader r;
        struct side dst;

        side_init(&dst, 0, 0xAA);
        gw_channel_init(&t.channel, &tape_ops, 0, "tape");
        assert_int_equal(gw_reader_init(&r, &t.channel, &err), 0);
        assert_int_equal(dst.in->get(dst.in, &r, dst.store, &err), -ENODATA);
        assert_int_equal(err.blame, GW_BLAME_CHANNEL);
        for (unsigned p = 0; p < 20; p++)
            if (came(&dst, 0, p))
                assert_memory_equal(dst.mem[0] + p * PAGE, src.mem[0] + p * PAGE, PAGE);
        gw_reader_close(&r);
        side_close(&dst);
    }
    free(data);
    gw_writer_close(&m.w);
    side_close(&src);
}

static void expect_refused(const uint64_t *words, unsigned n, const char *name_after_first)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_reader r;
    struct gw_writer w;
    struct side dst;
    const uint8_t *data;
    size_t bytes;

    side_init(&dst, 0, 0);
    assert_int_equal(gw_writer_init_memory(&w, NULL), 0);
    for (unsigned i = 0; i < n; i++) {
        gw_put_u64(&w, words[i]);
        if (!i && name_after_first)
            gw_put_str8(&w, name_after_first);
    }
    gw_put_u8(&w, 1);
    data = gw_writer_data(&w, &bytes);
    gw_reader_init_memory(&r, data, bytes, 1000);
    assert_int_equal(dst.in->get(dst.in, &r, dst.store, &err), -EPROTO);
    assert_int_equal(err.blame, GW_BLAME_PEER);
    gw_writer_close(&w);
    side_close(&dst);
}

static void test_refused(void **state)
{
    expect_refused((uint64_t[]){GW_RAMF_PAGE | GW_RAMF_CONTINUE}, 1, NULL); /* continues nothing */
    expect_refused((uint64_t[]){GW_RAMF_PAGE}, 1, "nosuch");
    expect_refused((uint64_t[]){1500 * PAGE | GW_RAMF_PAGE}, 1, "ram"); /* beyond the end */
    expect_refused((uint64_t[]){0xFFFFFFFFFFFFF000ull | GW_RAMF_ZERO}, 1, "ram");
    expect_refused((uint64_t[]){GW_RAMF_ZERO}, 1, "ram"); /* fill 1 */
    expect_refused((uint64_t[]){GW_RAMF_XBZRLE}, 1, "ram");
    expect_refused((uint64_t[]){GW_RAMF_PAGE | GW_RAMF_ZERO}, 1, "ram");
    expect_refused((uint64_t[]){0}, 1, NULL);
    expect_refused((uint64_t[]){PAGE | GW_RAMF_EOS}, 1, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_own_order),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
