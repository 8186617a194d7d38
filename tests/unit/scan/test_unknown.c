/* SPDX-License-Identifier: MIT
 *
 * Live sections that are not known: their ends are found, whatever is inside, or it is said that they cannot be; and the
 * size of a page where the head does not say it.
 */
#include "../image/streams.h"

#include <cmocka.h>

#include "../image/built.h"
#include "scan/parts.h"

struct seen {
    uint32_t page_bytes;
    unsigned unknown, devices, described, pages;
    size_t body[8];
    uint64_t sum; /* of the bodies' bytes */
    const struct trickle *channel;
    size_t known_at; /* bytes that had come when the size of a page was known */
};

static int on_section(void *opaque, const struct gw_scan_section *s)
{
    struct seen *seen = opaque;

    if (s->element == GW_ELEMENT_FULL) {
        seen->devices++;
        seen->described += s->state != NULL;
    } else if (!strcmp(s->name, "fork")) {
        assert_non_null(s->body);
        assert_true(seen->unknown < GW_ARRAY_LEN(seen->body));
        seen->body[seen->unknown++] = s->body_bytes;
        for (size_t i = 0; i < s->body_bytes; i++)
            seen->sum += s->body[i];
    }
    return 0;
}

static int on_page(void *opaque, const struct gw_scan_page *page)
{
    ((struct seen *)opaque)->pages++;
    return 0;
}

static int on_page_size(void *opaque, uint32_t page_bytes)
{
    struct seen *seen = opaque;

    seen->page_bytes = page_bytes;
    seen->known_at = seen->channel->at;
    return 0;
}

static const struct gw_scan_visitor visitor = {.section = on_section, .page = on_page, .page_size = on_page_size};

/* piece: bytes that come at a time. */
static int walk(const uint8_t *data, size_t bytes, size_t piece, struct seen *seen, struct gw_error *err)
{
    struct trickle channel;
    struct gw_reader r;
    struct gw_scan s;
    int e;

    *seen = (struct seen){.channel = &channel};
    *err = (struct gw_error)GW_ERROR_INIT;
    trickle_init(&channel, data, bytes, piece);
    assert_int_equal(gw_reader_init(&r, &channel.channel, NULL), 0);
    gw_scan_init(&s, &r, &visitor, seen);
    e = gw_scan_run(&s, err);
    gw_scan_close(&s);
    gw_reader_close(&r);
    return e;
}

static int walk_built(const struct built *b, size_t piece, struct seen *seen, struct gw_error *err)
{
    size_t bytes;
    const uint8_t *data = gw_out_data(&b->out, &bytes);

    return walk(data, bytes, piece, seen, err);
}

static void assert_found(const void *body, size_t bytes, size_t piece)
{
    struct gw_error err;
    struct built b = {0};
    struct seen seen;
    uint64_t sum = 's' + 't' + 'a' + 'r' + 't';

    for (size_t i = 0; i < bytes; i++)
        sum += 2 * ((const uint8_t *)body)[i];
    for (unsigned said = 0; said <= 8; said += 8) {
        built_whole(&b, body, bytes, said);
        if (walk_built(&b, piece, &seen, &err) < 0)
            fail_msg("%zu bytes: %s", bytes, err.text);
        assert_int_equal(seen.unknown, 4);
        assert_int_equal(seen.body[0], 5);
        assert_int_equal(seen.body[1], bytes);
        assert_int_equal(seen.body[2], bytes);
        assert_int_equal(seen.body[3], 0);
        assert_int_equal(seen.sum, sum);
        assert_int_equal(seen.pages, BUILT_PAGES);
        assert_int_equal(seen.devices, 2);
        assert_int_equal(seen.described, said ? 2 : 0);
        gw_out_free(&b.out);
    }
}

#define FOOTER "\x7e\0\0\x02\x33"

static void test_what_looks_like_an_end(void **state)
{
    static const struct {
        const char *body;
        size_t bytes;
    } bodies[] = {
        {"", 0},
        {"\0", 1},
        {FOOTER, 5},
        {FOOTER FOOTER "\x7e", 11},
        {FOOTER "\x55more", 10},
        {FOOTER "\4\0\0\0\1\3a\1bxxxxxxxxxxxx", 24},             /* a device whose name cannot be one */
        {FOOTER "\4\0\0\0\2\3abc\0\0\0\0\0\0\0\1", 21},          /* one with the number of the RAM */
        {FOOTER "\2\0\0\0\2\0\0\0\0\0\0\1\x55rest", 22},         /* no record */
        {FOOTER "\2\0\0\0\2\0\0\0\0\0\0\0\2\1r\0abcdefghi", 30}, /* one record, and then none */
        {FOOTER "\3\0\0\0\2\0\0\0\0\0\0\0\x10\x7e\0\0\0\3", 23}, /* an end of the RAM with another footer */
        {FOOTER "\x08\0\x63\0\0", 10},                           /* no command */
        {FOOTER "\0\6\0\0\0\5x", 12},                            /* no description */
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(bodies); i++)
        for (size_t piece = 1; piece < 100000; piece = piece * 7 + 1)
            assert_found(bodies[i].body, bodies[i].bytes, piece);
}

static void test_large(void **state)
{
    size_t bytes = 9 << 20; /* more than can be looked at in one piece */
    uint8_t *body = malloc(bytes);

    for (size_t i = 0; i < bytes; i++)
        body[i] = (uint8_t)(i * i >> 3 ^ i);
    memcpy(body + (4 << 20) - 2, FOOTER, 5);
    assert_found(body, bytes, 1 << 20);
    free(body);
}

/* A device begins inside of the END, as far as anybody can see. */
static void test_ambiguous(void **state)
{
    static const char body[] = FOOTER "\4\0\0\0\x63\3abc\0\0\0\0\0\0\0\1rest";

    for (unsigned said = 0; said <= 8; said += 8) {
        struct gw_error err;
        struct built b = {0};
        struct seen seen;

        built_begin(&b, 4096);
        built_ram_start(&b);
        built_unknown(&b, GW_ELEMENT_START, "", 0);
        built_ram(&b, GW_ELEMENT_END, 0, BUILT_PAGES, BUILT_MIXED);
        built_unknown(&b, GW_ELEMENT_END, body, sizeof body - 1);
        built_end(&b, said);
        assert_int_equal(walk_built(&b, 4096, &seen, &err), -EPROTO);
        assert_non_null(strstr(err.text, "fork, which is not known here"));
        assert_non_null(strstr(err.text, "ambiguous whether it ends here"));
        gw_out_free(&b.out);
    }
}

static void test_refused(void **state)
{
    struct gw_error err;
    struct built b = {.no_footers = true};
    struct seen seen;
    const uint8_t *data;
    size_t bytes;

    built_whole(&b, "body", 4, 8);
    assert_int_equal(walk_built(&b, 4096, &seen, &err), -EPROTO);
    assert_non_null(strstr(err.text, "no footers"));
    gw_out_free(&b.out);
    b.no_footers = false;
    built_whole(&b, "body", 4, 8);
    data = gw_out_data(&b.out, &bytes);
    for (size_t n = 0; n < bytes; n++) {
        uint8_t *copy = malloc(n + !n);
        int r;

        memcpy(copy, data, n);
        r = walk(copy, n, 1 << 20, &seen, &err);
        assert_true(r == -ENODATA || r == -EPROTO || (r == 0 && n > bytes - 600)); /* EOF, and no description */
        free(copy);
    }
    gw_out_free(&b.out);
}

static void test_page_sizes(void **state)
{
    for (unsigned bits = GW_PAGE_BITS_MIN; bits <= GW_PAGE_BITS_MAX; bits++)
        for (int pages = BUILT_ZEROS; pages <= BUILT_MIXED; pages++)
            for (size_t piece = 511; piece < 200000; piece *= 97) {
                struct gw_error err;
                struct built b = {0};
                struct seen seen;

                built_begin(&b, 1u << bits);
                built_ram_start(&b);
                built_unknown(&b, GW_ELEMENT_START, "\2\0\0\0\2", 5);
                built_ram(&b, GW_ELEMENT_PART, 0, 0, BUILT_ZEROS); /* as with a small bandwidth */
                built_ram(&b, GW_ELEMENT_PART, 0, BUILT_PAGES, (enum built_pages)pages);
                built_ram(&b, GW_ELEMENT_END, 0, 0, BUILT_ZEROS);
                built_end(&b, 8);
                if (walk_built(&b, piece, &seen, &err) < 0)
                    fail_msg("%u bits, contents %d: %s", bits, pages, err.text);
                assert_int_equal(seen.page_bytes, 1u << bits);
                assert_int_equal(seen.pages, BUILT_PAGES);
                gw_out_free(&b.out);
            }
}

/* Too little to go by: as most targets have it. A source that left every second page out has small ones all the same. */
static void test_usual_page(void **state)
{
    for (unsigned apart = 1; apart <= 2; apart++) {
        struct gw_error err;
        struct built b = {0};
        struct seen seen;

        built_begin(&b, 4096);
        built_ram_start(&b);
        gw_section_put_part(&b.out, GW_ELEMENT_END, BUILT_RAM);
        for (unsigned i = 0; i < (apart == 1 ? 1u : 6u); i++) {
            gw_ram_record_put(&b.out, (uint64_t)i * apart * 4096, GW_RAMF_ZERO, i ? NULL : "r");
            gw_ram_put_zero(&b.out);
        }
        gw_ram_put_end(&b.out);
        built_footer(&b, BUILT_RAM);
        built_end(&b, 8);
        assert_int_equal(walk_built(&b, 4096, &seen, &err), 0);
        assert_int_equal(seen.page_bytes, 4096);
        gw_out_free(&b.out);
    }
}

/* A source may wait for an answer behind its last byte: no more is asked for than shows that no page comes. */
static void test_no_pages(void **state)
{
    struct gw_error err;
    struct built b = {0};
    struct seen seen;
    size_t bytes, ended;

    built_begin(&b, 4096);
    built_ram_start(&b);
    built_ram(&b, GW_ELEMENT_PART, 0, 0, BUILT_ZEROS);
    built_ram(&b, GW_ELEMENT_END, 0, 0, BUILT_ZEROS);
    gw_out_data(&b.out, &ended);
    built_end(&b, 8);
    gw_out_data(&b.out, &bytes);
    assert_int_equal(walk_built(&b, 1, &seen, &err), 0);
    assert_int_equal(seen.page_bytes, 4096);
    assert_in_range(seen.known_at, 1, ended);
    gw_out_free(&b.out);
}

/* As s390_css: the section is there, its size is not what is described. */
static void test_description_that_does_not_fit(void **state)
{
    for (unsigned said = 7; said <= 2000; said *= 16) {
        struct gw_error err;
        struct built b = {0};
        struct seen seen;

        built_whole(&b, "body", 4, said);
        assert_int_equal(walk_built(&b, 4096, &seen, &err), 0);
        assert_int_equal(seen.devices, 2);
        assert_int_equal(seen.described, 1);
        gw_out_free(&b.out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_looks_like_an_end),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_ambiguous),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_page_sizes),
        cmocka_unit_test(test_usual_page),
        cmocka_unit_test(test_no_pages),
        cmocka_unit_test(test_description_that_does_not_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
