/* SPDX-License-Identifier: MIT
 *
 * For the tests of the mapped layout: a machine of two blocks, two lanes that put it into a file, and a channel that counts
 * writes.
 */
#ifndef TEST_MAPPED_H
#define TEST_MAPPED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "channel/beside.h"
#include "ram/layout/mapped.h"
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

static inline void side_init(struct side *s, uint8_t junk)
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

static inline void side_close(struct side *s)
{
    for (unsigned i = 0; i < BLOCKS; i++)
        free(s->mem[i]);
    gw_ram_close(&s->ram);
}

/* ---- a file, and a channel over it that counts -------------------------------------------------------------------- */

static _Atomic unsigned writes;
static const struct gw_channel_ops *file_ops;

static inline ssize_t counting_pwritev(struct gw_channel *ch, const struct iovec *iov, int n, uint64_t at, struct gw_error *err)
{
    writes++;
    return file_ops->pwritev(ch, iov, n, at, err);
}

static inline struct gw_channel *open_file(int fd)
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

static inline uint64_t file_bytes(int fd)
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

static inline void out_begin(struct out *o, struct side *s, int fd)
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

static inline void put(struct out *o, unsigned lane, unsigned block, uint64_t first, unsigned count, unsigned stride)
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

static inline void put_all(struct out *o)
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
static inline void out_end(struct out *o)
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
static inline void fill(struct side *s, unsigned turn)
{
    for (unsigned i = 0; i < BLOCKS; i++)
        for (unsigned p = 0; p < block_pages[i]; p++)
            memset(s->mem[i] + (size_t)p * PAGE, (p * 7 + turn) % 5 < 2 ? 0 : 1 + (int)(p * 13 + turn * 31) % 255, PAGE);
}

static inline int written(struct side *s, unsigned turns)
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

#endif
