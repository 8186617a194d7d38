/* SPDX-License-Identifier: MIT
 *
 * Pages that go to their places in a file, by one lane or two, again and again, come out of it as they were last; a file that
 * is not whole, or not what it says, is an error.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "channel/beside.h"
#include "ram/layout/mapped.h"
#include "ram/store/direct.h"
#include "wire/ram_record.h"

#define PAGE   4096u
#define LANES  2u
#define BLOCKS 2u

static const unsigned block_pages[BLOCKS] = {3001, 7};
static const char *const block_name[BLOCKS] = {"ram", "rom"};

struct side {
    struct gw_ram ram;
    uint8_t *mem[BLOCKS];
};

static void side_init(struct side *s, uint8_t junk)
{
    struct gw_error err = GW_ERROR_INIT;

    memset(s, 0, sizeof *s);
    assert_int_equal(gw_ram_init(&s->ram, PAGE, s, &err), 0);
    for (unsigned i = 0; i < BLOCKS; i++) {
        struct gw_ram_desc d = {.name = block_name[i], .used_bytes = block_pages[i] * PAGE, .gpa = i * 0x10000000ull};

        d.host = s->mem[i] = aligned_alloc(PAGE, block_pages[i] * PAGE);
        memset(s->mem[i], junk, block_pages[i] * PAGE);
        assert_int_equal(gw_ram_add(&s->ram, &d, &err), 0);
    }
}

static void side_close(struct side *s)
{
    for (unsigned i = 0; i < BLOCKS; i++)
        free(s->mem[i]);
    gw_ram_close(&s->ram);
}

/* ---- a file, and a channel over it that counts -------------------------------------------------------------------- */

static _Atomic unsigned writes;
static const struct gw_channel_ops *file_ops;

static ssize_t counting_pwritev(struct gw_channel *ch, const struct iovec *iov, int n, uint64_t at, struct gw_error *err)
{
    writes++;
    return file_ops->pwritev(ch, iov, n, at, err);
}

static struct gw_channel *open_file(int fd)
{
    static struct gw_channel_ops counting;
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *ch;

    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(gw_channel_from_fd(dup(fd), "file", &ch, &err), 0);
    file_ops = ch->ops;
    counting = *ch->ops;
    counting.pwritev = counting_pwritev;
    ch->ops = &counting;
    return ch;
}

static uint64_t file_bytes(int fd)
{
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    return (uint64_t)st.st_size;
}

/* ---- the writing side --------------------------------------------------------------------------------------------- */

struct out {
    struct side *s;
    int fd;
    struct gw_channel *main, *own[LANES];
    struct gw_writer w, lane[LANES];
    struct gw_layout *layout[LANES];
};

static void out_begin(struct out *o, struct side *s, int fd)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_mapped *m;

    *o = (struct out){.s = s, .fd = fd, .main = open_file(fd)};
    assert_int_equal(gw_writer_init(&o->w, o->main, &err), 0);
    assert_int_equal(gw_mapped_new(&s->ram, &m, &err), 0);
    for (unsigned i = 0; i < LANES; i++) {
        assert_int_equal(gw_layout_mapped_new(m, &o->layout[i], &err), 0);
        assert_int_equal(gw_channel_beside(o->main, false, &o->own[i], &err), 0);
        assert_int_equal(gw_writer_init(&o->lane[i], o->own[i], &err), 0);
    }
    gw_mapped_unref(m);
    for (unsigned i = 0; i < BLOCKS; i++) {
        gw_put_str8(&o->w, block_name[i]);
        assert_int_equal(o->layout[0]->list(o->layout[0], s->ram.blocks[i], &o->w, &err), 0);
    }
    gw_ram_put_end(&o->w.out);
    assert_int_equal(gw_writer_flush(&o->w, &err), 0);
}

static void put(struct out *o, unsigned lane, unsigned block, uint64_t first, unsigned count, unsigned stride)
{
    struct gw_batch *b = calloc(1, sizeof *b);
    struct gw_error err = GW_ERROR_INIT;
    uint64_t before = gw_writer_offset(&o->lane[lane]), plain = 0;

    b->block = o->s->ram.blocks[block];
    b->count = count;
    for (unsigned i = 0; i < count; i++) {
        const uint8_t *page = o->s->mem[block] + (first + i * stride) * PAGE;

        b->page[i] = first + i * stride;
        b->form[i] = page[0] ? GW_FORM_PLAIN : GW_FORM_ZERO;
        b->body[i] = (struct gw_body){page, PAGE};
        plain += page[0] != 0;
    }
    o->layout[lane]->put(o->layout[lane], b, &o->lane[lane]);
    assert_int_equal(gw_writer_flush(&o->lane[lane], &err), 0);
    assert_int_equal(gw_writer_offset(&o->lane[lane]) - before, plain * PAGE);
    free(b);
}

static void put_all(struct out *o)
{
    for (unsigned i = 0, turn = 0; i < BLOCKS; i++)
        for (unsigned at = 0, end; at < block_pages[i]; at = end, turn++) {
            unsigned stride = 1 + turn % 3;

            end = GW_MIN(at + GW_BATCH_PAGES, block_pages[i]);
            for (unsigned k = 0; k < stride; k++)
                if (at + k < end)
                    put(o, turn % LANES, i, at + k, (end - at - k + stride - 1) / stride, stride);
        }
}

/* The maps go out with the last lane, and not before. */
static void out_end(struct out *o)
{
    struct gw_error err = GW_ERROR_INIT;

    for (unsigned i = 0; i < LANES; i++) {
        uint64_t before = gw_writer_offset(&o->lane[i]);

        o->layout[i]->barrier(o->layout[i], GW_BARRIER_END, &o->lane[i]);
        assert_int_equal(gw_writer_flush(&o->lane[i], &err), 0);
        assert_int_equal(gw_writer_offset(&o->lane[i]) - before,
                         i + 1 < LANES ? 0 : gw_div_up(block_pages[0], 64) * 8 + gw_div_up(block_pages[1], 64) * 8);
        gw_writer_close(&o->lane[i]);
        o->layout[i]->free(o->layout[i]);
        gw_channel_free(o->own[i]);
    }
    gw_ram_put_end(&o->w.out);
    assert_int_equal(gw_writer_flush(&o->w, &err), 0);
    gw_writer_close(&o->w);
    gw_channel_free(o->main);
}

/* Each page has a byte of its own, or is zeros. */
static void fill(struct side *s, unsigned turn)
{
    for (unsigned i = 0; i < BLOCKS; i++)
        for (unsigned p = 0; p < block_pages[i]; p++)
            memset(s->mem[i] + (size_t)p * PAGE, (p * 7 + turn) % 5 < 2 ? 0 : 1 + (int)(p * 13 + turn * 31) % 255, PAGE);
}

/* ---- the reading side --------------------------------------------------------------------------------------------- */

static int load(struct side *s, int fd, struct gw_error *err)
{
    struct gw_channel *ch = open_file(fd);
    struct gw_layout_in *in;
    struct gw_store *store;
    struct gw_reader r;
    uint64_t word;
    char name[256];
    int e;

    assert_int_equal(gw_store_direct_new(&s->ram, &store, err), 0);
    assert_int_equal(gw_layout_mapped_in_new(&s->ram, 3, false, &in, err), 0);
    assert_int_equal(gw_reader_init(&r, ch, err), 0);
    e = 0;
    for (unsigned i = 0; e >= 0 && i < BLOCKS; i++) {
        e = gw_get_str8(&r, name, err);
        if (e >= 0)
            e = in->list(in, s->ram.blocks[i], s->ram.blocks[i]->used_bytes, &r, err);
    }
    if (e >= 0)
        e = gw_get_u64(&r, &word, err);
    for (unsigned i = 0; e >= 0 && i < BLOCKS; i++) {
        assert_int_equal(store->add(store, s->ram.blocks[i], err), 0);
        e = in->add(in, s->ram.blocks[i], err);
    }
    if (e >= 0)
        e = in->get(in, &r, store, err);
    for (unsigned i = 0; e >= 0 && i < BLOCKS; i++)
        assert_int_equal(store->missing(store, s->ram.blocks[i]), 0);
    gw_reader_close(&r);
    in->free(in);
    store->free(store);
    gw_channel_free(ch);
    return e;
}

static int written(struct side *s, unsigned turns)
{
    int fd = memfd_create("mapped", MFD_CLOEXEC);
    uint64_t bytes;
    struct out o;

    out_begin(&o, s, fd);
    bytes = file_bytes(fd);
    for (unsigned turn = 0; turn < turns; turn++) {
        fill(s, turn);
        put_all(&o);
    }
    assert_true(file_bytes(fd) <= bytes);
    out_end(&o);
    return fd;
}

static void test_again_and_again(void **state)
{
    for (unsigned turns = 1; turns < 8; turns += 3) {
        struct gw_error err = GW_ERROR_INIT;
        struct side from, to;
        int fd;

        side_init(&from, 0);
        side_init(&to, 0xa5);
        fd = written(&from, turns);
        assert_int_equal(load(&to, fd, &err), 0);
        for (unsigned i = 0; i < BLOCKS; i++)
            assert_memory_equal(from.mem[i], to.mem[i], block_pages[i] * PAGE);
        close(fd);
        side_close(&from);
        side_close(&to);
    }
}

/* Neighbours go out in one write, however many; zeros in none. */
static void test_writes(void **state)
{
    int fd = memfd_create("mapped", MFD_CLOEXEC);
    struct side s;
    struct out o;

    side_init(&s, 1);
    out_begin(&o, &s, fd);
    writes = 0;
    put(&o, 0, 0, 0, GW_BATCH_PAGES, 1);
    assert_int_equal(writes, 1);
    memset(s.mem[0] + 100 * PAGE, 0, PAGE);
    put(&o, 0, 0, 0, GW_BATCH_PAGES, 1);
    assert_int_equal(writes, 3);
    memset(s.mem[0], 0, GW_BATCH_PAGES * PAGE);
    put(&o, 1, 0, 0, GW_BATCH_PAGES, 1);
    assert_int_equal(writes, 3);
    out_end(&o);
    close(fd);
    side_close(&s);
}

/* A file, and a side that it can be loaded into. */
static int written_for(struct side *from, struct side *to, uint64_t *ret_bytes)
{
    int fd;

    side_init(from, 0);
    side_init(to, 0);
    fd = written(from, 1);
    *ret_bytes = file_bytes(fd);
    return fd;
}

/* A file that ends too early is an error that says where, at every place where something stands. */
static void test_cut(void **state)
{
    struct side from, to;
    uint64_t bytes;
    int fd = written_for(&from, &to, &bytes);

    for (uint64_t at = bytes - 1;; at -= at > 1200 && at < bytes - 200 ? GW_MIN(at - 1200, 400001u) : 1) {
        struct gw_error err = GW_ERROR_INIT;

        assert_int_equal(ftruncate(fd, (off_t)at), 0);
        if (load(&to, fd, &err) != -ENODATA || !strstr(err.text, "byte"))
            fail_msg("cut at byte %" PRIu64 ": %s", at, err.text);
        if (!at)
            break;
    }
    close(fd);
    side_close(&from);
    side_close(&to);
}

/* What is in a stream's records has no business in such a file. */
static void test_records(void **state)
{
    static const uint64_t words[] = {GW_RAMF_PAGE, GW_RAMF_ZERO, GW_RAMF_XBZRLE, GW_RAMF_MULTIFD_FLUSH, 0x80, 0x5000};
    struct side from, to;
    uint64_t bytes;
    int fd = written_for(&from, &to, &bytes);

    for (size_t i = 0; i < GW_ARRAY_LEN(words); i++) {
        struct gw_error err = GW_ERROR_INIT;
        uint64_t word = htobe64(words[i]);

        assert_int_equal(pwrite(fd, &word, 8, (off_t)bytes - 8), 8);
        if (load(&to, fd, &err) != -EPROTO || err.blame != GW_BLAME_PEER)
            fail_msg("word 0x%" PRIx64 ": %s", words[i], err.text);
    }
    close(fd);
    side_close(&from);
    side_close(&to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_again_and_again),
        cmocka_unit_test(test_writes),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_records),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
