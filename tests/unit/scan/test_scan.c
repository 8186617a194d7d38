/* SPDX-License-Identifier: MIT */
#include <pthread.h>

#include "../image/streams.h"

#include <cmocka.h>

#include "base/endian.h"
#include "scan/parts.h"

struct seen {
    unsigned devices, described, ends, sections, blocks;
    uint64_t kinds[GW_SCAN_PAGE_KINDS], section_bytes, last;
    const uint8_t *base; /* of the stream */
    uint64_t trailing;
};

static int on_section(void *opaque, const struct gw_scan_section *s)
{
    struct seen *seen = opaque;

    assert_int_equal(seen->base[s->at], s->element);
    assert_int_equal(gw_load_be32(seen->base + s->at + 1), s->id);
    assert_true(s->at >= seen->last);
    seen->last = s->at + s->bytes;
    seen->sections++;
    seen->section_bytes += s->bytes;
    if (s->element == GW_ELEMENT_FULL && !s->checkpoint) {
        seen->devices++;
        seen->described += s->state != NULL;
        assert_non_null(s->body);
    }
    return 0;
}

static int on_block(void *opaque, const struct gw_scan_block *b)
{
    ((struct seen *)opaque)->blocks++;
    return 0;
}

static int on_page(void *opaque, const struct gw_scan_page *p)
{
    ((struct seen *)opaque)->kinds[p->kind]++;
    assert_true(p->offset < p->block->used_bytes);
    return 0;
}

static int on_eof(void *opaque, uint64_t at)
{
    struct seen *seen = opaque;

    assert_int_equal(seen->base[at], 0);
    seen->ends++;
    return 0;
}

static int on_trailing(void *opaque, uint64_t at, uint64_t bytes)
{
    ((struct seen *)opaque)->trailing += bytes;
    return 0;
}

static const struct gw_scan_visitor visitor = {
    .section = on_section, .block = on_block, .page = on_page, .eof = on_eof, .trailing = on_trailing};

static int walk(const uint8_t *data, size_t bytes, const struct gw_scan_visitor *v, struct seen *seen,
                uint64_t *ret_offset, struct gw_error *err)
{
    struct gw_reader r;
    struct gw_scan s;
    int e;

    *seen = (struct seen){.base = data};
    gw_reader_init_memory(&r, data, bytes, 0);
    gw_scan_init(&s, &r, v, seen);
    e = gw_scan_run(&s, err);
    if (ret_offset)
        *ret_offset = gw_reader_offset(&r);
    gw_scan_close(&s);
    gw_reader_close(&r);
    return e;
}

static void test_every_capture_to_its_end(void **state)
{
    for (size_t i = 0; i < GW_ARRAY_LEN(streams); i++) {
        struct bytes b = stream_load(streams[i].name);
        struct gw_error err = GW_ERROR_INIT;
        uint64_t offset = 0;
        struct seen seen;

        if (walk(b.data, b.bytes, &visitor, &seen, &offset, &err) < 0)
            fail_msg("%s: %s", streams[i].name, err.text);
        assert_int_equal(offset, b.bytes);
        assert_int_equal(seen.trailing, 0);
        assert_true(seen.ends >= 1);
        if (seen.devices != streams[i].devices || seen.described != (streams[i].described ? seen.devices : 0))
            fail_msg("%s: %u devices, %u described", streams[i].name, seen.devices, seen.described);
        free(b.data);
    }
}

/* captures/README.md: 16 MiB, four pages of which are not zero. */
static void test_pages_of_pattern_a(void **state)
{
    static const char *const names[] = {"precopy-none-7.2.bin", "precopy-none-10.0.bin", "precopy-rp-7.2.main.src2dst.bin",
                                        "precopy-rp-10.0.main.src2dst.bin"};

    for (size_t i = 0; i < GW_ARRAY_LEN(names); i++) {
        struct bytes b = stream_load(names[i]);
        struct gw_error err = GW_ERROR_INIT;
        struct seen seen;

        assert_int_equal(walk(b.data, b.bytes, &visitor, &seen, NULL, &err), 0);
        assert_int_equal(seen.kinds[GW_SCAN_PLAIN], 4);
        assert_int_equal(seen.kinds[GW_SCAN_ZERO], 4096 - 4);
        assert_int_equal(seen.kinds[GW_SCAN_XBZRLE] + seen.kinds[GW_SCAN_COMPRESSED] + seen.kinds[GW_SCAN_MAPPED], 0);
        assert_int_equal(seen.blocks, 1);
        free(b.data);
    }
}

static void test_mapped_pages(void **state)
{
    struct bytes b = stream_load("mapped-ram-10.0.bin.gz");
    struct gw_error err = GW_ERROR_INIT;
    struct seen seen;

    assert_int_equal(walk(b.data, b.bytes, &visitor, &seen, NULL, &err), 0);
    assert_int_equal(seen.kinds[GW_SCAN_MAPPED], 3);
    free(b.data);
}

static const struct gw_scan_visitor silent = {0};

static void cut(const char *name, const uint8_t *data, size_t bytes)
{
    struct gw_error err = GW_ERROR_INIT;
    uint8_t *copy = malloc(bytes + !bytes); /* so that a sanitizer sees what is read behind the end */
    struct seen seen;
    int r;

    memcpy(copy, data, bytes);
    r = walk(copy, bytes, &silent, &seen, NULL, &err);
    /* Without its description a stream is whole as well. */
    if (r >= 0 && (!bytes || copy[bytes - 1] != 0))
        fail_msg("%s: cut at %zu, and nothing is said", name, bytes);
    if (r < 0 && (!strstr(err.text, "byte ") || err.code != r))
        fail_msg("%s: cut at %zu: %s", name, bytes, err.text);
    free(copy);
}

static void test_cut_at_every_byte(void **state)
{
    static const char *const names[] = {"ignore-shared-7.2.bin", "stopped-source-64k-10.0.bin"};

    for (size_t i = 0; i < GW_ARRAY_LEN(names); i++) {
        struct bytes b = stream_load(names[i]);

        for (size_t n = 0; n < b.bytes; n++)
            cut(names[i], b.data, n);
        free(b.data);
    }
}

static void test_cut_anywhere(void **state)
{
    uint64_t seed = 88172645463325252ull;

    for (size_t i = 0; i < GW_ARRAY_LEN(streams); i++) {
        struct bytes b = stream_load(streams[i].name);

        for (int k = 0; k < 12 && !strstr(streams[i].name, "colo"); k++) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            cut(streams[i].name, b.data, seed % b.bytes);
        }
        free(b.data);
    }
}

/* Whatever comes of it, it ends, and what is wrong is told. */
static void test_changed_bytes(void **state)
{
    struct bytes b = stream_load("precopy-none-10.0.bin");
    uint64_t seed = 1442695040888963407ull;

    for (int k = 0; k < 3000; k++) {
        struct gw_error err = GW_ERROR_INIT;
        struct seen seen;
        uint8_t old;
        size_t at;

        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        at = k % 2 ? (seed >> 33) % 600 : b.bytes - 1 - (seed >> 33) % 1100;
        old = b.data[at];
        b.data[at] ^= (uint8_t)(seed >> 20 | 1);
        if (walk(b.data, b.bytes, &silent, &seen, NULL, &err) < 0)
            assert_true(err.text[0] != 0);
        b.data[at] = old;
    }
    free(b.data);
}

static void expect(const char *bytes, size_t n, const char *text)
{
    struct gw_error err = GW_ERROR_INIT;
    struct seen seen;

    assert_true(walk((const uint8_t *)bytes, n, &silent, &seen, NULL, &err) < 0);
    if (!strstr(err.text, text))
        fail_msg("\"%s\" is not in \"%s\"", text, err.text);
}

#define HEAD "QEVM\0\0\0\3"
#define EXPECT(bytes, text) expect(bytes, sizeof(bytes) - 1, text)

static void test_what_is_wrong_is_named(void **state)
{
    EXPECT("", "ended at byte 0");
    EXPECT("#!/bin/sh\n", "not a migration stream");
    EXPECT("\x11\x22\x33\x44\0\0\0\1", "multifd channel");
    EXPECT("QEVM\0\0\0\2", "byte 4: stream version 2");
    EXPECT(HEAD "\7\0\0\0\0", "a name of 0 bytes at byte 13");
    EXPECT(HEAD "\7\0\0\0\4no\n ", "byte 0x0a");
    EXPECT(HEAD "\x55", "byte 8: 0x55 is not an element of a stream");
    EXPECT(HEAD "\2\0\0\0\7", "PART of section 7 at byte 8, which never started");
    EXPECT(HEAD "\x08\0\x0c\0\0", "unknown command 0xc at byte 8");
    EXPECT(HEAD "\x08\0\2\0\5abcde", "PING at byte 8 has 5 bytes instead of 4");
    EXPECT(HEAD "\1\0\0\0\1\3xyz\0\0\0\0\0\0\0\1", "live section xyz of version 1");
    EXPECT(HEAD "\1\0\0\0\1\3ram\0\0\0\0\0\0\0\4\0\0\0\0\0\0\x10\4\1a\0\0\0\0\0\0\x20\0", "RAM block a at byte 33: 0x2000 bytes");
    EXPECT(HEAD "\1\0\0\0\1\3ram\0\0\0\0\0\0\0\4\0\0\0\0\0\0\x10\4\1a\0\0\0\0\0\0\x10\0\0\0\0\0\0\0\x10\2\1a",
           "beyond the end of its RAM block");
    EXPECT(HEAD "\1\0\0\0\1\3ram\0\0\0\0\0\0\0\4\0\0\0\0\0\0\x10\4\1a\0\0\0\0\0\0\x10\0\0\0\0\0\0\0\0\x22",
           "none was named");
    EXPECT(HEAD "\1\0\0\0\1\3ram\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0\x10\x7e\0\0\0\2", "ends with the id 2");
}

/* No description, no configuration, no RAM: two devices and the end. */
static void test_devices_without_description(void **state)
{
    static const char bytes[] = HEAD "\4\0\0\0\5\1a\0\0\0\0\0\0\0\1xx\x7e\0\0\0\5yy\x7e\0\0\0\5"
                                     "\4\0\0\0\6\1b\0\0\0\3\0\0\0\2\0\x7e\0\0\0\6";
    struct gw_error err = GW_ERROR_INIT;
    struct seen seen;

    /* The string's own NUL is the EOF. */
    assert_int_equal(walk((const uint8_t *)bytes, sizeof bytes, &visitor, &seen, NULL, &err), 0);
    assert_int_equal(seen.devices, 2);
    assert_int_equal(seen.ends, 1);
    assert_int_equal(seen.section_bytes, sizeof bytes - 1 - 8);
}

/* Very small ones, without a description. */
static int walk_many(unsigned count, struct seen *seen, struct gw_error *err)
{
    static const uint8_t one[] = {4, 0, 0, 0, 9, 1, 'a', 0, 0, 0, 0, 0, 0, 0, 1, 0x7e, 0, 0, 0, 9};
    size_t bytes = 8 + count * sizeof one + 1;
    uint8_t *data = calloc(1, bytes);
    int r;

    assert_non_null(data);
    memcpy(data, HEAD, 8);
    for (unsigned i = 0; i < count; i++)
        memcpy(data + 8 + i * sizeof one, one, sizeof one);
    r = walk(data, bytes, &visitor, seen, NULL, err);
    free(data);
    return r;
}

static void test_as_many_devices_as_bytes(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct seen seen;

    if (walk_many(65536, &seen, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(seen.devices, 65536);
    assert_int_equal(walk_many(65537, &seen, &err), -EPROTO);
    assert_non_null(strstr(err.text, "byte 8: more than 65536 device sections"));
    assert_int_equal(walk_many(200000, &seen, &err), -EPROTO);
}

/* A device that comes in the set-up, as virtio-mem does: before the RAM's START, or (where QEMU 10.0 has it) behind. Its
 * `bytes` of state may look like many things. */
static void early_device(bool behind, size_t bytes)
{
    struct bytes b = stream_load("precopy-none-10.0.bin");
    static const char begin[] = "\4\0\0\0\x63\5early\0\0\0\0\0\0\0\1", foot[] = "\x7e\0\0\0\x63";
    static const char start_end[] = "\0\0\0\0\0\0\0\x10\x7e\0\0\0\1", look[] = "\x7e\0\0\0\x63\2\0\0\0\1";
    static const char member[] = "\"devices\": [";
    char described[256];
    size_t head = 17, n = b.bytes, d = sizeof begin - 1 + bytes + 5, t, at;
    struct gw_error err = GW_ERROR_INIT;
    struct seen seen;
    uint8_t *p;

    t = (size_t)snprintf(described, sizeof described,
                         "{\"name\": \"early\", \"instance_id\": 0, \"vmsd_name\": \"early\", \"version\": 1, "
                         "\"fields\": [{\"name\": \"x\", \"type\": \"buffer\", \"size\": %zu}]}, ",
                         bytes);
    b.data = realloc(b.data, n + d + t);
    assert_non_null(b.data);
    if (behind) {
        p = memmem(b.data, n, start_end, sizeof start_end - 1);
        assert_non_null(p);
        head = (size_t)(p - b.data) + sizeof start_end - 1;
    }
    memmove(b.data + head + d, b.data + head, n - head);
    p = b.data + head;
    memcpy(p, begin, sizeof begin - 1);
    p += sizeof begin - 1;
    for (size_t i = 0; i < bytes; i++)
        p[i] = (uint8_t)(i % 5);
    if (bytes > 1000) /* its end, but for the word that must follow */
        memcpy(p + 500, look, sizeof look - 1);
    memcpy(p + bytes, foot, 5);
    n += d;
    assert_int_equal(walk(b.data, n, &visitor, &seen, NULL, &err), -EPROTO);
    p = memmem(b.data, n, member, sizeof member - 1);
    assert_non_null(p);
    at = (size_t)(p - b.data) + sizeof member - 1;
    memmove(b.data + at + t, b.data + at, n - at);
    memcpy(b.data + at, described, t);
    n += t;
    p = memmem(b.data + n - 2000, 2000, "\0\6\0\0\3", 5);
    assert_non_null(p);
    gw_store_be32(p + 2, gw_load_be32(p + 2) + (uint32_t)t);
    if (walk(b.data, n, &visitor, &seen, NULL, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(seen.devices, 3);
    assert_int_equal(seen.described, 2);
    assert_int_equal(seen.kinds[GW_SCAN_PLAIN], 4);
    free(b.data);
}

static void test_early_device(void **state)
{
    static const size_t sizes[] = {1, 5, 4000, 65536, 200000, 3000000};

    for (size_t i = 0; i < GW_ARRAY_LEN(sizes); i++) {
        early_device(false, sizes[i]);
        early_device(true, sizes[i]);
    }
}

/* The device sections, EOF and description that a live source gave; then it waits, and does not close. timeout_ns 0: nothing
 * may need the time-out. */
static int walk_live(const uint8_t *data, size_t bytes, uint64_t timeout_ns, struct seen *seen, struct gw_error *err)
{
    struct gw_channel *in, *out;
    struct gw_reader r;
    struct gw_scan s;
    int e;

    *seen = (struct seen){.base = data};
    if (gw_channel_memory_pair(bytes, &in, &out, err) < 0 || gw_channel_write_full(out, data, bytes, err) < 0 ||
        gw_reader_init(&r, in, err) < 0)
        fail_msg("%s", err->text);
    gw_channel_set_timeout(in, timeout_ns);
    gw_scan_init(&s, &r, &visitor, seen);
    s.live = true;
    s.footers = 1;
    s.page_bytes = 4096;
    e = gw_scan_tail(&s, err);
    gw_scan_close(&s);
    gw_reader_close(&r);
    gw_channel_free(in);
    gw_channel_free(out);
    return e;
}

struct drip {
    struct gw_channel *out;
    const uint8_t *data;
    size_t bytes, at; /* a pause there */
    bool ends;        /* and nothing more */
};

static void *drip(void *arg)
{
    struct drip *d = arg;

    usleep(120000);
    if (!d->ends)
        gw_channel_write_full(d->out, d->data + d->at, d->bytes - d->at, NULL);
    return NULL;
}

/* A source that pauses for several time-outs, anywhere, is slow, and not at its end. With a limit it is at its end, and
 * that is told. */
static void test_slow_source(void **state)
{
    struct bytes b = stream_load("precopy-pc-10.0.bin.gz");
    uint8_t *tail = memmem(b.data, b.bytes, "\5timer", 6);
    struct gw_error err = GW_ERROR_INIT;
    size_t bytes;
    struct seen clean;

    assert_non_null(tail);
    tail -= 5;
    bytes = (size_t)(b.data + b.bytes - tail);
    assert_int_equal(walk_live(tail, bytes, 0, &clean, &err), 0);
    for (unsigned i = 0; i < 14; i++) {
        struct drip d = {.data = tail, .bytes = bytes, .at = i < 12 ? bytes * (i + 1) / 13 : bytes / 2, .ends = i >= 12};
        struct gw_channel *in;
        struct gw_reader r;
        struct gw_scan s;
        struct seen seen = {.base = tail};
        pthread_t thread;
        int e;

        if (i == 11)
            d.at = bytes - 7; /* within the description */
        assert_int_equal(gw_channel_memory_pair(bytes, &in, &d.out, &err), 0);
        assert_int_equal(gw_reader_init(&r, in, &err), 0);
        gw_channel_set_timeout(in, 10000000);
        gw_scan_init(&s, &r, &visitor, &seen);
        s.live = true;
        s.footers = 1;
        s.page_bytes = 4096;
        s.silences = i >= 12 ? 3 : 0;
        assert_int_equal(gw_channel_write_full(d.out, d.data, d.at, &err), 0);
        assert_int_equal(pthread_create(&thread, NULL, drip, &d), 0);
        e = gw_scan_tail(&s, &err);
        pthread_join(thread, NULL);
        if (i < 12 && e < 0)
            fail_msg("%u: %s", i, err.text);
        assert_int_equal(e, i < 12 ? 0 : -ENODATA);
        if (i < 12) {
            assert_int_equal(seen.devices, clean.devices);
            assert_int_equal(seen.described, clean.described);
        } else {
            if (!strstr(err.text, "inside the state description"))
                fail_msg("%s", err.text);
        }
        gw_scan_close(&s);
        gw_reader_close(&r);
        gw_channel_free(in);
        gw_channel_free(d.out);
    }
    free(b.data);
}

/* Bytes in the state of a device that look like EOF and a description, of a length that never comes. */
static void test_device_state_that_looks_like_the_end(void **state)
{
    static const uint8_t lure[] = {0, 6, 0, 16, 0, 0, '{'}, zeros[400];
    struct bytes b = stream_load("precopy-pc-10.0.bin.gz");
    uint8_t *tail = memmem(b.data, b.bytes, "\5timer", 6), *at, *end = b.data + b.bytes;
    struct gw_error err = GW_ERROR_INIT;
    struct seen clean, seen;

    assert_non_null(tail);
    tail -= 5;
    assert_int_equal(walk_live(tail, (size_t)(end - tail), 0, &clean, &err), 0);
    assert_true(clean.described > 20);
    at = memmem(tail, (size_t)(end - tail), zeros, sizeof zeros);
    assert_non_null(at);
    for (unsigned n = 1; n <= 40; n++) {
        memcpy(at + n * sizeof lure, lure, sizeof lure);
        if (n != 1 && n != 16 && n != 17 && n != 40)
            continue;
        if (walk_live(tail, (size_t)(end - tail), n > 16 ? 100000000 : 0, &seen, &err) < 0)
            fail_msg("%u: %s", n, err.text);
        assert_int_equal(seen.devices, clean.devices);
        assert_int_equal(seen.described, clean.described);
        assert_int_equal(walk(b.data, b.bytes, &visitor, &seen, NULL, &err), 0);
        assert_true(seen.described >= clean.described);
    }
    free(b.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_capture_to_its_end), cmocka_unit_test(test_pages_of_pattern_a),
        cmocka_unit_test(test_mapped_pages),             cmocka_unit_test(test_cut_at_every_byte),
        cmocka_unit_test(test_cut_anywhere),             cmocka_unit_test(test_changed_bytes),
        cmocka_unit_test(test_what_is_wrong_is_named),   cmocka_unit_test(test_devices_without_description),
        cmocka_unit_test(test_early_device),
        cmocka_unit_test(test_device_state_that_looks_like_the_end),
        cmocka_unit_test(test_slow_source),
        cmocka_unit_test(test_as_many_devices_as_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
