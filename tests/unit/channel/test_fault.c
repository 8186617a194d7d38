/* SPDX-License-Identifier: MIT */
#include "channel/fault.h"

#include "helpers.h"

static const enum pair_kind kinds[] = {PAIR_MEMORY, PAIR_TCP4};

/* A pair whose end a has the fault. */
static struct pair *faulty_pair(enum pair_kind kind, struct gw_fault fault)
{
    struct gw_error err = GW_ERROR_INIT;
    struct pair *p = pair_open(kind);

    assert_non_null(p);
    assert_ok(gw_fault_new(p->a, &fault, 1, &p->a, &err), err);
    gw_channel_set_timeout(p->a, PATIENCE_NS);
    return p;
}

static size_t read_all(struct gw_channel *ch, uint8_t *buf, size_t bytes, int *ret_how)
{
    size_t done = 0;

    for (;;) {
        struct iovec iov = {buf + done, bytes - done};
        ssize_t n = gw_channel_readv(ch, &iov, 1, NULL);

        if (n <= 0 || done + (size_t)n == bytes) {
            *ret_how = n <= 0 ? (int)n : 1;
            return done + (n > 0 ? (size_t)n : 0);
        }
        done += (size_t)n;
    }
}

/* The other side reads up to the cut and then an end; what it says still arrives. */
static void deaf(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct pair *p = faulty_pair(kinds[0], (struct gw_fault){.kind = GW_FAULT_DEAF, .direction = GW_FAULT_OUT, .at_byte = 3});
    char got[4] = "";

    assert_int_equal(gw_channel_write_full(p->a, "12345", 5, &err), -EPIPE);
    assert_ok(gw_channel_read_full(p->b, got, 3, &err), err);
    assert_string_equal(got, "123");
    assert_int_equal(gw_channel_read_full(p->b, got, 1, NULL), -ENODATA);
    assert_ok(gw_channel_write_full(p->b, "word", 4, &err), err);
    assert_ok(gw_channel_read_full(p->a, got, 4, &err), err);
    assert_memory_equal(got, "word", 4);
    assert_int_equal(gw_channel_close(p->a, NULL), -EPIPE);
    assert_int_equal(gw_fault_happened(p->a), 1);
    pair_free(p);
}

static void exactly_at_the_byte(void **state)
{
    static const uint64_t places[] = {0, 1, 999, 4096, 70000};
    const size_t bytes = 100000;
    uint8_t *data = random_bytes(bytes, 1), *back = malloc(bytes);

    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; i < GW_ARRAY_LEN(places); i++) {
            struct gw_error err = GW_ERROR_INIT;
            uint64_t at = places[i], in, out;
            struct pair *p;
            int how;

            /* What is written before the cut arrives, and no byte more; then an end. */
            for (int reset = 0; reset < 2; reset++) {
                p = faulty_pair(kinds[k], (struct gw_fault){.kind = reset ? GW_FAULT_RESET : GW_FAULT_END,
                                                            .direction = GW_FAULT_OUT,
                                                            .at_byte = at});
                struct mover r = {.channel = p->b, .bytes = back, .count = bytes, .seed = 3};
                mover_start(&r);
                assert_int_equal(gw_channel_write_full(p->a, data, bytes, &err), reset ? -ECONNRESET : -EPIPE);
                gw_channel_bytes(p->a, &in, &out);
                assert_int_equal(out, at);
                assert_int_equal(mover_end(&r), -ENODATA);
                gw_channel_bytes(p->b, &in, &out);
                assert_int_equal(in, at);
                assert_memory_equal(data, back, at);
                assert_int_equal(gw_channel_read_full(p->a, back, 1, NULL), reset ? -ECONNRESET : -ENODATA);
                assert_int_equal(gw_channel_close(p->a, NULL), reset ? -ECONNRESET : -EPIPE);
                assert_int_equal(gw_fault_happened(p->a), 1);
                pair_free(p);
            }
            /* The same when reading. */
            for (int reset = 0; reset < 2; reset++) {
                p = faulty_pair(kinds[k], (struct gw_fault){.kind = reset ? GW_FAULT_RESET : GW_FAULT_END,
                                                            .direction = GW_FAULT_IN,
                                                            .at_byte = at});
                struct mover w = {.channel = p->b, .bytes = data, .count = bytes, .seed = 3, .write = true};
                mover_start(&w);
                assert_int_equal(read_all(p->a, back, bytes, &how), at);
                assert_int_equal(how, reset ? -ECONNRESET : 0);
                assert_memory_equal(data, back, at);
                if (!reset)
                    assert_ok(gw_channel_write_full(p->a, "x", 1, &err), err);
                gw_channel_shutdown(p->b);
                mover_end(&w);
                pair_free(p);
            }
            /* One error, then on. */
            p = faulty_pair(
                kinds[k],
                (struct gw_fault){.kind = GW_FAULT_ERROR, .direction = GW_FAULT_IN, .at_byte = at, .code = -ENETDOWN});
            struct mover w = {.channel = p->b, .bytes = data, .count = bytes, .seed = 3, .write = true};
            mover_start(&w);
            assert_int_equal(read_all(p->a, back, bytes, &how), at);
            assert_int_equal(how, -ENETDOWN);
            assert_int_equal(read_all(p->a, back, bytes - at, &how), bytes - at);
            assert_ok(mover_end(&w), w.err);
            pair_free(p);
        }
    }
    free(data);
    free(back);
}

static void one_byte_is_changed(void **state)
{
    const size_t bytes = 30000;
    uint8_t *data = random_bytes(bytes, 1), *copy = malloc(bytes), *back = malloc(bytes);

    memcpy(copy, data, bytes);
    for (int out = 0; out < 2; out++) {
        for (uint64_t at = 0; at < bytes; at += 4999) {
            struct pair *p = faulty_pair(PAIR_UNIX, (struct gw_fault){.kind = GW_FAULT_CORRUPT,
                                                                      .direction = out ? GW_FAULT_OUT : GW_FAULT_IN,
                                                                      .at_byte = at,
                                                                      .flip = 0x80});
            struct mover w = {.channel = out ? p->a : p->b, .bytes = data, .count = bytes, .seed = 1, .write = true};
            struct mover r = {.channel = out ? p->b : p->a, .bytes = back, .count = bytes, .seed = 2};
            uint8_t peeked;

            if (!out && at == 0) {
                gw_channel_write_full(p->b, data, 1, NULL);
                assert_int_equal(gw_channel_peek(p->a, &peeked, 1, NULL), 1);
                assert_int_equal(peeked, data[0] ^ 0x80);
                w.bytes++;
                w.count--;
            }
            mover_start(&w);
            mover_start(&r);
            assert_ok(mover_end(&w), w.err);
            assert_ok(mover_end(&r), r.err);
            assert_memory_equal(data, copy, bytes); /* the sender's memory is as it was */
            assert_int_equal(back[at], data[at] ^ 0x80);
            back[at] ^= 0x80;
            assert_memory_equal(back, data, bytes);
            assert_int_equal(gw_fault_happened(p->a), 1);
            pair_free(p);
        }
    }
    free(data);
    free(copy);
    free(back);
}

static void short_counts(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    uint8_t data[2000], back[2000];
    struct pair *p;

    memset(data, 7, sizeof data);
    p = faulty_pair(PAIR_MEMORY,
                    (struct gw_fault){.kind = GW_FAULT_SHORT, .direction = GW_FAULT_OUT, .at_byte = 1000, .bytes = 3});
    struct iovec iov = {data, 2000};
    assert_int_equal(gw_channel_writev(p->a, &iov, 1, &err), 1000);
    for (int i = 0; i < 300; i++)
        assert_int_equal(gw_channel_writev(p->a, &iov, 1, &err), 3);
    assert_int_equal(gw_channel_queued(p->a), 1900);
    assert_ok(gw_channel_read_full(p->b, back, 1900, &err), err);
    assert_int_equal(gw_channel_queued(p->a), 0);
    pair_free(p);
}

static void by_call(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct pair *p;

    p = faulty_pair(PAIR_MEMORY, (struct gw_fault){.kind = GW_FAULT_ERROR, .direction = GW_FAULT_OUT, .at_call = 3});
    for (int i = 1; i <= 5; i++)
        assert_int_equal(gw_channel_write_full(p->a, "x", 1, &err), i == 3 ? -EIO : 0);
    pair_free(p);
}

static void stalls(void **state)
{
    for (size_t k = 0; k < 2; k++) {
        struct gw_error err = GW_ERROR_INIT;
        uint8_t data[100] = {0};
        struct pair *p;

        p = faulty_pair(kinds[k], (struct gw_fault){.kind = GW_FAULT_STALL, .direction = GW_FAULT_OUT, .at_byte = 60});
        gw_channel_set_timeout(p->a, 30 * MS);
        assert_int_equal(gw_channel_write_full(p->a, data, 100, &err), -ETIMEDOUT);
        assert_text(err, "nothing moved for 30 ms");
        assert_int_equal(gw_channel_write_full(p->a, data, 1, &err), -ETIMEDOUT);
        assert_ok(gw_channel_read_full(p->b, data, 60, &err), err);
        gw_channel_set_timeout(p->a, 0);
        /* The other direction goes on. */
        assert_ok(gw_channel_write_full(p->b, data, 1, &err), err);
        assert_ok(gw_channel_read_full(p->a, data, 1, &err), err);
        struct mover w = {.channel = p->a, .bytes = data, .count = 1, .write = true};
        mover_start(&w);
        mover_waits(&w);
        gw_channel_shutdown(p->a);
        assert_int_equal(mover_end(&w), -ECANCELED);
        pair_free(p);
    }
}

/* A connection that is lost in one direction ends the wait in the other, and as lost. */
static void lost_while_the_other_thread_waits(void **state)
{
    for (size_t k = 0; k < 2; k++) {
        struct gw_fault cut = {.kind = GW_FAULT_RESET, .direction = GW_FAULT_OUT};
        struct gw_error err = GW_ERROR_INIT;
        uint8_t byte;
        struct pair *p;

        p = pair_open(kinds[k]);
        assert_non_null(p);
        assert_ok(gw_fault_new(p->a, NULL, 0, &p->a, &err), err);
        gw_channel_set_timeout(p->a, 0);
        struct mover r = {.channel = p->a, .bytes = &byte, .count = 1};
        mover_start(&r);
        assert_ok(gw_channel_write_full(p->a, "before", 6, &err), err);
        mover_waits(&r);
        assert_ok(gw_fault_add(p->a, &cut, &err), err);
        assert_int_equal(gw_channel_write_full(p->a, "x", 1, &err), -ECONNRESET);
        assert_int_equal(mover_end(&r), -ECONNRESET);
        pair_free(p);
    }
}

static void passes_all_else_on(void **state)
{
    struct gw_fault flip = {.kind = GW_FAULT_CORRUPT, .direction = GW_FAULT_OUT, .at_byte = 1};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_uri uri = {.kind = GW_URI_FILE};
    struct gw_channel *ch, *inner;
    char text[8];

    temporary_path(uri.path, "f");
    assert_ok(gw_connect(&uri, 0, NULL, &inner, &err), err);
    assert_ok(gw_fault_new(inner, &flip, 1, &ch, &err), err);
    assert_string_equal(ch->name, inner->name);
    assert_int_equal(ch->features, inner->features);
    assert_ok(gw_channel_pwrite_full(ch, "abcd", 4, 2, &err), err);
    assert_ok(gw_channel_seek(ch, 0, &err), err);
    assert_ok(gw_channel_write_full(ch, "12", 2, &err), err);
    assert_ok(gw_channel_sync(ch, &err), err);
    assert_ok(gw_channel_close(ch, &err), err);
    gw_channel_free(ch);
    FILE *f = fopen(uri.path, "r");
    assert_int_equal(fread(text, 1, 8, f), 6);
    assert_memory_equal(text,
                        "12a\x63"
                        "cd",
                        6); /* the b became c */
    fclose(f);
    remove_temporary(uri.path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        channel_test(exactly_at_the_byte),
        channel_test(deaf),
        channel_test(one_byte_is_changed),
        channel_test(short_counts),
        channel_test(by_call),
        channel_test(stalls),
        channel_test(lost_while_the_other_thread_waits),
        channel_test(passes_all_else_on),
    };

    return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
