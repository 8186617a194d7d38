/* SPDX-License-Identifier: MIT
 *
 * The messages between two godwits, recorded from a migration, are those in docs/formats/extensions.md; and the errors
 * for a peer that violates these rules.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "../owned.h"
#include "base/endian.h"
#include "mutate.h"
#include "rig.h"
#include "wire/names.h"

static struct rig_bytes stream, answers;

static void must(int r, const struct gw_error *err)
{
    if (r < 0)
        print_error("%d %s: %s\n", r, gw_blame_name(err->blame), err->text);
    assert_true(r >= 0);
}

static int record(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    must(rig_stream(1, 4, "godwit", true, &stream, &answers, &err), &err);
    return 0;
}

static int forget(void **state)
{
    free(stream.data);
    free(answers.data);
    return 0;
}

/* ---- the page ------------------------------------------------------------------------------------------------------- */

static void line(char *text, size_t size, const uint8_t *bytes, size_t n, const char *what)
{
    size_t at = strlen(text);

    at += (size_t)snprintf(text + at, size - at, "    ");
    for (size_t i = 0; i < n; i++)
        at += (size_t)snprintf(text + at, size - at, "%02x ", bytes[i]);
    snprintf(text + at, size - at, "%*s%s\n", (int)(50 - 3 * n), "", what);
}

/* Commands only, and only the first two PINGs: later ones ask whether everything has arrived. */
static void from_source(char *text, size_t size)
{
    struct anatomy a;
    unsigned pings = 0;

    anatomy_of(&stream, &a);
    for (unsigned i = 1; i < a.parts; i++) {
        const uint8_t *p = stream.data + a.part[i].begin;
        size_t n = a.part[i].end - a.part[i].begin;

        if (*p == GW_ELEMENT_EOF)
            line(text, size, p, n, "EOF; the description follows");
        if (*p != GW_ELEMENT_COMMAND)
            continue;
        if (gw_load_be16(p + 1) == GW_COMMAND_PING && ++pings > 2)
            continue;
        line(text, size, p, n, gw_wire_command(gw_load_be16(p + 1))->name);
    }
}

static void from_destination(char *text, size_t size)
{
    unsigned pongs = 0;

    for (size_t at = 0; at + 4 <= answers.bytes;) {
        const uint8_t *p = answers.data + at;
        size_t n = 4u + gw_load_be16(p + 2);

        if (gw_load_be16(p) != GW_RP_PONG || ++pongs <= 2)
            line(text, size, p, n, gw_wire_rp(gw_load_be16(p))->name);
        at += n;
    }
}

static void test_page(void **state)
{
    char page[32768] = "", source[2048] = "", destination[2048] = "";
    FILE *f = fopen(EXTENSIONS_MD, "r");

    assert_non_null(f);
    assert_true(fread(page, 1, sizeof page - 1, f) > 0);
    fclose(f);
    from_source(source, sizeof source);
    from_destination(destination, sizeof destination);
    if (!strstr(page, source) || !strstr(page, destination))
        print_error("%s\n%s\n", source, destination);
    assert_non_null(strstr(page, source));
    assert_non_null(strstr(page, destination));
}

/* ---- the rules ------------------------------------------------------------------------------------------------------ */

static const uint8_t commit[] = {0x08, 0x67, 0x01, 0, 0}, abort_[] = {0x08, 0x67, 0x02, 0, 0};
static const uint8_t ping[] = {0x08, 0, 2, 0, 4, 0x67, 0x64, 0x77, 0x74};

static struct rig_bytes copy_of(const struct rig_bytes *b, size_t n)
{
    struct rig_bytes c = {malloc(b->bytes + 64), n, b->bytes + 64};

    memcpy(c.data, b->data, n);
    return c;
}

static void append(struct rig_bytes *b, const void *bytes, size_t n)
{
    memcpy(b->data + b->bytes, bytes, n);
    b->bytes += n;
}

/* Loads it, and returns the result. */
static struct rig_outcome end_of(struct rig_bytes *b, const char *text)
{
    struct rig *g = owned_rig(0, 0);
    struct rig_outcome o;

    o = rig_load(g, b->data, b->bytes, RIG_WHOLE, 0);
    if (o.r >= 0 || !strstr(o.err.text, text) || rig_judge(g, &o))
        print_error("%d %s\n", o.r, o.err.text);
    assert_true(o.r < 0);
    assert_non_null(strstr(o.err.text, text));
    assert_null(rig_judge(g, &o));
    assert_int_equal(g->starts, 0);
    owned_end(g);
    free(b->data);
    return o;
}

static size_t before_commit(void)
{
    struct anatomy a;

    anatomy_of(&stream, &a);
    return a.part[a.parts - 1].begin;
}

static void test_abort(void **state)
{
    struct rig_bytes b = copy_of(&stream, before_commit());
    struct rig_outcome o;

    append(&b, abort_, sizeof abort_);
    o = end_of(&b, "took the machine back");
    assert_int_equal(o.r, -ECANCELED);
    assert_int_equal(o.owner, GW_OWNER_SOURCE);
}

static void test_no_last_word(void **state)
{
    struct rig_bytes b = copy_of(&stream, before_commit());
    struct rig_outcome o = end_of(&b, "claim the machine here if it did");

    assert_int_equal(o.owner, GW_OWNER_UNDECIDED);
}

static void test_other_last_words(void **state)
{
    static const struct {
        const uint8_t *bytes;
        size_t n;
        const char *text;
    } words[] = {
        {ping, sizeof ping, "command PING"},
        {(const uint8_t *)"\1\0\0", 3, "element 0x01 (START)"},
        {(const uint8_t *)"\x08\x67\x01\0\1", 5, "GODWIT_COMMIT"},
        {(const uint8_t *)"\x08\x67\x03\0\0", 5, "command 0x6703"},
        {(const uint8_t *)"", 1, "element 0x00 (EOF)"},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(words); i++) {
        struct rig_bytes b = copy_of(&stream, before_commit());

        append(&b, words[i].bytes, words[i].n);
        assert_int_equal(end_of(&b, words[i].text).owner, GW_OWNER_UNDECIDED);
    }
}

/* In the middle of the stream, or without a request. */
static void test_out_of_place(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct anatomy a;

    anatomy_of(&stream, &a);
    for (unsigned i = 1; i + 2 < a.parts; i++) {
        struct rig_bytes b = copy_of(&stream, a.part[i].begin);

        append(&b, i % 2 ? commit : abort_, sizeof commit);
        assert_int_equal(end_of(&b, "is not allowed here").owner, GW_OWNER_SOURCE);
    }
    {
        /* A plain stream has ended before them: they are not read, and nothing is undecided. */
        struct rig_outcome o;
        struct rig_bytes plain;
        struct rig *g = owned_rig(0, 0);

        must(rig_stream(1, 4, "10.0", false, &plain, NULL, &err), &err);
        plain.data = realloc(plain.data, plain.bytes + sizeof abort_);
        append(&plain, abort_, sizeof abort_);
        o = rig_load(g, plain.data, plain.bytes, RIG_WHOLE, 0);
        must(o.r, &o.err);
        assert_int_equal(o.owner, GW_OWNER_DESTINATION);
        owned_end(g);
        free(plain.data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        owned_test(test_page),         owned_test(test_abort),
        owned_test(test_no_last_word), owned_test(test_other_last_words),
        owned_test(test_out_of_place),
    };

    return cmocka_run_group_tests(tests, record, forget);
}
