/* SPDX-License-Identifier: MIT */
#include "channel/writer.h"

#include "channel/reader.h"
#include "helpers.h"

/* ---- a channel that keeps what it is given, or fails from a byte on -----------------------------------------------
 */

struct sink {
    struct gw_channel channel;
    uint8_t *bytes;
    size_t count, room;
    size_t fail_at; /* SIZE_MAX: never */
    size_t most;    /* per call, 0: any */
    int widest;     /* most vectors that came in one call */
    unsigned calls;
};

static ssize_t sink_writev(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    struct sink *s = (struct sink *)ch;
    size_t done = 0, limit = s->most ? s->most : SIZE_MAX;

    s->calls++;
    s->widest = GW_MAX(s->widest, n);
    assert_true(n >= 1 && n <= 1024);
    assert_true(iov[0].iov_len > 0);
    if (s->count >= s->fail_at)
        return gw_fail(err, -EPIPE, GW_BLAME_CHANNEL, "gone");
    limit = GW_MIN(limit, s->fail_at - s->count);
    for (int i = 0; i < n && limit; i++) {
        size_t part = GW_MIN(iov[i].iov_len, limit);

        assert_true(s->count + part <= s->room);
        memcpy(s->bytes + s->count, iov[i].iov_base, part);
        s->count += part;
        limit -= part;
        done += part;
    }
    return (ssize_t)done;
}

static const struct gw_channel_ops sink_ops = {.kind = "sink", .writev = sink_writev};

static void sink_init(struct sink *s, size_t room)
{
    *s = (struct sink){.bytes = malloc(room), .room = room, .fail_at = SIZE_MAX};
    gw_channel_init(&s->channel, &sink_ops, 0, "sink");
}

static uint64_t counted(const struct gw_writer *w)
{
    uint64_t sum = 0;

    for (int i = 0; i < GW_CAUSE_COUNT; i++)
        sum += w->out.by[i];
    return sum;
}

/* ---- the same puts into a plain array, to compare with ------------------------------------------------------------
 */

struct model {
    uint8_t *bytes;
    size_t count;
    uint64_t by[GW_CAUSE_COUNT];
};

static void model_put(struct model *m, enum gw_cause cause, const void *p, size_t n)
{
    memcpy(m->bytes + m->count, p, n);
    m->count += n;
    m->by[cause] += n;
}

static void random_puts(struct gw_writer *w, struct model *m, const uint8_t *data, size_t data_bytes, int puts,
                        uint64_t seed)
{
    for (int i = 0; i < puts; i++) {
        uint64_t v = chance(&seed);
        enum gw_cause cause = (enum gw_cause)(chance(&seed) % GW_CAUSE_COUNT);
        uint8_t be[8];
        size_t n, at;

        gw_writer_cause(w, cause);
        for (int k = 0; k < 8; k++)
            be[k] = (uint8_t)(v >> (56 - 8 * k));
        switch (chance(&seed) % 7) {
        case 0:
            gw_put_u8(w, (uint8_t)v);
            model_put(m, cause, be + 7, 1);
            break;
        case 1:
            gw_put_u16(w, (uint16_t)v);
            model_put(m, cause, be + 6, 2);
            break;
        case 2:
            gw_put_u32(w, (uint32_t)v);
            model_put(m, cause, be + 4, 4);
            break;
        case 3:
            gw_put_u64(w, v);
            model_put(m, cause, be, 8);
            break;
        case 4:
            gw_put_str8(w, "a.name");
            model_put(m, cause, "\6a.name", 7);
            break;
        case 5:
            n = v % 50 ? v % 300 : v % data_bytes;
            at = chance(&seed) % (data_bytes - n);
            gw_put_bytes(w, data + at, n);
            model_put(m, cause, data + at, n);
            break;
        default:
            n = v % 3 ? 4096 : v % 5000;
            at = chance(&seed) % (data_bytes - n);
            gw_put_ref(w, data + at, n);
            model_put(m, cause, data + at, n);
            break;
        }
        if (chance(&seed) % 5000 == 0)
            assert_int_equal(gw_writer_flush(w, NULL), 0);
    }
}

static void what_is_put_arrives(void **state)
{
    enum { DATA = 200000, PUTS = 20000, ROOM = 80000000 };
    uint8_t *data = random_bytes(DATA, 1);
    struct model m = {.bytes = malloc(ROOM)};

    for (uint64_t seed = 0; seed < 4; seed++) {
        struct gw_error err = GW_ERROR_INIT;
        uint64_t in, out;
        struct gw_writer w;
        struct sink s;

        sink_init(&s, ROOM);
        s.most = seed == 1 ? 7777 : 0;
        m.count = 0;
        memset(m.by, 0, sizeof m.by);
        assert_ok(gw_writer_init(&w, &s.channel, &err), err);
        w.flush_bytes = seed == 2 ? 50000 : 0;
        random_puts(&w, &m, data, DATA, PUTS, seed);
        assert_int_equal(gw_writer_offset(&w), m.count);
        assert_ok(gw_writer_flush(&w, &err), err);
        assert_int_equal(s.count, m.count);
        assert_memory_equal(s.bytes, m.bytes, m.count);
        assert_memory_equal(w.out.by, m.by, sizeof m.by);
        assert_int_equal(counted(&w), m.count);
        gw_channel_bytes(&s.channel, &in, &out);
        assert_int_equal(out, counted(&w));
        /* The same into memory. */
        gw_writer_close(&w);
        assert_ok(gw_writer_init_memory(&w, &err), err);
        m.count = 0;
        memset(m.by, 0, sizeof m.by);
        random_puts(&w, &m, data, DATA, 2000, seed);
        size_t bytes;
        const uint8_t *p = gw_writer_data(&w, &bytes);
        assert_int_equal(bytes, m.count);
        assert_memory_equal(p, m.bytes, bytes);
        assert_int_equal(counted(&w), bytes);
        gw_writer_close(&w);
        gw_writer_close(&w);
        free(s.bytes);
    }
    free(m.bytes);
    free(data);
}

static void get_of_put_is_the_same(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    uint64_t seed = 9;
    struct gw_writer w;
    struct gw_reader r;
    size_t bytes;
    uint8_t *p;

    assert_ok(gw_writer_init_memory(&w, &err), err);
    for (int i = 0; i < 1000; i++) {
        uint64_t v = chance(&seed);

        gw_put_u8(&w, (uint8_t)v);
        gw_put_u16(&w, (uint16_t)v);
        gw_put_u32(&w, (uint32_t)v);
        gw_put_u64(&w, v);
    }
    p = gw_writer_take(&w, &bytes);
    assert_int_equal(bytes, 15000);
    gw_reader_init_memory(&r, p, bytes, 0);
    seed = 9;
    for (int i = 0; i < 1000; i++) {
        uint64_t v = chance(&seed), d = 0;
        uint8_t a = 0;
        uint16_t b = 0;
        uint32_t c = 0;

        assert_ok(gw_get_u8(&r, &a, &err), err);
        assert_ok(gw_get_u16(&r, &b, &err), err);
        assert_ok(gw_get_u32(&r, &c, &err), err);
        assert_ok(gw_get_u64(&r, &d, &err), err);
        assert_true(a == (uint8_t)v && b == (uint16_t)v && c == (uint32_t)v && d == v);
    }
    /* After the take the writer is empty, and goes on. */
    gw_put_u8(&w, 1);
    gw_writer_data(&w, &bytes);
    assert_int_equal(bytes, 1);
    assert_int_equal(gw_writer_offset(&w), 15001);
    gw_writer_close(&w);
    free(p);
}

struct flushes {
    uint64_t bytes;
    unsigned count;
};

static void on_flush(void *opaque, uint64_t bytes)
{
    struct flushes *f = opaque;

    f->bytes += bytes;
    f->count++;
}

/* Headers and pages: the vectors fill up and go by themselves, 1024 at a time, pages straight from where they are. */
static void many_vectors(void **state)
{
    enum { PAGES = 5000 };
    struct gw_error err = GW_ERROR_INIT;
    uint8_t *pages = random_bytes((size_t)PAGES * 4096, 8);
    struct flushes f = {0};
    struct gw_writer w;
    struct sink s;

    sink_init(&s, (size_t)PAGES * 4104);
    assert_ok(gw_writer_init(&w, &s.channel, &err), err);
    w.flushed = on_flush;
    w.opaque = &f;
    for (uint64_t i = 0; i < PAGES; i++) {
        gw_writer_cause(&w, GW_CAUSE_RAM_META);
        gw_put_u64(&w, i);
        gw_writer_cause(&w, GW_CAUSE_RAM_PAGE);
        gw_put_ref(&w, pages + i * 4096, 4096);
    }
    /* Not copied: what is written between put and flush is what goes. */
    pages[(PAGES - 1) * 4096ull] ^= 0xff;
    assert_ok(gw_writer_flush(&w, &err), err);
    assert_int_equal(s.count, (size_t)PAGES * 4104);
    for (uint64_t i = 0; i < PAGES; i++) {
        assert_int_equal(s.bytes[i * 4104 + 7], i & 0xff);
        assert_memory_equal(s.bytes + i * 4104 + 8, pages + i * 4096, 4096);
    }
    assert_in_range(s.widest, 1020, 1024);
    assert_in_range(s.calls, PAGES * 2 / 1024, PAGES * 2 / 1024 + 1);
    assert_int_equal(f.bytes, s.count);
    assert_int_equal(f.count, s.calls);
    assert_int_equal(w.out.by[GW_CAUSE_RAM_META], PAGES * 8);
    assert_int_equal(w.out.by[GW_CAUSE_RAM_PAGE], PAGES * 4096);
    /* Nothing waits: no call. */
    assert_ok(gw_writer_flush(&w, &err), err);
    assert_int_equal(f.count, s.calls);
    gw_writer_close(&w);
    free(s.bytes);
    free(pages);
}

static void flushes_when_told_so_much_waits(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    uint8_t *pages = calloc(1, 4096);
    struct gw_writer w;
    struct sink s;

    sink_init(&s, 1000 * 4104);
    assert_ok(gw_writer_init(&w, &s.channel, &err), err);
    w.flush_bytes = 40000;
    for (int i = 0; i < 1000; i++) {
        gw_put_u64(&w, 1);
        gw_put_ref(&w, pages, 4096);
        assert_true(gw_writer_offset(&w) - s.count < 40000 + 4104);
    }
    assert_ok(gw_writer_flush(&w, &err), err);
    assert_in_range(s.calls, 1000 / 11, 1000 / 9);
    gw_writer_close(&w);
    free(s.bytes);
    free(pages);
}

static void first_error_sticks(void **state)
{
    struct gw_error err = GW_ERROR_INIT, again = GW_ERROR_INIT;
    uint8_t data[1000] = {0};
    struct flushes f = {0};
    unsigned calls;
    struct gw_writer w;
    struct sink s;

    sink_init(&s, GW_MIB);
    s.fail_at = 150000;
    assert_ok(gw_writer_init(&w, &s.channel, &err), err);
    w.flushed = on_flush;
    w.opaque = &f;
    for (int i = 0; i < 400; i++)
        gw_put_bytes(&w, data, sizeof data); /* says nothing */
    calls = s.calls;
    assert_int_equal(gw_writer_flush(&w, &err), -EPIPE);
    assert_text(err, "gone");
    assert_text(err, "writing at byte 130000");
    assert_int_equal(s.count, 150000);
    assert_int_equal(f.bytes, 130000);
    gw_put_u8(&w, 1);
    gw_put_ref(&w, data, sizeof data);
    gw_put_str8(&w, "");
    assert_int_equal(gw_writer_flush(&w, &again), -EPIPE);
    assert_string_equal(again.text, err.text);
    assert_int_equal(s.calls, calls);
    gw_writer_close(&w);
    free(s.bytes);
}

static void names_that_get_would_refuse(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    char name[300];
    struct gw_writer w;
    size_t bytes;

    memset(name, 'n', sizeof name);
    name[255] = 0;
    assert_ok(gw_writer_init_memory(&w, &err), err);
    gw_put_str8(&w, name);
    assert_ok(gw_writer_flush(&w, &err), err);
    gw_writer_data(&w, &bytes);
    assert_int_equal(bytes, 256);
    name[255] = 'n';
    name[256] = 0;
    gw_put_str8(&w, name);
    assert_int_equal(gw_writer_flush(&w, &err), -EINVAL);
    assert_text(err, "a name of 256 bytes at byte 256");
    gw_writer_close(&w);
    assert_ok(gw_writer_init_memory(&w, &err), err);
    gw_put_str8(&w, "");
    assert_int_equal(gw_writer_flush(&w, &err), -EINVAL);
    gw_writer_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_arrives), cmocka_unit_test(get_of_put_is_the_same),
        cmocka_unit_test(many_vectors),        cmocka_unit_test(flushes_when_told_so_much_waits),
        cmocka_unit_test(first_error_sticks),  cmocka_unit_test(names_that_get_would_refuse),
    };

    return cmocka_run_group_tests_name("writer", tests, NULL, NULL);
}
