/* SPDX-License-Identifier: MIT */
#include "channel/reader.h"

#include "channel/writer.h"
#include "helpers.h"

/* ---- a channel that gives prepared bytes, in pieces as told, and then an end or an error --------------------------
 */

struct script {
    struct gw_channel channel;
    const uint8_t *bytes;
    size_t count, at;
    size_t cut;  /* a call never crosses this offset */
    size_t most; /* per call, 0: any */
    int then;    /* 0: end; else this error, without a text */
    unsigned calls;
};

static ssize_t script_readv(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    struct script *s = (struct script *)ch;
    size_t limit = s->count - s->at, done = 0;

    s->calls++;
    if (!limit)
        return s->then;
    if (s->at < s->cut)
        limit = GW_MIN(limit, s->cut - s->at);
    if (s->most)
        limit = GW_MIN(limit, s->most);
    for (int i = 0; i < n && limit; i++) {
        size_t part = GW_MIN(iov[i].iov_len, limit);

        memcpy(iov[i].iov_base, s->bytes + s->at, part);
        s->at += part;
        limit -= part;
        done += part;
    }
    return (ssize_t)done;
}

static const struct gw_channel_ops script_ops = {.kind = "script", .readv = script_readv};

static void script_init(struct script *s, const void *bytes, size_t count)
{
    *s = (struct script){.bytes = bytes, .count = count};
    gw_channel_init(&s->channel, &script_ops, 0, "script");
}

/* ---- a stream with one of everything ------------------------------------------------------------------------------
 */

#define BODY 5000

struct everything {
    uint8_t a;
    uint16_t b;
    uint32_t c;
    uint64_t d;
    char name[256];
    uint8_t body[BODY], last[3];
};

static void put_everything(struct gw_writer *w, const struct everything *e)
{
    gw_put_u8(w, e->a);
    gw_put_u16(w, e->b);
    gw_put_u32(w, e->c);
    gw_put_u64(w, e->d);
    gw_put_str8(w, e->name);
    gw_put_bytes(w, e->last, 3); /* discarded by the reader */
    gw_put_ref(w, e->body, BODY);
    gw_put_bytes(w, e->last, 3);
}

static int get_everything(struct gw_reader *r, struct everything *e, struct gw_error *err)
{
    struct iovec iov[3] = {{e->body, 1}, {e->body + 1, 0}, {e->body + 1, BODY - 1}};
    int x;

    if ((x = gw_get_u8(r, &e->a, err)) < 0 || (x = gw_get_u16(r, &e->b, err)) < 0 ||
        (x = gw_get_u32(r, &e->c, err)) < 0 || (x = gw_get_u64(r, &e->d, err)) < 0 ||
        (x = gw_get_str8(r, e->name, err)) < 0 || (x = gw_get_discard(r, 3, err)) < 0 ||
        (x = gw_reader_direct(r, iov, 3, err)) < 0 || (x = gw_get_bytes(r, e->last, 3, err)) < 0)
        return x;
    return 0;
}

static uint8_t *stream_of(struct everything *e, size_t *ret_bytes)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_writer w;
    uint64_t seed = 3;
    uint8_t *p;

    memset(e, 0, sizeof *e);
    e->a = 0x12;
    e->b = 0x3456;
    e->c = 0x789abcde;
    e->d = 0xf0123456789abcdeull;
    strcpy(e->name, "pc.ram");
    for (size_t i = 0; i < BODY; i++)
        e->body[i] = (uint8_t)chance(&seed);
    memcpy(e->last, "end", 3);
    assert_ok(gw_writer_init_memory(&w, &err), err);
    put_everything(&w, e);
    assert_ok(gw_writer_flush(&w, &err), err);
    p = gw_writer_take(&w, ret_bytes);
    gw_writer_close(&w);
    return p;
}

static void big_endian_and_bounded(void **state)
{
    static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 2, 'h', 'i'};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_reader r;
    char name[256];
    uint8_t a;
    uint16_t b;
    uint32_t c;
    uint64_t d;

    gw_reader_init_memory(&r, bytes, sizeof bytes, 1000);
    assert_int_equal(gw_reader_offset(&r), 1000);
    assert_ok(gw_get_u8(&r, &a, &err), err);
    assert_ok(gw_get_u16(&r, &b, &err), err);
    assert_ok(gw_get_u32(&r, &c, &err), err);
    assert_ok(gw_get_u64(&r, &d, &err), err);
    assert_ok(gw_get_str8(&r, name, &err), err);
    assert_int_equal(a, 1);
    assert_int_equal(b, 0x0203);
    assert_int_equal(c, 0x04050607);
    assert_int_equal(d, 0x08090a0b0c0d0e0full);
    assert_string_equal(name, "hi");
    assert_int_equal(gw_reader_offset(&r), 1018);
    r.in.what = "a thing";
    assert_int_equal(gw_get_u8(&r, &a, &err), -ENODATA);
    assert_text(err, "stream ended at byte 1018 inside a thing (1 more bytes needed)");
    assert_int_equal(err.blame, GW_BLAME_CHANNEL);
    gw_reader_close(&r);
}

static void every_truncation_says_where(void **state)
{
    struct everything e, got;
    size_t bytes;
    uint8_t *stream = stream_of(&e, &bytes);

    for (size_t cut = 0; cut < bytes; cut++) {
        struct gw_error err = GW_ERROR_INIT;
        uint8_t *exact = malloc(cut ? cut : 1); /* so that one byte too far is seen by the sanitizer */
        char where[64];
        struct gw_reader r;
        struct script s;

        memcpy(exact, stream, cut);
        snprintf(where, sizeof where, "stream ended at byte %zu ", cut);
        gw_reader_init_memory(&r, exact, cut, 0);
        assert_int_equal(get_everything(&r, &got, &err), -ENODATA);
        assert_text(err, where);
        gw_reader_close(&r);

        script_init(&s, exact, cut);
        assert_ok(gw_reader_init(&r, &s.channel, &err), err);
        r.readahead = cut % 3 * 7;
        assert_int_equal(get_everything(&r, &got, &err), -ENODATA);
        assert_text(err, where);
        gw_reader_close(&r);
        free(exact);
    }
    free(stream);
}

static void reads_may_be_split_anywhere(void **state)
{
    static const size_t readaheads[] = {0, 1, 300, GW_READER_CAP, SIZE_MAX};
    struct everything e, got;
    size_t bytes;
    uint8_t *stream = stream_of(&e, &bytes);

    for (size_t cut = 0; cut <= bytes; cut++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_reader r;
        struct script s;

        memset(&got, 0, sizeof got);
        script_init(&s, stream, bytes);
        s.cut = cut;
        assert_ok(gw_reader_init(&r, &s.channel, &err), err);
        r.readahead = readaheads[cut % GW_ARRAY_LEN(readaheads)];
        assert_ok(get_everything(&r, &got, &err), err);
        assert_memory_equal(&got, &e, sizeof e);
        assert_int_equal(gw_reader_offset(&r), bytes);
        gw_reader_close(&r);
    }
    /* And all of them one byte long. */
    for (size_t k = 0; k < GW_ARRAY_LEN(readaheads); k++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_reader r;
        struct script s;

        script_init(&s, stream, bytes);
        s.most = 1;
        assert_ok(gw_reader_init(&r, &s.channel, &err), err);
        r.readahead = readaheads[k];
        assert_ok(get_everything(&r, &got, &err), err);
        assert_memory_equal(&got, &e, sizeof e);
        gw_reader_close(&r);
    }
    free(stream);
}

static void reads_no_further_ahead_than_told(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    uint8_t *data = random_bytes(300000, 9), big[100000];
    struct gw_reader r;
    struct script s;
    uint32_t v;

    script_init(&s, data, 300000);
    assert_ok(gw_reader_init(&r, &s.channel, &err), err);
    r.readahead = 10;
    assert_ok(gw_get_u32(&r, &v, &err), err);
    assert_int_equal(s.at, 14);
    struct iovec iov = {big, sizeof big};
    assert_ok(gw_reader_direct(&r, &iov, 1, &err), err);
    assert_int_equal(s.at, 4 + sizeof big); /* no byte more: the direct read knows its end */
    assert_memory_equal(big, data + 4, sizeof big);
    assert_int_equal(gw_reader_offset(&r), 4 + sizeof big);
    /* Larger than the buffer goes past it. */
    assert_ok(gw_get_bytes(&r, big, 70000, &err), err);
    assert_memory_equal(big, data + 100004, 70000);
    r.readahead = 0;
    assert_ok(gw_get_u32(&r, &v, &err), err);
    assert_int_equal(s.at, 170008);
    gw_reader_close(&r);
    free(data);
}

/* Shows and takes pieces of all sizes, around the end of the buffer too. */
static void need_try_skip(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    const size_t total = 3000000;
    uint8_t *data = random_bytes(total, 4);
    uint64_t seed = 77;
    size_t at = 0, got;
    struct gw_reader r;
    struct script s;
    const uint8_t *p;

    script_init(&s, data, total);
    assert_ok(gw_reader_init(&r, &s.channel, &err), err);
    while (at < total) {
        size_t n = chance(&seed) % 4    ? chance(&seed) % 3000
                   : chance(&seed) % 40 ? chance(&seed) % (GW_READER_CAP + 1)
                                        : chance(&seed) % (8 * GW_READER_CAP);
        size_t take;

        s.most = chance(&seed) % 5000;
        r.readahead = chance(&seed) % 70000;
        assert_ok(gw_reader_try(&r, n, &p, &got, &err), err);
        assert_int_equal(got, GW_MIN(n, total - at));
        assert_memory_equal(p, data + at, got);
        if (got == n) {
            assert_ok(gw_reader_need(&r, n, &p, &err), err);
            assert_memory_equal(p, data + at, n);
        }
        take = got ? chance(&seed) % (got + 1) : 0;
        gw_reader_skip(&r, take);
        at += take;
        assert_int_equal(gw_reader_offset(&r), at);
        if (chance(&seed) % 8 == 0) {
            size_t some = chance(&seed) % 90000, d = GW_MIN(total - at, some);

            assert_ok(gw_get_discard(&r, d, &err), err);
            at += d;
        }
    }
    /* At the end: nothing is there, which is no error for try. */
    assert_ok(gw_reader_try(&r, 1, &p, &got, &err), err);
    assert_int_equal(got, 0);
    assert_int_equal(gw_reader_need(&r, 5, &p, &err), -ENODATA);
    assert_text(err, "(5 more bytes needed)");
    /* Too much is the caller's mistake, and not the stream's end. */
    gw_reader_close(&r);
    script_init(&s, data, total);
    assert_ok(gw_reader_init(&r, &s.channel, &err), err);
    assert_int_equal(gw_reader_need(&r, GW_READER_LOOK_MAX + 1, &p, &err), -EINVAL);
    assert_int_equal(err.blame, GW_BLAME_CALLER);
    assert_ok(gw_reader_need(&r, GW_READER_CAP, &p, &err), err);
    gw_reader_close(&r);
    free(data);
}

static void first_error_sticks(void **state)
{
    static const uint8_t bytes[] = {1, 2, 3};
    struct gw_error err = GW_ERROR_INIT, again = GW_ERROR_INIT;
    struct iovec iov;
    struct gw_reader r;
    struct script s;
    const uint8_t *p;
    uint8_t byte;
    uint32_t v = 99;
    size_t got;

    script_init(&s, bytes, sizeof bytes);
    s.then = -ECONNRESET;
    assert_ok(gw_reader_init(&r, &s.channel, &err), err);
    assert_int_equal(gw_get_u32(&r, &v, NULL), -ECONNRESET);
    assert_int_equal(v, 99);
    assert_int_equal(s.calls, 2);
    /* Also what could have been read before. */
    assert_int_equal(gw_get_u8(&r, &byte, &err), -ECONNRESET);
    assert_int_equal(err.code, -ECONNRESET);
    assert_text(err, "reading at byte 3");
    iov = (struct iovec){&byte, 1};
    assert_int_equal(gw_reader_direct(&r, &iov, 1, &again), -ECONNRESET);
    assert_string_equal(again.text, err.text);
    assert_int_equal(gw_reader_try(&r, 1, &p, &got, &again), -ECONNRESET);
    assert_int_equal(gw_get_bytes(&r, &byte, 0, &again), -ECONNRESET);
    assert_int_equal(gw_reader_scatter(&r, &iov, 1, &again), -ECONNRESET);
    assert_string_equal(again.text, err.text);
    assert_int_equal(s.calls, 2);
    gw_reader_close(&r);

    gw_reader_init_memory(&r, bytes, sizeof bytes, 0);
    assert_int_equal(gw_reader_fail(&r, -EPROTO, &err, "bad %d", 7), -EPROTO);
    assert_int_equal(err.blame, GW_BLAME_PEER);
    assert_int_equal(gw_get_u8(&r, &byte, &again), -EPROTO);
    assert_string_equal(again.text, "bad 7");
    gw_reader_close(&r);
    gw_reader_close(&r);
}

static void names(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    uint8_t longest[256];
    struct gw_reader r;
    char name[256];

    gw_reader_init_memory(&r, "\0", 1, 50);
    assert_int_equal(gw_get_str8(&r, name, &err), -EPROTO);
    assert_text(err, "empty name at byte 50");
    assert_int_equal(gw_get_str8(&r, name, &err), -EPROTO);
    gw_reader_init_memory(&r, "\3a\0b", 4, 0);
    assert_int_equal(gw_get_str8(&r, name, &err), -EPROTO);
    assert_text(err, "NUL inside");
    assert_int_equal(err.blame, GW_BLAME_PEER);
    memset(longest, 'x', sizeof longest);
    longest[0] = 255;
    gw_reader_init_memory(&r, longest, 256, 0);
    assert_ok(gw_get_str8(&r, name, &err), err);
    assert_int_equal(strlen(name), 255);
}

static void nothing_at_all(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_reader r;
    const uint8_t *p;
    uint8_t v;

    gw_reader_init_memory(&r, NULL, 0, 0);
    assert_ok(gw_reader_need(&r, 0, &p, &err), err);
    assert_ok(gw_get_bytes(&r, NULL, 0, &err), err);
    assert_ok(gw_get_discard(&r, 0, &err), err);
    assert_ok(gw_reader_direct(&r, NULL, 0, &err), err);
    assert_int_equal(gw_get_u8(&r, &v, &err), -ENODATA);
    gw_reader_close(&r);
}

/* Reading ahead into places, and giving back what did not belong there. */
static void scatter_and_unread(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    const size_t total = 2000000;
    uint8_t *data = random_bytes(total, 21), *place = malloc(200000), *check = malloc(200000);
    uint64_t seed = 5;
    size_t at = 0;
    struct gw_reader r;
    struct script s;

    script_init(&s, data, total);
    assert_ok(gw_reader_init(&r, &s.channel, &err), err);
    while (at < total) {
        size_t most = chance(&seed) % 9000, d;

        s.most = 1 + most;
        r.readahead = chance(&seed) % 3 ? chance(&seed) % 2000 : 0;
        if (!gw_reader_buffered(&r) && chance(&seed) % 2) {
            struct iovec iov[3] = {{place, 8}, {place + 8, 4096}, {place + 4104, 190000}};
            ssize_t got = gw_reader_scatter(&r, iov, 3, &err);
            size_t keep, back;
            struct iovec rest;

            assert_ok(got, err);
            assert_memory_equal(place, data + at, (size_t)got);
            keep = chance(&seed) % ((size_t)got + 1);
            back = (size_t)got - keep;
            rest = (struct iovec){place + keep, back};
            if (back)
                assert_ok(gw_reader_unread(&r, &rest, 1, back, &err), err);
            at += keep;
        } else if (chance(&seed) % 2) {
            size_t some = chance(&seed) % 20000;

            d = GW_MIN(some, total - at);
            assert_ok(gw_reader_direct_ahead(&r, check, d, &err), err);
            assert_memory_equal(check, data + at, d);
            at += d;
        } else {
            size_t some = chance(&seed) % 200;

            d = GW_MIN(some, total - at);
            assert_ok(gw_get_bytes(&r, check, d, &err), err);
            assert_memory_equal(check, data + at, d);
            at += d;
        }
        assert_int_equal(gw_reader_offset(&r), at);
    }
    assert_int_equal(gw_reader_direct_ahead(&r, check, 1, &err), -ENODATA);
    gw_reader_close(&r);
    free(data);
    free(place);
    free(check);
}

static void scatter_only_at_the_front(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    uint8_t data[100] = {0}, byte;
    struct iovec iov = {data, 50};
    struct gw_reader r;
    struct script s;

    script_init(&s, data, sizeof data);
    assert_ok(gw_reader_init(&r, &s.channel, &err), err);
    assert_ok(gw_get_u8(&r, &byte, &err), err);
    assert_int_equal(gw_reader_scatter(&r, &iov, 1, &err), -EINVAL);
    gw_reader_skip(&r, SIZE_MAX);
    assert_int_equal(gw_reader_scatter(&r, &iov, 1, &err), -ENODATA);
    gw_reader_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(big_endian_and_bounded),
        cmocka_unit_test(every_truncation_says_where),
        cmocka_unit_test(reads_may_be_split_anywhere),
        cmocka_unit_test(reads_no_further_ahead_than_told),
        cmocka_unit_test(need_try_skip),
        cmocka_unit_test(first_error_sticks),
        cmocka_unit_test(names),
        cmocka_unit_test(nothing_at_all),
        cmocka_unit_test(scatter_and_unread),
        cmocka_unit_test(scatter_only_at_the_front),
    };

    return cmocka_run_group_tests_name("reader", tests, NULL, NULL);
}
