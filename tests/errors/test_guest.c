/* SPDX-License-Identifier: MIT
 *
 * A hostile live source, and `receive`: captures of QEMUs, cut at every byte and changed at random, with and without a
 * return path, from a source that closes and from one that waits. The load ends in bounded time and memory, an error
 * says what and where, and the source is not told that its machine arrived.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <zlib.h>

#include <cmocka.h>

#include "guest.h"

#include "../unit/image/built.h"
#include "../unit/state/zoo.h"

/* For each memmem() a sanitizer checks all bytes in range: a linear time would become quadratic, which is not the
 * library's fault. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
__attribute__((visibility("default"))) const char *__tsan_default_options(void);

const char *__asan_default_options(void)
{
    return "intercept_memmem=0";
}

const char *__tsan_default_options(void)
{
    return "intercept_memmem=0";
}

#define CAPTURE_MAX (4u << 20)

/* asked: with a return path. marks: postcopy; bytes after the last page that are not needed for a complete machine. */
static const struct {
    const char *name;
    bool asked;
    size_t marks;
} captures[] = {
    {"stopped-source-64k-7.2.bin", false},     {"stopped-source-64k-10.0.bin", false},
    {"validate-uuid-10.0.bin", false},         {"switchover-ack-10.0.main.src2dst.bin", true},
    {"precopy-rp-7.2.main.src2dst.bin", true}, {"precopy-rp-10.0.main.src2dst.bin", true},
    {"precopy-microvm-10.0.bin.gz", false},
    {"postcopy-7.2.main.src2dst.bin", true, 32},   {"postcopy-10.0.main.src2dst.bin", true, 32},
};

static struct rig_bytes read_capture(const char *name)
{
    struct rig_bytes b = {.cap = CAPTURE_MAX};
    char path[512];
    gzFile f;
    int n;

    snprintf(path, sizeof path, GOLDEN_DIR "/captures/%s", name);
    f = gzopen(path, "rb");
    assert_non_null(f);
    b.data = malloc(b.cap);
    n = gzread(f, b.data, CAPTURE_MAX);
    assert_true(n > 0 && n < (int)CAPTURE_MAX);
    b.bytes = (size_t)n;
    gzclose(f);
    return b;
}

static struct guest_outcome load(const char *name, const char *what, size_t where, const uint8_t *data, size_t bytes,
                                 enum rig_split split, bool waits)
{
    uint8_t *copy = malloc(bytes + !bytes); /* so that a sanitizer detects reads past the end */
    struct guest_outcome o;
    const char *why;

    memcpy(copy, data, bytes);
    o = guest_load(copy, bytes, split, where, waits);
    free(copy);
    why = guest_judge(&o);
    if (why)
        fail_msg("%s, %s %zu, %s: %s: %d %s: %s", name, what, where, waits ? "waits" : "closes", why, o.r,
                 gw_blame_name(o.err.blame), o.err.text);
    return o;
}

static void test_whole(void **state)
{
    for (size_t i = 0; i < GW_ARRAY_LEN(captures); i++) {
        struct rig_bytes b = read_capture(captures[i].name);

        for (int k = 0; k < 4; k++) {
            struct guest_outcome o =
                load(captures[i].name, "whole", b.bytes, b.data, b.bytes, k / 2 ? RIG_PIECES : RIG_WHOLE, k % 2);

            if (o.r < 0)
                fail_msg("%s: %s", captures[i].name, o.err.text);
            assert_int_equal(o.asked, captures[i].asked);
            assert_true(o.devices_bytes > 0);
        }
        free(b.data);
    }
}

/* Without the description the sections themselves show their ends; no other cut is a valid machine, except where pages
 * follow and all had arrived. */
static void test_cut(void **state)
{
    for (size_t i = 0; i < GW_ARRAY_LEN(captures); i++) {
        struct rig_bytes b = read_capture(captures[i].name);
        size_t good = 0, step = GW_MAX(b.bytes / (captures[i].marks ? 40 : 300), 1);
        size_t dense = b.bytes < 6000 ? b.bytes : captures[i].marks ? 100 : 1400; /* mostly pages, which take long */

        for (size_t cut = 0; cut < b.bytes; cut += cut + dense >= b.bytes || cut < 100 ? 1 : step) {
            struct guest_outcome o = load(captures[i].name, "cut at", cut, b.data, cut, RIG_WHOLE, cut % 2);

            if (o.r >= 0 && b.data[cut - 1] && cut < b.bytes - captures[i].marks)
                fail_msg("%s, cut at %zu, is taken for whole", captures[i].name, cut);
            good += o.r >= 0;
        }
        assert_true(good <= 4 + captures[i].marks);
        free(b.data);
    }
}

static void test_changed(void **state)
{
    struct zoo_rng rng = {20};
    struct rusage before, after;

    getrusage(RUSAGE_SELF, &before);
    for (size_t i = 0; i < GW_ARRAY_LEN(captures); i++) {
        struct rig_bytes b = read_capture(captures[i].name), c = {.data = malloc(b.bytes)};

        for (int k = 0; k < (captures[i].marks ? 100 : 700); k++) {
            size_t head = GW_MIN(b.bytes, 300u), tail = GW_MIN(b.bytes, 3000u), at = 0;

            memcpy(c.data, b.data, b.bytes);
            /* In the important parts: the head, the devices and their description. */
            for (uint64_t n = 1 + zoo_random(&rng) % 3; n; n--) {
                at = k % 3 == 0   ? zoo_random(&rng) % head
                     : k % 3 == 1 ? b.bytes - 1 - zoo_random(&rng) % tail
                                  : zoo_random(&rng) % b.bytes;
                c.data[at] = zoo_random(&rng) % 4 ? (uint8_t)zoo_random(&rng) : (uint8_t)(zoo_random(&rng) % 8);
            }
            load(captures[i].name, "changed at", at, c.data, b.bytes, k % 5 ? RIG_WHOLE : RIG_PIECES, k % 2);
        }
        free(b.data);
        free(c.data);
    }
    getrusage(RUSAGE_SELF, &after);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* sanitizers keep freed memory */
    assert_in_range(after.ru_maxrss - before.ru_maxrss, 0, 300 << 10);
#endif
}

/* The least CPU time of several loads of the stream's first bytes. */
static uint64_t cheapest_ns(const uint8_t *data, size_t bytes, const char *why)
{
    uint64_t least = UINT64_MAX;

    for (int k = 0; k < 4; k++) {
        struct guest_outcome o = load("sections", "endless", bytes, data, bytes, RIG_WHOLE, k % 2);

        assert_true(o.r < 0);
        if (why)
            assert_non_null(strstr(o.err.text, why));
        least = GW_MIN(least, o.cpu_ns);
    }
    return least;
}

/* Endless streams: identical sections without a description. Up to the limit, a section costs the same however many
 * came before: an eighth of the stream takes about an eighth of the time, not a 64th.
 */
static void test_endless(void **state)
{
    static const uint8_t one[] = {4, 0, 0, 0, 9, 1, 'a', 0, 0, 0, 0, 0, 0, 0, 1, 0x7e, 0, 0, 0, 9};
    struct rig_bytes b = read_capture("stopped-source-64k-10.0.bin");
    uint8_t *timer = memmem(b.data, b.bytes, "\5timer", 6), *data;
    size_t head, bytes = 2 << 20;
    uint64_t whole_ns = UINT64_MAX, part_ns = 1;

    assert_non_null(timer);
    head = (size_t)(timer - 5 - b.data);
    data = malloc(bytes);
    memcpy(data, b.data, head);
    for (size_t at = head; at < bytes; at += sizeof one)
        memcpy(data + at, one, GW_MIN(sizeof one, bytes - at));
    for (unsigned i = 0; i < 10 && whole_ns >= 32 * part_ns; i++) { /* a processor may be slower for a while */
        whole_ns = GW_MIN(whole_ns, cheapest_ns(data, bytes, "more than 65536 device sections"));
        part_ns = cheapest_ns(data, head + 65536 / 8 * sizeof one, NULL);
    }
    print_message("65536 sections take %.2f ms, 8192 take %.2f ms\n", (double)whole_ns / 1e6, (double)part_ns / 1e6);
    assert_true(whole_ns < 32 * part_ns);
    free(data);
    free(b.data);
}

/* With an unknown live section, and pages of unknown size. */
static void test_unknown(void **state)
{
    static const char body[] = "\x7e\0\0\x02\x33 and more";
    struct built b = {0};
    const uint8_t *data;
    size_t bytes, good = 0;

    built_whole(&b, body, sizeof body, 8);
    data = gw_out_data(&b.out, &bytes);
    for (int k = 0; k < 6; k++) {
        struct guest_outcome o = load("unknown", "whole", bytes, data, bytes, (enum rig_split)(k / 2), k % 2);

        if (o.r < 0)
            fail_msg("%s", o.err.text);
        assert_int_equal(o.parked, 1);
    }
    for (size_t cut = 0; cut < bytes; cut += cut > 300 && cut + 900 < bytes ? 17 : 1) {
        struct guest_outcome o = load("unknown", "cut at", cut, data, cut, RIG_WHOLE, cut % 2);

        good += o.r >= 0;
    }
    assert_true(good <= 4); /* without the description */
    gw_out_free(&b.out);
}

/* For any number of its elements. */
static void test_endless_unknown(void **state)
{
    struct built b = {0};
    const uint8_t *data;
    size_t head, bytes;
    uint64_t whole_ns = UINT64_MAX, part_ns = 1;

    built_begin(&b, 4096);
    built_ram_start(&b);
    built_unknown(&b, GW_ELEMENT_START, "", 0);
    gw_out_data(&b.out, &head);
    for (unsigned i = 0; i < 1u << 17; i++)
        built_unknown(&b, GW_ELEMENT_PART, "", 0);
    data = gw_out_data(&b.out, &bytes);
    for (unsigned i = 0; i < 10 && whole_ns >= 32 * part_ns; i++) {
        whole_ns = GW_MIN(whole_ns, cheapest_ns(data, bytes, NULL));
        part_ns = cheapest_ns(data, head + (bytes - head) / 8, NULL);
    }
    print_message("all take %.2f ms, an eighth takes %.2f ms\n", (double)whole_ns / 1e6, (double)part_ns / 1e6);
    assert_true(whole_ns < 32 * part_ns);
    gw_out_free(&b.out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_changed),
        cmocka_unit_test(test_endless),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_endless_unknown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
